"""From a file or folder to stacks: which files there are, and which reader takes each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lvm_med_monai.slices.dicom.reader import read_dicom
from lvm_med_monai.slices.inputs.archives import Spooled, SpoolFolder, spool
from lvm_med_monai.slices.inputs.companions import companions
from lvm_med_monai.slices.inputs.detect import ARCHIVE_KINDS, Kind, first_bytes, kind_of
from lvm_med_monai.slices.stack import FrameError, Reject, Stack
from lvm_med_monai.slices.volumes import plain
from lvm_med_monai.slices.volumes.itk import read_itk
from lvm_med_monai.slices.volumes.nifti import read_nifti
from lvm_med_monai.slices.volumes.plain import read_plain

VolumeReader = Callable[[Path, tuple[Path, ...]], Iterator["Stack | Reject"]]


def iter_stacks(path: str | os.PathLike[str]) -> Iterator[Stack | Reject]:
    """Stacks of a file, or of all files below a folder, without decoding pixels.

    The format is told by content first and by suffix second. Hidden files and links that lead out of the folder are
    rejected, not read. Every file is a source of a stack or the path of a reject.

    Args:
        path: file or folder.

    Returns:
        Rejects and stacks, in an order that depends on names and headers only.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the folder holds no file at all.
    """
    files, rejects = list_files(Path(path))
    return _chain(rejects, files)


def _chain(rejects: list[Reject], files: list[Path]) -> Iterator[Stack | Reject]:
    yield from rejects
    yield from stacks_of_files(files)


def list_files(path: Path) -> tuple[list[Path], list[Reject]]:
    """Files to read below ``path``, and those not to be read; both sorted by folder. Raises as `iter_stacks`."""
    files: list[Path] = []
    rejects: list[Reject] = []
    for item in walk_files(path):
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            files.append(item)
    if not files and not rejects:
        raise ValueError(f"{path} holds no files; give a folder with DICOM, NIfTI, MetaImage, NRRD or picture files")
    return files, rejects


def walk_files(path: Path) -> Iterator[Path | Reject]:
    """Files to read at or below ``path``, and rejects of those not to be read, folder by folder in order of names.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise FileNotFoundError(f"no file or folder {path}; check the path")
    root = path.resolve()
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        hidden = any(part.startswith(".") for part in Path(folder).relative_to(path).parts)
        for name in subfolders:
            if Path(folder, name).is_symlink():
                yield Reject(Path(folder, name), "symlink", "a link to a folder; links are not followed")
        for name in sorted(names):
            file = Path(folder, name)
            if hidden or name.startswith("."):
                yield Reject(file, "hidden", "the name begins with a dot")
            elif file.is_symlink() and not file.resolve().is_relative_to(root):
                yield Reject(file, "symlink", "a link that leads out of the folder")
            elif not file.is_file():
                yield Reject(file, "unrecognised", "a broken link, or no regular file")
            else:
                yield file


def stacks_of_files(files: Sequence[Path]) -> Iterator[Stack | Reject]:
    """Stacks and rejects of some files; DICOM files are grouped, every other file stands for itself."""
    kinds: dict[Kind, list[Path]] = defaultdict(list)
    for file in files:
        kinds[kind_of(file, first_bytes(file))].append(file)
    taken: set[Path] = set()
    results: list[Stack | Reject] = []
    for kind in WITH_COMPANIONS:
        for file in kinds[kind]:
            for result in _read(file, READERS[kind]):
                taken.update(result.sources if isinstance(result, Stack) else ())
                results.append(result)
    yield from read_dicom(kinds["dicom"])
    yield from results
    for single in SINGLE:
        for file in kinds[single]:
            yield from _read(file, READERS[single])
    for packed in ARCHIVE_KINDS:
        for file in kinds[packed]:
            yield from _stacks_of_archive(file, packed)
    yield from (unknown(file) for file in kinds["unknown"] if file not in taken)


def _read_hdf5(path: Path, _: tuple[Path, ...]) -> Iterator[Stack | Reject]:
    from lvm_med_monai.slices.volumes.hdf5 import read_hdf5

    return read_hdf5(path)


READERS: dict[Kind, VolumeReader] = {
    "nifti": read_nifti,
    "itk": read_itk,
    "hdf5": _read_hdf5,
    "picture": lambda path, _: read_plain(path),
}
"""Readers of files that are no part of a series."""
WITH_COMPANIONS: tuple[Kind, ...] = ("nifti", "itk")
"""Kinds whose headers may name other files."""
SINGLE: tuple[Kind, ...] = ("hdf5", "picture")
"""Kinds whose files stand alone."""


def _read(file: Path, reader: VolumeReader) -> Iterable[Stack | Reject]:
    found = companions(file)
    if isinstance(found, Reject):
        return [found]
    try:
        return list(reader(file, found))
    except (MemoryError, ImportError):  # no fault of the file
        raise
    except Exception as error:  # a header that a library did not foresee costs this file only
        return [Reject(file, "corrupt", f"the header cannot be read ({type(error).__name__})")]


def _stacks_of_archive(file: Path, kind: Kind) -> Iterator[Stack | Reject]:
    # The folder lives until the last stack that reads from it is gone.
    folder = SpoolFolder()
    try:
        spooled = spool(file, kind, folder.path)
    except OSError as error:
        spooled = Reject(file, "corrupt", f"the archive cannot be unpacked ({type(error).__name__}); check the disk")
    if isinstance(spooled, Reject):
        yield spooled
    else:
        yield from stacks_of_spooled(spooled, keep=folder)


def stacks_of_spooled(spooled: Spooled, keep: object = None) -> Iterator[Stack | Reject]:
    """Stacks and rejects of an archive's members, with their labels as paths.

    Args:
        spooled: the members.
        keep: an object that every stack holds on to, such as the temporary folder.
    """
    yield from spooled.rejects
    for item in stacks_of_files(list(spooled.labels)):
        if isinstance(item, Reject):
            yield replace(item, path=spooled.labels[item.path])
            continue
        yield replace(
            item,
            read_frame=_labelled_reader(item, spooled, keep),
            fill_frame=None,
            sources=tuple(spooled.labels[path] for path in item.sources),
            flags=item.flags | ({"missing"} if spooled.incomplete else set()),
        )


def _labelled_reader(stack: Stack, spooled: Spooled, keep: object) -> Callable[[int], NDArray[Any]]:
    def read_frame(index: int, _: object = keep) -> NDArray[Any]:
        try:
            return stack.read_frame(index)
        except FrameError as error:
            raise FrameError(replace(error.reject, path=spooled.labels[error.reject.path])) from error

    return read_frame


def unknown(file: Path) -> Reject:
    """Why a file that no reader takes is rejected."""
    try:
        if file.stat().st_size == 0:
            return Reject(file, "empty", "the file has no bytes")
        if not first_bytes(file):
            raise PermissionError
    except OSError:
        return Reject(file, "corrupt", "the file cannot be opened; check its permissions")
    if file.name.lower().endswith(plain.SUFFIXES):
        return Reject(file, "corrupt", "the suffix of a picture on something else")
    return Reject(file, "unrecognised", "not a format of medical or plain images")
