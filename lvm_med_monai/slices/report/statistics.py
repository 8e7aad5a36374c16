"""What an extracted folder holds, in numbers: counts, distributions, and intensities of a sample."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai import __version__
from lvm_med_monai.slices.report.montage_choice import KEYS, choose
from lvm_med_monai.slices.store.manifest import FILES, REJECTS, read_manifest, read_table
from lvm_med_monai.slices.store.shards import read_slice
from lvm_med_monai.slices.work.part_extraction import PARTS, read_settings

if TYPE_CHECKING:
    import pyarrow

BINS = 64
SAMPLE_PIXELS = 1 << 16
"""Pixels of a slice that enter the histogram of intensities; more are thinned out evenly."""
PERCENTILES = (0.1, 1, 5, 25, 50, 75, 95, 99, 99.9)
COUNTED = ("modality", "dataset", "split", "plane", "units", "source_format", "codec")
MEASURED = ("spacing_x", "spacing_y", "slice_spacing", "foreground_fraction", "height", "width")
STACK = ("patient_h", "series_h", "stack_index", "plane")


def collect(out: str | os.PathLike[str], sample: int = 32) -> dict[str, Any]:
    """Statistics of an output, ready for JSON.

    Args:
        out: folder that `extract` wrote.
        sample: slices of each modality whose pixels are read for the histograms of intensities; always the same ones.

    Returns:
        ``totals``; ``counts`` of slices by field and value; ``datasets`` and ``splits`` with slices and patients;
        ``sizes``; ``distributions`` of spacings (mm), sizes (pixels) and foreground with ``edges``, ``counts`` and
        ``percentiles``; ``flags`` (slices); ``rejects`` (files) and ``dropped`` (slices or tiles) by reason;
        ``intensities`` by modality and unit.

    Raises:
        FileNotFoundError: ``out`` was not written by `extract`.
        ValueError: ``sample`` is negative, or a slice of it cannot be read.
    """
    if sample < 0:
        raise ValueError(f"sample is a number of slices, got {sample}")
    fields = dict.fromkeys((*COUNTED, *MEASURED, *KEYS, "study_h", "flags", "slice_index", "nbytes", "channels"))
    table = read_manifest(out, list(fields))
    files, rejects = read_table(out, FILES, ["outcome"]), read_table(out, REJECTS, ["reason"])
    rejected = count_values(rejects, "reason")
    return {
        "tool_version": __version__,
        "totals": _totals(Path(out), table, files, rejected),
        "counts": {field: count_values(table, field) for field in COUNTED},
        "datasets": _groups(table, "dataset"),
        "splits": _groups(table, "split"),
        "sizes": _sizes(table),
        "distributions": {
            field: distribution(_numbers(table, field)) for field in MEASURED if _numbers(table, field).size
        },
        "flags": _flag_counts(table),
        "rejects": rejected,
        "dropped": _dropped(Path(out)),
        "intensities": _intensities(out, table, sample),
    }


def count_values(table: pyarrow.Table, field: str) -> dict[str, int]:
    """Value -> rows, most frequent first; ties by name."""
    entries = table[field].value_counts().to_pylist()
    return dict(sorted(((str(e["values"]), e["counts"]) for e in entries), key=lambda item: (-item[1], item[0])))


def distribution(values: NDArray[np.float64]) -> dict[str, Any]:
    """Histogram between the 0.1st and 99.9th percentile, whose outer bins take what lies beyond.

    Args:
        values: (N,) finite, N > 0.

    Returns:
        ``n``; ``edges`` (B + 1) and ``counts`` (B), B = `BINS`, or 1 if all values are equal; ``percentiles`` by name.
    """
    percentiles = np.percentile(values, PERCENTILES)
    low, high = float(percentiles[0]), float(percentiles[-1])
    bins = BINS if high > low else 1
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high) if high > low else None)
    named = {f"{p:g}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)}
    return {"n": int(values.size), "edges": edges.tolist(), "counts": counts.tolist(), "percentiles": named}


def _numbers(table: pyarrow.Table, field: str) -> NDArray[np.float64]:
    return np.asarray(table[field].drop_null().to_numpy(), dtype=np.float64)


def _distinct(table: pyarrow.Table, *fields: str) -> int:
    return table.select(list(fields)).group_by(list(fields)).aggregate([]).num_rows


def _totals(out: Path, table: pyarrow.Table, files: pyarrow.Table, rejected: dict[str, int]) -> dict[str, int]:
    outcomes = count_values(files, "outcome")
    return {
        "slices": len(table),
        "files_in": len(files),
        "files_in_manifest": outcomes.get("manifest", 0),
        "files_in_rejects": sum(rejected.values()),
        "files_quarantined": rejected.get("burned_in_risk", 0),
        "patients": _distinct(table, "patient_h"),
        "studies": _distinct(table, "study_h"),
        "series": _distinct(table, "series_h"),
        "stacks": _distinct(table, *STACK),
        "image_bytes": sum(table["nbytes"].to_pylist()),
        "shard_bytes": sum(path.stat().st_size for path in (out / PARTS).rglob("*.tar")),
    }


def _groups(table: pyarrow.Table, field: str) -> list[dict[str, Any]]:
    groups = table.group_by(field).aggregate([("patient_h", "count_distinct"), ("nbytes", "sum"), ("nbytes", "count")])
    rows = [
        {
            "name": row[field],
            "slices": row["nbytes_count"],
            "patients": row["patient_h_count_distinct"],
            "image_bytes": row["nbytes_sum"],
        }
        for row in groups.to_pylist()
    ]
    return sorted(rows, key=lambda row: row["name"])


def _sizes(table: pyarrow.Table) -> dict[str, int]:
    entries = table.group_by(["width", "height"]).aggregate([("nbytes", "count")]).to_pylist()
    counted = ((f"{e['width']}x{e['height']}", e["nbytes_count"]) for e in entries)
    return dict(sorted(counted, key=lambda item: (-item[1], item[0])))


def _flag_counts(table: pyarrow.Table) -> dict[str, int]:
    import pyarrow.compute as pc

    flat = pc.list_flatten(table["flags"])
    return dict(sorted((e["values"], e["counts"]) for e in flat.value_counts().to_pylist()))


def _dropped(out: Path) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in sorted(path for path in (out / PARTS).iterdir() if path.is_dir() and path.name[0] != "."):
        total.update(read_settings(part).get("dropped", {}))
    return dict(sorted(total.items()))


def _intensities(out: str | os.PathLike[str], table: pyarrow.Table, sample: int) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    kinds = table.select(["modality", "units", "channels"]).group_by(["modality", "units", "channels"]).aggregate([])
    results: list[dict[str, Any]] = []
    if not sample or not len(table):
        return results
    whole = read_manifest(out)
    for kind in sorted(kinds.to_pylist(), key=lambda kind: (kind["modality"], kind["units"], kind["channels"])):
        masks = [pc.equal(whole[name], value) for name, value in kind.items()]
        own = whole.filter(pc.and_(pc.and_(masks[0], masks[1]), masks[2]))
        rows = own.take(choose(own, sample)).to_pylist()
        results.append({**kind, "slices": len(rows), "window": _median_window(rows), **_pixels(out, rows)})
    return results


def _median_window(rows: list[dict[str, Any]]) -> list[float]:
    return [float(np.median([row[name] for row in rows])) for name in ("window_lower", "window_upper")]


def _pixels(out: str | os.PathLike[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Distribution of the pixels of some slices; of all channels together in colour."""
    thinned = []
    for row in rows:
        values = read_slice(out, row).reshape(-1)
        thinned.append(values[:: max(1, values.size // SAMPLE_PIXELS)].astype(np.float64))
    return distribution(np.concatenate(thinned))
