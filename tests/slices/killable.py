"""An extraction that a test kills: ``python killable.py SOURCES PLAN OUT KEY WORKERS RANK WORLD_SIZE``."""

from __future__ import annotations

import sys
from pathlib import Path

from lvm_med_monai.slices import SlicePolicy, extract
from lvm_med_monai.slices.work import units
from lvm_med_monai.slices.work.plan import read_plan

PART_BYTES = 4 * units.FILE_BYTES
"""Small parts, so that little input makes many."""


def main(plan: str, out: str, key: str, workers: int, rank: int, world_size: int) -> None:
    policy = SlicePolicy(every_mm=0)
    ranks = {"rank": rank, "world_size": world_size}
    extract(read_plan(Path(plan)), out, policy, key, progress=False, workers=workers, **ranks)


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:7]))
