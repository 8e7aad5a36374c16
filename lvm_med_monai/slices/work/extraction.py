"""Sources -> shards, manifest and rejects, in a folder that can be resumed, shared by processes, and verified."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lvm_med_monai.slices.identity import Identities, load_key
from lvm_med_monai.slices.selection import SlicePolicy
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.splits import Splits
from lvm_med_monai.slices.store.codecs import codec
from lvm_med_monai.slices.store.storage import Storage
from lvm_med_monai.slices.work.left_out import LeftOut
from lvm_med_monai.slices.work.local_engine import LocalPool, Progress, run_here
from lvm_med_monai.slices.work.lock import locked
from lvm_med_monai.slices.work.merging import (
    Summary,
    count_parts,
    declare_source,
    merge_locked,
    part_name,
    remove_tables,
    sources_of,
)
from lvm_med_monai.slices.work.part_extraction import PARTS, Job, Work, extract_part, read_settings, write_json
from lvm_med_monai.slices.work.plan import Plan, check_sources, make_plan
from lvm_med_monai.slices.work.progress import Bar
from lvm_med_monai.slices.work.settings import Settings, WorkLimits

Engine = Literal["local", "ray"]


def extract(
    sources: Sequence[Source | str | os.PathLike[str]] | Plan,
    out: str | os.PathLike[str],
    policy: SlicePolicy | None = None,
    key_file: str | os.PathLike[str] | None = None,
    *,
    keep_burned_in: bool = False,
    progress: bool = True,
    storage: Storage | None = None,
    splits: Splits | None = None,
    workers: int = 0,
    plan_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    resume: bool = True,
    engine: Engine = "local",
    ray_address: str | None = None,
    limits: WorkLimits | None = None,
) -> Summary:
    """Extract the slices of some sources into ``out``, or add them to what is there.

    Sources are cut into parts, by their files alone. A part that an earlier call finished from the same files with the
    same settings is skipped, all others are done again; so a call that was interrupted goes on where it stopped. The
    same input, settings and key give the same output, for any number of workers and processes.

    Args:
        sources: sources, paths, or a plan of them.
        out: output folder; made if it is missing.
        policy: which slices to keep; the defaults of `SlicePolicy` if None.
        key_file: secret key of the identities, made if it is missing; ``<out>.key`` beside the output if None.
        keep_burned_in: extract stacks at risk of burned-in text instead of rejecting them.
        progress: show a progress bar.
        storage: codec and bits; 16-bit PNG if None.
        splits: shares of the patients of sources without a split of their own; None leaves them undecided.
        workers: processes that read the files; a file that crashes or hangs one is rejected. With 0 all is done in this
            process, which such a file ends.
        plan_workers: processes that read headers while planning, see `plan.make_plan`.
        rank: number of this call among ``world_size`` that share the parts; it takes each part whose number, counted
            over all sources, leaves ``rank`` when divided by ``world_size``.
        world_size: calls that share the parts. With more than 1 the tables are left to `merge`.
        resume: skip finished parts; False does all of them again.
        engine: "local", or "ray" for a Ray cluster that shares the file system; with it, ``workers`` is the most parts
            at a time, 0 for as many as the cluster has cores.
        ray_address: of the cluster; Ray finds one, or starts one on this machine, if None.
        limits: of each unit in a worker; the defaults of `WorkLimits` if None.

    Returns:
        Totals over all of ``out``; with ``world_size`` above 1, over the parts of this rank.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: no sources, one given twice or around ``out``, a folder without files, a key that does not fit, a
            rank outside of the world, a file that has changed since the plan was made, or another extraction at work
            in ``out``.
        ImportError: a codec or engine that is not installed.
        OSError: the output cannot be written.
    """
    if not 0 <= rank < world_size or workers < 0:
        raise ValueError(
            f"rank must be in 0..world_size-1 and workers not negative, got {rank}, {world_size}, {workers}"
        )
    settings = Settings(policy or SlicePolicy(), storage or Storage(), splits, keep_burned_in)
    codec(settings.storage.codec)
    out, limits = Path(out), limits or WorkLimits()
    run = _Run(out, Path(key_file) if key_file is not None else out.with_name(out.name + ".key"), settings, limits)
    with Bar(progress) as bar:
        plan = _plan(sources, out, bar, plan_workers)
        (out / PARTS).mkdir(parents=True, exist_ok=True)
        with locked(out / PARTS, rank, world_size):
            run_jobs(run.prepare(plan, rank, world_size, resume, bar), bar, engine, workers, limits, ray_address)
            return run.summary(world_size)


def run_jobs(
    jobs: Sequence[Job],
    bar: Progress,
    engine: Engine,
    workers: int,
    limits: WorkLimits,
    ray_address: str | None,
    work: Work = extract_part,
) -> None:
    """Work on parts with an engine; see `extract`."""
    if not jobs:
        return
    if engine == "ray":
        from lvm_med_monai.slices.work.ray_engine import run_on_ray

        run_on_ray(jobs, bar, workers, limits, ray_address, work)
    elif workers:
        LocalPool(min(workers, len(jobs)), limits, bar, work).run(jobs)
    else:
        run_here(jobs, bar, work)


def _plan(sources: Sequence[Source | str | os.PathLike[str]] | Plan, out: Path, bar: Bar, workers: int) -> Plan:
    given = sources.sources if isinstance(sources, Plan) else sources
    wanted = [source if isinstance(source, Source) else Source(Path(source)) for source in given]
    check_sources(wanted)
    for source in wanted:
        if out.resolve().is_relative_to(source.path.resolve()):
            raise ValueError(f"the output {out} lies inside of the source {source.path}; give another folder")
    return sources if isinstance(sources, Plan) else make_plan(wanted, bar.on_planned, workers)


@dataclass
class _Run:
    """One call of `extract`."""

    out: Path
    key_file: Path
    settings: Settings
    limits: WorkLimits
    own: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)

    def prepare(self, plan: Plan, rank: int, world_size: int, resume: bool, bar: Bar) -> list[Job]:
        """Declare the sources, clear what is stale, and list what this rank has to do."""
        identities = Identities(load_key(self.key_file, self.out))
        key = identities.hash("key")
        if {record["key"] for record in sources_of(self.out).values()} - {key}:
            raise ValueError(f"{self.out} was written with another key; give that one, or another output folder")
        declared: dict[str, list[str]] = {}
        jobs: list[Job] = []
        for number, job in enumerate(self._jobs(plan, identities)):
            declared.setdefault(job.source_h, []).append(job.fingerprint)
            if number % world_size == rank:
                self.own.append(job.folder)
                if not (resume and self._is_current(job)):
                    jobs.append(job)
        self.sources = set(declared)
        self.done = {job.folder for job in jobs}
        changed = self._clear(declared, rank, world_size)
        if changed or any((self.out / PARTS / folder).exists() for folder in self.done):
            remove_tables(self.out)
        for source_h, fingerprints in declared.items():
            declare_source(self.out, source_h, key, fingerprints)
        self._correct_counts(declared)
        jobs = [LeftOut(replace(job, parts=len(declared[job.source_h]))).restore() for job in jobs]
        bar.begin(jobs)
        return jobs

    def _jobs(self, plan: Plan, identities: Identities) -> Iterator[Job]:
        for part in plan.parts():
            source_h = identities.hash("source", part.source.dataset, part.source.name)[:16]
            fingerprint = self.settings.fingerprint(part.source, part.digest)
            folder = part_name(source_h, part.index)
            yield Job(part, self.out, folder, source_h, 0, self.settings, self.key_file, fingerprint, str(self.limits))

    def _is_current(self, job: Job) -> bool:
        record = read_settings(self.out / PARTS / job.folder)
        failed_under_other_limits = record.get("left_out") and record["limits"] != job.limits
        return record.get("fingerprint") == job.fingerprint and not failed_under_other_limits

    def _clear(self, declared: dict[str, list[str]], rank: int, world_size: int) -> bool:
        """Remove unfinished folders of this rank's parts, and parts that another plan of its sources had."""
        changed = False
        for path in sorted((self.out / PARTS).iterdir()):
            source_h, _, index = path.name.lstrip(".").split(".")[0].partition("-")
            if not path.is_dir() or source_h not in declared:
                continue
            stale = int(index) >= len(declared[source_h])
            if path.name.startswith("."):
                if path.name.split(".")[1] in self.own or stale:
                    shutil.rmtree(path, ignore_errors=True)
            elif stale:
                shutil.rmtree(path)
                changed = True
        return changed

    def _correct_counts(self, declared: dict[str, list[str]]) -> None:
        """Parts that are kept tell how many there are now."""
        for folder in set(self.own) - self.done:
            record = read_settings(self.out / PARTS / folder)
            if record["parts"] != len(declared[record["source"]]):
                write_json(
                    self.out / PARTS / folder / "settings.json", {**record, "parts": len(declared[record["source"]])}
                )

    def summary(self, world_size: int) -> Summary:
        """Merge if this is the only rank; totals."""
        total = merge_locked(self.out) if world_size == 1 else count_parts(self.out, self.own)
        sources_done = {folder.partition("-")[0] for folder in self.done}
        return replace(
            total,
            sources_done=len(sources_done),
            sources_skipped=len(self.sources - sources_done),
            parts_done=len(self.done),
            parts_skipped=len(self.own) - len(self.done),
        )
