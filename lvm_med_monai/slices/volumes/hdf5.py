"""The HDF5 files of PatchCamelyon: one data set ``x`` of small colour pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.geometry import SliceGeometry
from lvm_med_monai.slices.limits import MAX_DEFLATE_RATIO, size_fault
from lvm_med_monai.slices.stack import Reject, Stack
from lvm_med_monai.slices.volumes.lazy import read_or_reject

SUFFIXES = (".h5", ".hdf5")
MAGIC = b"\x89HDF\r\n\x1a\n"
PICTURES = "x"
"""Name of the data set."""
STACK_PICTURES = 4096
"""Pictures of a stack; the files hold hundreds of thousands."""
SLAB_BYTES = 16 << 20
"""Pictures are read in runs of about this size, one at a time in memory."""
MAX_PICTURES = 1 << 24
MAX_CHUNK_BYTES = 1 << 30
"""Decoded size of one chunk; the library inflates a chunk as a whole."""
FILTERS = frozenset({1, 2, 3, 32000})
"""HDF5's numbers of deflate, shuffle, checksum and LZF, which h5py brings along; others would load plug-ins."""


def read_hdf5(path: Path, companions: tuple[Path, ...] = ()) -> Iterator[Stack | Reject]:
    """Stacks of a file in the layout of PatchCamelyon, without reading its pixels.

    That is a data set ``x`` of shape (N, H, W, 3), uint8, inside the file itself. Its pictures become stacks of at
    most `STACK_PICTURES` in their order, flagged ``no_geometry``. Links to other files, virtual data sets and data in
    other files are refused, because they would let a file show what lies elsewhere on the disk.

    Args:
        path: the file.
        companions: none; the interface of readers has them.

    Yields:
        Stacks, or one reject: ``unsupported`` for any other layout, or if the extra ``hdf5`` is not installed.
    """
    try:
        import h5py
    except ImportError:
        yield Reject(path, "unsupported", "HDF5 needs h5py: pip install lvm-med-monai[hdf5]")
        return
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = _pictures(file, path)
    except MemoryError:
        raise
    except Exception as error:  # h5py raises many types for broken files
        found = Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")
    if isinstance(found, Reject):
        yield found
        return
    for start in range(0, found[0], STACK_PICTURES):
        yield _stack(path, start, min(STACK_PICTURES, found[0] - start), *found[1:])


def _pictures(file: Any, path: Path) -> tuple[int, int, int] | Reject:
    """(N, H, W) of the data set, or why it is not read."""
    import h5py

    kind = file.get(PICTURES, getclass=True, getlink=True)
    if kind is None:
        return Reject(path, "unsupported", f"an HDF5 file without a data set {PICTURES}, unlike those of PatchCamelyon")
    if kind is not h5py.HardLink:
        return Reject(path, "unsupported", f"{PICTURES} is a link to somewhere else; store the pictures themselves")
    data = file[PICTURES]
    if not isinstance(data, h5py.Dataset) or data.ndim != 4 or data.shape[3] != 3 or data.dtype != np.uint8:
        return Reject(path, "unsupported", f"{PICTURES} is no data set (N, H, W, 3) of uint8")
    if data.is_virtual or data.external:
        return Reject(path, "unsupported", f"the pixels of {PICTURES} lie in other files; store them in this one")
    if _filters(data) - FILTERS:
        return Reject(path, "unsupported", f"{PICTURES} is compressed by a plug-in; use gzip or lzf")
    return _size_reject(data, path) or (int(data.shape[0]), int(data.shape[1]), int(data.shape[2]))


def _filters(data: Any) -> set[int]:
    """HDF5's numbers of the filters of a data set."""
    properties = data.id.get_create_plist()
    return {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}


def _size_reject(data: Any, path: Path) -> Reject | None:
    count, height, width = (int(n) for n in data.shape[:3])
    # Only as many pictures as a stack holds are decoded at a time, so the file as a whole may be larger.
    if reason := size_fault(height, width, min(count, STACK_PICTURES), 3):
        return Reject(path, "too_large" if count and height and width else "corrupt", reason)
    if count > MAX_PICTURES:
        return Reject(path, "too_large", f"declares {count} pictures, more than {MAX_PICTURES}")
    if data.chunks is not None and int(np.prod([float(n) for n in data.chunks])) > MAX_CHUNK_BYTES:
        return Reject(path, "too_large", f"declares chunks of more than {MAX_CHUNK_BYTES} bytes")
    if float(count) * height * width * 3 > path.stat().st_size * float(MAX_DEFLATE_RATIO):
        return Reject(path, "truncated", "the header declares more pixels than the file can hold; copy the file again")
    return None


def _stack(path: Path, start: int, count: int, height: int, width: int) -> Stack:
    run = _Run(path, start, count, max(1, SLAB_BYTES // (height * width * 3)))
    origins = np.zeros((count, 3))
    origins[:, 2] = np.arange(start, start + count)
    return Stack(
        read_frame=run.picture,
        geometry=SliceGeometry(origins, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (1.0, 1.0)),
        height=height,
        width=width,
        channels=3,
        dtype=np.dtype(np.uint8),
        modality="unknown",
        units="display",
        source_format="hdf5",
        sources=(path,),
        frame_sources=(0,) * count,
        flags=frozenset({"no_geometry", "no_spacing"}),
    )


class _Run:
    """Pictures ``start`` to ``start + count`` of a file, of which a slab of ``step`` is in memory."""

    def __init__(self, path: Path, start: int, count: int, step: int) -> None:
        self.path, self.start, self.count, self.step = path, start, count, step
        self._first = -1
        self._slab: NDArray[Any] = np.empty(0, dtype=np.uint8)

    def picture(self, i: int) -> NDArray[Any]:
        """(H, W, 3) uint8; raises `FrameError` if it cannot be decoded."""
        first = i - i % self.step
        if first != self._first:
            self._slab = read_or_reject(self.path, lambda: self._read(first))
            self._first = first
        return self._slab[i - first]

    def _read(self, first: int) -> NDArray[Any]:
        import h5py

        stop = min(first + self.step, self.count)
        with h5py.File(self.path, "r", locking=False) as file:
            return file[PICTURES][self.start + first : self.start + stop]
