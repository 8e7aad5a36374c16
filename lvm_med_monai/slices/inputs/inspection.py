"""What a plan must know of each file: its kind and its unit, found without a native library."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from lvm_med_monai.slices.dicom.reader import read_frames
from lvm_med_monai.slices.dicom.twins import examination
from lvm_med_monai.slices.inputs.companions import companions
from lvm_med_monai.slices.inputs.detect import first_bytes, kind_of
from lvm_med_monai.slices.inputs.walk import unknown
from lvm_med_monai.slices.stack import Reject

REJECTED = "rejected"
"""Kind of a file, and of its unit, that is rejected without reading its pixels."""
DAMAGED = ("corrupt", "truncated")
"""Reasons that leave it open which series a DICOM file belongs to."""
ALONE = 4096
"""Files that are inspected sooner than processes are started."""
CHUNK = 64
"""Files that a process inspects at a time."""
AHEAD = 4
"""Chunks a process that are under way, which bounds the memory they take."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file.

    Attributes:
        path: below the source, with forward slashes; "." if the source is the file.
        kind: see `detect.Kind`, or `REJECTED`.
        key: of its unit; empty for files that have none yet.
        size: bytes.
        mtime_ns: time of its last change.
        reason: why it is rejected, or why it will be unless another file needs it; empty otherwise.
        detail: of the reject.
        companions: paths below the source of the pixel files that its header names.
        damaged: a DICOM file that may belong to any series of its folder.
        intent: PresentationIntentType, or empty.
        examination: what the two twins of a radiograph agree in; empty without ``intent``.
    """

    path: str
    kind: str
    key: str = ""
    size: int = 0
    mtime_ns: int = 0
    reason: str = ""
    detail: str = ""
    companions: tuple[str, ...] = ()
    damaged: bool = False
    intent: str = ""
    examination: tuple[str, ...] = ()


def inspect_all(root: Path, items: Iterable[Path | Reject], workers: int = 0) -> Iterator[Inspected]:
    """Inspect files in order.

    Args:
        root: path of the source.
        items: what `walk.walk_files` found.
        workers: processes to share the work, if there are many files; 0 does all of it in this one.
    """
    source = iter(items)
    yield from (inspect(root, item) for item in islice(source, ALONE if workers else None))
    first = next(source, None)
    if first is None:
        return
    source = chain([first], source)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: deque[Future[list[Inspected]]] = deque()
        while chunk := list(islice(source, CHUNK)):
            running.append(pool.submit(_inspect_chunk, root, chunk))
            if len(running) >= AHEAD * workers:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


def _inspect_chunk(root: Path, items: list[Path | Reject]) -> list[Inspected]:
    return [inspect(root, item) for item in items]


def inspect(root: Path, item: Path | Reject) -> Inspected:
    """Inspect one file, or take its reject as it is."""
    path = item.path if isinstance(item, Reject) else item
    try:
        status = path.lstat() if isinstance(item, Reject) else path.stat()
        size, changed = status.st_size, status.st_mtime_ns
    except OSError:
        size, changed = 0, 0
    below = path.relative_to(root).as_posix()
    found = _rejected(below, item) if isinstance(item, Reject) else _inspect_file(root, below, item)
    return replace(found, size=size, mtime_ns=changed)


def _inspect_file(root: Path, below: str, path: Path) -> Inspected:
    kind = kind_of(path, first_bytes(path))
    if kind == "dicom":
        return _inspect_dicom(below, path)
    if kind == "unknown":
        return replace(_rejected(below, unknown(path)), kind=kind)
    try:
        named = companions(path)
    except Exception as error:  # a damaged text header costs this file only
        named = Reject(path, "corrupt", f"the header cannot be read ({type(error).__name__})")
    if isinstance(named, Reject):
        return _rejected(below, named)
    return Inspected(below, kind, f"file {below}", companions=tuple(p.relative_to(root).as_posix() for p in named))


def _inspect_dicom(below: str, path: Path) -> Inspected:
    frames = read_frames(path)
    if isinstance(frames, Reject):
        return replace(_rejected(below, frames), damaged=frames.reason in DAMAGED)
    image = frames[0].image
    key = f"series {image.series_id}" if image.series_id else f"folder {folder_of(below)}"
    if not image.intent or not image.study_id:
        return Inspected(below, "dicom", key)
    return Inspected(below, "dicom", key, intent=image.intent, examination=examination(image))


def _rejected(below: str, reject: Reject) -> Inspected:
    return Inspected(below, REJECTED, reason=reject.reason, detail=reject.detail)


def folder_of(below: str) -> str:
    """Folder of a path below the source; "." for files at its top."""
    return str(PurePosixPath(below).parent)
