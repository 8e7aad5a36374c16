"""What `scan` prints: one line a stack or reject, for the owner of the data (paths are shown)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lvm_med_monai.slices.stack import Reject, Stack
from lvm_med_monai.slices.work.local_engine import LocalPool, Progress, run_here
from lvm_med_monai.slices.work.part_extraction import (
    PARTS,
    Events,
    Job,
    UnitReader,
    Work,
    open_unit,
    private_folder,
    write_json,
)
from lvm_med_monai.slices.work.plan import Plan
from lvm_med_monai.slices.work.settings import Settings, WorkLimits

COLUMNS = ("modality", "slices", "size", "plane", "spacing", "tilt", "format", "flags", "path")


def scan(
    plan: Plan,
    progress: Progress,
    workers: int = 0,
    limits: WorkLimits | None = None,
    work: Work | None = None,
) -> Iterator[dict[str, Any]]:
    """Descriptions of all stacks and rejects of a plan, from their headers.

    Args:
        plan: the plan.
        progress: told what happens.
        workers: processes that read headers; 0 reads in this one, which a hostile file may end.
        limits: of each unit in a worker.
        work: describes a part; `describe_part` if None.

    Yields:
        See `describe`; units in the order of the plan.
    """
    with tempfile.TemporaryDirectory(prefix="lvm_med_scan_") as folder:
        out = Path(folder)
        (out / PARTS).mkdir()
        jobs = [
            Job(part, out, f"{number:09d}", "", 0, Settings(), out, part.digest)
            for number, part in enumerate(plan.parts())
        ]
        progress.begin(jobs)
        if workers:
            LocalPool(min(workers, len(jobs)), limits or WorkLimits(), progress, work or describe_part).run(jobs)
        else:
            run_here(jobs, progress, work or describe_part)
        for job in jobs:
            yield from json.loads(_rows_of(job).read_text(encoding="utf-8"))["rows"]


def describe_part(job: Job, events: Events, read_unit: UnitReader = open_unit) -> None:
    """Write the descriptions of the stacks and rejects of a part beside it."""
    rows: list[dict[str, Any]] = []
    root = job.part.source.path
    for number, unit in enumerate(job.part.units):
        events.on_unit(number)
        if number in job.left_out:
            rows += [describe(Reject(root / file.path, *job.left_out[number])) for file in unit.files]
            continue
        with private_folder(job.out) as private:
            _, items = read_unit(unit, root, private)
            rows += [describe(item) for item in items]
    write_json(_rows_of(job), {"rows": rows})


def _rows_of(job: Job) -> Path:
    return job.out / PARTS / f"{job.folder}.json"


def describe(item: Stack | Reject) -> dict[str, Any]:
    """JSON-ready description of a stack or reject; mm and degrees, None where unknown."""
    if isinstance(item, Reject):
        return {"kind": "reject", "path": str(item.path), "reason": item.reason, "detail": item.detail}
    geometry, placed = item.geometry, "no_geometry" not in item.flags
    return {
        "kind": "stack",
        "path": str(item.sources[0]),
        "files": len(item.sources),
        "modality": item.modality,
        "units": item.units,
        "format": item.source_format,
        "transfer_syntax": item.transfer_syntax,
        "slices": item.n_slices,
        "height": item.height,
        "width": item.width,
        "channels": item.channels,
        "plane": geometry.plane if placed else "unknown",
        "spacing_yx_mm": None if "no_spacing" in item.flags else geometry.spacing,
        "slice_spacing_mm": geometry.slice_spacing if placed else None,
        "gaps": geometry.gaps if placed else [],
        "tilt_deg": geometry.tilt_deg if placed else None,
        "affine_lps": geometry.affine.tolist() if placed else None,
        "flags": sorted(item.flags),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Text table of stacks, then of rejects."""
    stacks = [_cells(row) for row in rows if row["kind"] == "stack"]
    rejects = [(row["reason"], row["path"], row["detail"]) for row in rows if row["kind"] == "reject"]
    parts = [_align([COLUMNS, *stacks])] if stacks else []
    parts += [_align([("rejected", "path", "why"), *rejects])] if rejects else []
    return "\n\n".join(parts)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    sizes = [] if row["spacing_yx_mm"] is None else [f"{v:.3g}" for v in row["spacing_yx_mm"]]
    sizes += [] if row["slice_spacing_mm"] is None else [f"{row['slice_spacing_mm']:.3g}"]
    return (
        row["modality"],
        str(row["slices"]),
        f"{row['height']}x{row['width']}" + ("x3" if row["channels"] == 3 else ""),
        row["plane"],
        "x".join(sizes) or "-",
        "-" if row["tilt_deg"] is None else f"{row['tilt_deg']:.1f}",
        row["format"],
        ",".join(row["flags"]) or "-",
        row["path"],
    )


def _align(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)
