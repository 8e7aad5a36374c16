"""Extraction of parts on a Ray cluster whose nodes share the file system (extra ``ray``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lvm_med_monai.slices.work.local_engine import LocalPool, Progress
from lvm_med_monai.slices.work.part_extraction import Job, Work, extract_part
from lvm_med_monai.slices.work.settings import WorkLimits

RETRIES = 3
"""How often Ray begins a part again when a node or one of its own processes is lost."""
NAMESPACE = "lvm_med_slices"


class _Quiet:
    """Progress of a remote part, which is not shown."""

    def begin(self, jobs: Sequence[Job]) -> None:
        pass

    def on_unit(self, job: Job, number: int) -> None:
        pass

    def on_slices(self, job: Job, count: int) -> None:
        pass

    def on_done(self, job: Job) -> None:
        pass


def work_isolated(job: Job, folder: str, limits: WorkLimits, work: Work) -> None:
    """Work on a part in a child of the Ray process: a file that crashes its decoder never reaches Ray itself.

    Args:
        job: the part.
        folder: current folder of the caller, where relative paths begin.
        limits: of each unit.
        work: what is done with each part.
    """
    os.chdir(folder)
    LocalPool(1, limits, _Quiet(), work).run([job])


def run_on_ray(
    jobs: Sequence[Job],
    progress: Progress,
    at_once: int,
    limits: WorkLimits,
    address: str | None,
    work: Work = extract_part,
) -> None:
    """Extract parts as Ray tasks of one core each.

    Args:
        jobs: the parts.
        progress: told of each part that is finished.
        at_once: most parts at a time; 0 for as many as the cluster has cores.
        limits: of each unit.
        address: of the cluster; None finds one, or starts one on this machine. A connection that is there is used.
        work: what is done with each part.

    Raises:
        ImportError: Ray is not installed.
        Exception: what a part raised; see `local_engine.LocalPool.run`.
    """
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        ray.init(
            address=address, namespace=NAMESPACE, include_dashboard=None if address else False, log_to_driver=False
        )
    try:
        at_once = at_once or max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(work_isolated)
        for job in _finished(ray, lambda job: task.remote(job, os.getcwd(), limits, work), iter(jobs), at_once):
            progress.on_done(job)
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError("engine ray needs Ray: pip install lvm-med-monai[ray]") from error
    return ray


def _finished(ray: Any, start: Callable[[Job], Any], jobs: Iterator[Job], at_once: int) -> Iterator[Job]:
    """Jobs as they finish, with a bounded number under way."""
    running: dict[Any, Job] = {}
    while True:
        while len(running) < at_once and (job := next(jobs, None)) is not None:
            running[start(job)] = job
        if not running:
            return
        ready, _ = ray.wait(list(running), num_returns=1)
        for reference in ready:
            job = running.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from error
            yield job
