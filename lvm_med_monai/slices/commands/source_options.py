"""Options that say what the sources are, shared by ``scan`` and ``extract``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvm_med_monai.slices.source import Source
    from lvm_med_monai.slices.work.plan import Plan

OF_SOURCES = ("dataset", "modality", "tile", "planes", "split", "patient", "patients")
"""Options that become attributes of every source."""


def add_source_options(parser: Any) -> None:
    """Add the options, in a group of their own."""
    add = parser.add_argument_group("sources").add_argument
    add("--sources", type=Path, metavar="FILE", help="JSON list of objects: path, and any of the options below")
    add("--dataset", metavar="NAME", help="name of the data set (default: unnamed)")
    add("--modality", metavar="CODE", help="replaces what the files say; CT makes NIfTI and NRRD values HU")
    add("--split", metavar="NAME", help="train, test or any name; undecided if left out, see --splits")
    add("--planes", nargs="+", metavar="PLANE", help="acquisition (default), axial, coronal, sagittal")
    add("--tile", type=int, metavar="PIXELS", help="cut large pictures into square tiles")
    add(
        "--patient",
        metavar="REGEX",
        help="names the patient of files without PatientID by their path, as (sub-[0-9]+)/",
    )
    add("--patients", metavar="NAME", help="name space of patients, the same for data sets with common patients")


def sources_of(options: argparse.Namespace, paths: list[Path]) -> list[Source]:
    """Sources of the paths and of the file of sources."""
    from lvm_med_monai.slices.source import Source, read_sources

    given = {name: value for name in OF_SOURCES if (value := getattr(options, name)) is not None}
    sources = [Source(path, **given) for path in paths]
    return sources + (read_sources(options.sources) if options.sources else [])


def plan_or_sources(options: argparse.Namespace) -> Plan | list[Source]:
    """The plan if one was given in place of sources, else the sources.

    Raises:
        ValueError: a plan together with sources, or with options that it holds already.
    """
    from lvm_med_monai.slices.work.plan import is_plan, read_plan

    if not any(is_plan(path) for path in options.paths):
        return sources_of(options, options.paths)
    given = [f"--{name}" for name in (*OF_SOURCES, "sources") if getattr(options, name) is not None]
    if len(options.paths) > 1 or given:
        extra = ", ".join(given) or "other sources"
        raise ValueError(
            f"a plan names its sources and their options itself; leave out {extra}, or give them to `scan`"
        )
    return read_plan(options.paths[0])
