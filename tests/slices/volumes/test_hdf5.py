from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lvm_med_monai.slices.stack import FrameError, Reject, Stack
from lvm_med_monai.slices.volumes import hdf5
from lvm_med_monai.slices.volumes.hdf5 import read_hdf5

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 96, 96, 3), dtype=np.uint8)


def write(folder: Path, build: Callable[[h5py.File], object]) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        build(file)
    return folder / "a.h5"


def stored(**options: Any) -> Callable[[h5py.File], object]:
    return lambda file: file.create_dataset("x", data=PICTURES, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (3, 96, 96, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (10, 96, 96, 3), "compression": "lzf"},
    ],
    ids=["contiguous", "gzip", "lzf"],
)
def test_pictures_in_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    monkeypatch.setattr(hdf5, "STACK_PICTURES", 4)
    monkeypatch.setattr(hdf5, "SLAB_BYTES", 2 * 96 * 96 * 3)
    stacks = list(read_hdf5(write(tmp_path, stored(**options))))
    assert [stack.n_slices for stack in stacks if isinstance(stack, Stack)] == [4, 4, 2]
    for number, stack in enumerate(stacks):
        assert isinstance(stack, Stack)
        assert np.array_equal(stack.array(), PICTURES[4 * number : 4 * number + 4])
        assert (stack.source_format, stack.units, stack.channels) == ("hdf5", "display", 3)
        assert stack.flags == {"no_geometry", "no_spacing"}
    assert isinstance(stacks[0], Stack)
    assert np.array_equal(stacks[0].frame(3), PICTURES[3])
    assert np.array_equal(stacks[0].frame(0), PICTURES[0])  # back to a slab before


def linked(file: h5py.File) -> None:
    file.create_dataset("y", data=PICTURES)
    file["x"] = h5py.SoftLink("/y")


def linked_outside(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("other.h5", "/x")


def outside(file: h5py.File) -> None:
    other = Path(file.filename).with_name("other.bin")
    other.write_bytes(PICTURES.tobytes())
    file.create_dataset("x", PICTURES.shape, "u1", external=[(str(other), 0, PICTURES.nbytes)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=PICTURES.shape, dtype="u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=PICTURES.shape)
    file.create_virtual_dataset("x", layout)


def declared(*shape: int, dtype: str = "u1", **options: Any) -> Callable[[h5py.File], object]:
    return lambda file: file.create_dataset("x", shape, dtype, chunks=(1, *shape[1:]), **options)


@pytest.mark.parametrize(
    ("build", "reason", "detail"),
    [
        (lambda file: file.create_dataset("images", data=PICTURES), "unsupported", "without a data set x"),
        (lambda file: file.create_group("x"), "unsupported", "is no data set"),
        (lambda file: file.create_dataset("x", data=PICTURES[..., 0]), "unsupported", "is no data set"),
        (lambda file: file.create_dataset("x", data=PICTURES.astype("f4")), "unsupported", "is no data set"),
        (linked, "unsupported", "link to somewhere else"),
        (linked_outside, "unsupported", "link to somewhere else"),
        (outside, "unsupported", "lie in other files"),
        (virtual, "unsupported", "lie in other files"),
        (declared(4, 96, 96, 3, scaleoffset=4), "unsupported", "plug-in"),
        (declared(1 << 20, 4096, 4096, 3), "too_large", "bytes, more than"),
        (declared(1, 1 << 15, 1 << 15, 3), "too_large", "pixels, more than"),
        (declared(1 << 25, 8, 8, 3), "too_large", "pictures, more than"),
        (declared(1 << 20, 96, 96, 3), "truncated", "more pixels than the file can hold"),
        (lambda file: file.create_dataset("x", (0, 96, 96, 3), "u1"), "corrupt", "empty"),
    ],
)
def test_refused(tmp_path: Path, build: Callable[[h5py.File], object], reason: str, detail: str) -> None:
    (result,) = read_hdf5(write(tmp_path, build))
    assert isinstance(result, Reject)
    assert result.reason == reason
    assert detail in result.detail
    assert str(tmp_path) not in result.detail


@pytest.mark.parametrize("length", [0, 100, 2000])
def test_damaged_header(tmp_path: Path, length: int) -> None:
    path = write(tmp_path, stored())
    path.write_bytes(path.read_bytes()[:length])
    (result,) = read_hdf5(path)
    assert isinstance(result, Reject)
    assert result.reason == "corrupt"


def test_damaged_pixels(tmp_path: Path) -> None:
    path = write(tmp_path, stored(chunks=(10, 96, 96, 3), fletcher32=True))
    data = bytearray(path.read_bytes())
    place = data.index(PICTURES.tobytes()[:64])
    data[place + 7] ^= 1
    path.write_bytes(data)
    (stack,) = read_hdf5(path)
    assert isinstance(stack, Stack)
    with pytest.raises(FrameError, match="corrupt"):
        stack.frame(0)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, stored())
    monkeypatch.setitem(sys.modules, "h5py", None)
    (result,) = read_hdf5(path)
    assert isinstance(result, Reject)
    assert (result.reason, result.detail) == ("unsupported", "HDF5 needs h5py: pip install lvm-med-monai[hdf5]")
