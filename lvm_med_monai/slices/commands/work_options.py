"""Options of the processes that read files, shared by ``scan`` and ``extract``."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvm_med_monai.slices.work.settings import WorkLimits

GIB = 1 << 30


def add_work_options(parser: Any) -> Any:
    """Add the options in a group of their own, and return the group."""
    group = parser.add_argument_group("work")
    add = group.add_argument
    add("--workers", type=int, metavar="N", help="worker processes; 0 reads in this one, unprotected (default: cores)")
    add("--memory-limit", type=float, metavar="GIB", help="address space of a worker (default: 6)")
    add("--time-limit", type=float, metavar="SECONDS", help="of a series or file, more for big archives (default: 600)")
    return group


def work_limits(options: argparse.Namespace) -> WorkLimits:
    """Limits of a unit; raises ValueError for limits that cannot be."""
    from lvm_med_monai.slices.work.settings import WorkLimits

    default = WorkLimits()
    return WorkLimits(
        default.memory if options.memory_limit is None else int(options.memory_limit * GIB),
        default.seconds if options.time_limit is None else options.time_limit,
    )


def worker_count(options: argparse.Namespace) -> int:
    """Workers as given, else one for each core that this process may use; 0, for all of the cluster, with Ray."""
    if options.workers is not None:
        return options.workers
    if getattr(options, "engine", "local") == "ray":
        return 0
    return _cores()


def plan_workers(options: argparse.Namespace) -> int:
    """Processes that read headers while planning: as many as workers, and none where one would be alone."""
    count = _cores() if options.workers is None else options.workers
    return count if count > 1 else 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
