"""Medical volumes and series -> 2D slices: readers, geometry, windows, selection, shards, command line.

Names are imported when they are first used, so that the command line answers at once and nothing but `SliceReader`
loads MONAI.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvm_med_monai.slices.checks.verification import Verification, verify
    from lvm_med_monai.slices.geometry import SliceGeometry
    from lvm_med_monai.slices.inputs.walk import iter_stacks
    from lvm_med_monai.slices.reader import SliceReader
    from lvm_med_monai.slices.selection import SlicePolicy
    from lvm_med_monai.slices.source import Source
    from lvm_med_monai.slices.splits import Splits
    from lvm_med_monai.slices.stack import FrameError, Reject, Stack
    from lvm_med_monai.slices.store.manifest import read_manifest, read_rejects
    from lvm_med_monai.slices.store.shards import read_slice
    from lvm_med_monai.slices.store.storage import Storage
    from lvm_med_monai.slices.windows import CT_WINDOWS, Window, apply_window, default_window, to_uint8
    from lvm_med_monai.slices.work.extraction import extract
    from lvm_med_monai.slices.work.merging import Summary, merge
    from lvm_med_monai.slices.work.plan import Plan, make_plan, read_plan, write_plan
    from lvm_med_monai.slices.work.settings import WorkLimits

_MODULES = {
    "CT_WINDOWS": "windows",
    "FrameError": "stack",
    "Plan": "work.plan",
    "Reject": "stack",
    "SliceGeometry": "geometry",
    "SlicePolicy": "selection",
    "SliceReader": "reader",
    "Source": "source",
    "Splits": "splits",
    "Stack": "stack",
    "Storage": "store.storage",
    "Summary": "work.merging",
    "Verification": "checks.verification",
    "Window": "windows",
    "WorkLimits": "work.settings",
    "apply_window": "windows",
    "default_window": "windows",
    "extract": "work.extraction",
    "iter_stacks": "inputs.walk",
    "make_plan": "work.plan",
    "merge": "work.merging",
    "read_manifest": "store.manifest",
    "read_plan": "work.plan",
    "read_rejects": "store.manifest",
    "read_slice": "store.shards",
    "to_uint8": "windows",
    "verify": "checks.verification",
    "write_plan": "work.plan",
}

__all__ = [
    "CT_WINDOWS",
    "FrameError",
    "Plan",
    "Reject",
    "SliceGeometry",
    "SlicePolicy",
    "SliceReader",
    "Source",
    "Splits",
    "Stack",
    "Storage",
    "Summary",
    "Verification",
    "Window",
    "WorkLimits",
    "apply_window",
    "default_window",
    "extract",
    "iter_stacks",
    "make_plan",
    "merge",
    "read_manifest",
    "read_plan",
    "read_rejects",
    "read_slice",
    "to_uint8",
    "verify",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
