"""Doctests of `server` need MONAI Label's own environment; tests/apps/label/test_environment.py says so elsewhere."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("monailabel") else ["server/*"]
