"""What needs MONAI Label's own environment is named where that is missing."""

from __future__ import annotations

import importlib.util

import pytest


def test_servers_are_tested() -> None:
    if importlib.util.find_spec("monailabel") is None:
        pytest.skip("test_server, test_stock_app and test_dicomweb need MONAI Label's own environment: make test-label")
