"""Doctests of modules that need the Deploy SDK are left out where it is not installed; tests/apps/deploy says so."""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("holoscan") else ["application.py", "operators.py"]
