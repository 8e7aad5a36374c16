"""``extract``: sources to shards and manifest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.slices.commands.output import print_fields
from lvm_med_monai.slices.commands.source_options import add_source_options, plan_or_sources
from lvm_med_monai.slices.commands.work_options import add_work_options, plan_workers, work_limits, worker_count

if TYPE_CHECKING:
    from lvm_med_monai.slices.selection import SlicePolicy
    from lvm_med_monai.slices.store.storage import Storage

RANK_VARIABLES = (("SLURM_PROCID", "SLURM_NTASKS"), ("RANK", "WORLD_SIZE"))
"""Environment of Slurm's srun and of torchrun: rank and number of processes."""
DESCRIPTION = """\
Write the slices of some sources into tar shards, with a manifest of the slices and a table of the files that gave none.

Files are read in worker processes with limits of memory and time. One that crashes, hangs or swallows memory costs its
series or file, which ends in the rejects with the reason; everything else is unharmed. Run the same command again to go
on where an interruption stopped it: finished parts are skipped, and the result is the same as without interruption."""
EPILOG = """\
examples:
  one machine, all cores:
    python -m lvm_med_monai.slices extract ct_scans -o slices --dataset ct_scans --splits train=0.9,test=0.1
  with a plan, which is made once and can be looked at:
    python -m lvm_med_monai.slices scan --sources sources.json -o plan.parquet
    python -m lvm_med_monai.slices extract plan.parquet -o slices
  Slurm, 64 processes on any number of nodes, then one that puts the tables together:
    srun --ntasks 64 --cpus-per-task 1 \\
        python -m lvm_med_monai.slices extract plan.parquet -o slices --key slices.key --workers 1
    python -m lvm_med_monai.slices merge slices
  Ray, on a running cluster that shares the file system:
    python -m lvm_med_monai.slices extract plan.parquet -o slices --engine ray --ray-address auto

exit status: 0 done; 1 done, but some series or files crashed, hung or ran out of memory; 2 wrong input;
130 interrupted"""


def add_parser(commands: Any) -> None:
    """Add the parser of ``extract``."""
    raw = argparse.RawDescriptionHelpFormatter
    extract = commands.add_parser(
        "extract",
        help="write slices, manifest and rejects",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=raw,
    )
    add = extract.add_argument
    add("paths", nargs="*", type=Path, metavar="SRC", help="file, folder or archive; or one plan that `scan` wrote")
    add("-o", "--out", type=Path, required=True, help="output folder; what is finished there is kept")
    add("--key", type=Path, metavar="FILE", help="secret key of the identities; made if missing (default: OUT.key)")
    add("--json", action="store_true", help="print the summary as one JSON object")
    add_source_options(extract)
    _add_selection(extract.add_argument_group("selection"))
    _add_storage(extract.add_argument_group("storage"))
    _add_work(add_work_options(extract))
    extract.set_defaults(run=run)


def _add_selection(group: Any) -> None:
    add = group.add_argument
    add("--every-mm", type=float, metavar="MM", help="least distance of kept slices; 0 keeps all (default: 3)")
    add("--min-foreground", type=float, metavar="SHARE", help="least share of foreground pixels (default: 0.05)")
    add("--min-size", type=int, metavar="PIXELS", help="least height and width (default: 32)")
    add(
        "--near-duplicates",
        type=int,
        metavar="BITS",
        help="drop slices whose 64-bit difference hash is this near to a kept one of the stack; 2 is a good start",
    )
    add("--keep-burned-in", action="store_true", help="extract images that may show patient names as text")
    add("--splits", metavar="SHARES", help="such as train=0.8,validation=0.1,test=0.1: by patient, where none is given")


def _add_storage(group: Any) -> None:
    add = group.add_argument
    add("--codec", help="png (default), jxl, htj2k or blosc2, all lossless; all but png need the extra codecs")
    add("--bits", type=int, help="16 (default) keeps the values, 8 keeps 256 steps of a window")
    add(
        "--preset", metavar="NAME", help="window of 8 bits: ct, lung, bone, mr, xray and so on; by modality if left out"
    )


def _add_work(group: Any) -> None:
    add = group.add_argument
    add("--resume", action=argparse.BooleanOptionalAction, default=True, help="skip what is finished")
    add("--rank", type=int, metavar="R", help="number of this process among several (default: Slurm's or torchrun's)")
    add("--world-size", type=int, metavar="W", help="processes that share the parts; `merge` writes the tables then")
    add("--engine", choices=("local", "ray"), default="local", help="ray needs the extra ray")
    add("--ray-address", metavar="ADDRESS", help="of the cluster; without it Ray finds one, or starts one here")


def run(options: argparse.Namespace) -> int:
    """Extract, and print the totals; 1 if units were left out because they crashed, hung or ran out of memory."""
    from lvm_med_monai.slices.splits import Splits
    from lvm_med_monai.slices.work.extraction import extract

    rank, world_size = _place(options, os.environ)
    summary = extract(
        plan_or_sources(options),
        options.out,
        _policy(options),
        options.key,
        keep_burned_in=options.keep_burned_in,
        storage=_storage(options),
        splits=Splits.parse(options.splits) if options.splits else None,
        workers=worker_count(options),
        plan_workers=plan_workers(options),
        rank=rank,
        world_size=world_size,
        resume=options.resume,
        engine=options.engine,
        ray_address=options.ray_address,
        limits=work_limits(options),
    )
    print_fields(asdict(summary), options.json)
    if summary.units_failed:
        print(
            f"{summary.units_failed} series or files crashed, hung or ran out of memory and were left out; the rejects "
            "name the reason. To try them again, change --memory-limit or --time-limit",
            file=sys.stderr,
        )
    return 1 if summary.units_failed else 0


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _policy(options: argparse.Namespace) -> SlicePolicy:
    from lvm_med_monai.slices.selection import SlicePolicy

    given = _given(
        every_mm=options.every_mm,
        min_foreground=options.min_foreground,
        min_size=options.min_size,
        near_duplicates=options.near_duplicates,
    )
    return SlicePolicy(**given)


def _storage(options: argparse.Namespace) -> Storage:
    from lvm_med_monai.slices.store.storage import Storage

    return Storage(**_given(codec=options.codec, bits=options.bits, preset=options.preset))


def _place(options: argparse.Namespace, environment: Mapping[str, str]) -> tuple[int, int]:
    """Rank and world size: as given, else from the environment, else alone.

    Raises:
        ValueError: one of the two is given without the other.
    """
    if (options.rank is None) != (options.world_size is None):
        raise ValueError("--rank and --world-size go together; give both or neither")
    if options.rank is not None:
        return options.rank, options.world_size
    for rank, size in RANK_VARIABLES:
        if rank in environment and size in environment and int(environment[size]) > 1:
            place = int(environment[rank]), int(environment[size])
            print(
                f"rank {place[0]} of {place[1]} (from {rank}); run `merge` when all are done. "
                "Give --rank 0 --world-size 1 to do all of it here",
                file=sys.stderr,
            )
            return place
    return 0, 1
