"""The optional library from which the self-supervised baselines take their losses."""

from __future__ import annotations

from importlib.util import find_spec


def require_lightly() -> None:
    """Make sure that lightly is there, before anything is loaded.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if find_spec("lightly") is None:
        raise ModuleNotFoundError(
            "the self-supervised methods take their losses from lightly, which is not installed: "
            "pip install 'lvm-med-monai[ssl]'"
        )
