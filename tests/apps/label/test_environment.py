"""What needs MONAI Label's own environment is named where that is missing."""

from __future__ import annotations

import importlib.util

import pytest


def test_servers_are_tested() -> None:
    if importlib.util.find_spec("monailabel") is None:
        pytest.skip("the tests in conftest.py's NEED_LABEL need MONAI Label's own environment: make test-label")
