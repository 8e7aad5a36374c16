"""Archives for tests, and what becomes of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, extract, read_manifest, read_slice
from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Reject, Stack

ALL = SlicePolicy(every_mm=0)


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 44), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def gzipped(path: Path, members: dict[str, bytes]) -> Path:
    return tarred(path, members, "w:gz")


def run(source: Path, tmp_path: Path, out: str = "out"):
    return extract([source], tmp_path / out, ALL, tmp_path / "key", progress=False)


def outcomes(path: Path) -> tuple[list[Stack], dict[str, str]]:
    results = list(iter_stacks(path))
    stacks = [result for result in results if isinstance(result, Stack)]
    return stacks, {r.path.name: r.reason for r in results if isinstance(r, Reject)}


def pixels(out: Path) -> dict[tuple[str, int, int], bytes]:
    rows = read_manifest(out).to_pylist()
    return {(r["series_h"], r["stack_index"], r["slice_index"]): read_slice(out, r).tobytes() for r in rows}
