"""What `scan` prints: one line a stack or reject, for the owner of the data (paths are shown)."""

from __future__ import annotations

from typing import Any

from lvm_med_monai.slices.stack import Reject, Stack

COLUMNS = ("modality", "slices", "size", "plane", "spacing", "tilt", "format", "flags", "path")


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
