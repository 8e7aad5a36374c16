"""From a file or folder to stacks: which files there are, and which reader takes each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lvm_med_monai.slices import itk_volume, nifti, plain
from lvm_med_monai.slices.companions import companions
from lvm_med_monai.slices.dicom import read_dicom
from lvm_med_monai.slices.dicom_header import looks_like_dicom
from lvm_med_monai.slices.itk_volume import read_itk
from lvm_med_monai.slices.nifti import read_nifti
from lvm_med_monai.slices.plain import read_plain
from lvm_med_monai.slices.stack import Reject, Stack

PLAIN_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"BM")
"""First bytes of PNG, JPEG, TIFF (both byte orders) and BMP."""
START_BYTES = 132
"""Bytes that tell the format of a file."""

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
    """Files to read below ``path``, and those not to be read; both sorted. Raises as `iter_stacks`."""
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise FileNotFoundError(f"no file or folder {path}; check the path")
    root = path.resolve()
    files: list[Path] = []
    rejects: list[Reject] = []
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        rejects += [
            Reject(Path(folder, name), "symlink", "a link to a folder; links are not followed") for name in links
        ]
        for name in sorted(names):
            file = Path(folder, name)
            if any(part.startswith(".") for part in file.relative_to(path).parts):
                rejects.append(Reject(file, "hidden", "the name begins with a dot"))
            elif file.is_symlink() and not file.resolve().is_relative_to(root):
                rejects.append(Reject(file, "symlink", "a link that leads out of the folder"))
            elif not file.is_file():
                rejects.append(Reject(file, "unrecognised", "a broken link, or no regular file"))
            else:
                files.append(file)
    if not files and not rejects:
        raise ValueError(f"{path} holds no files; give a folder with DICOM, NIfTI, MetaImage, NRRD or picture files")
    return files, rejects


def stacks_of_files(files: Sequence[Path]) -> Iterator[Stack | Reject]:
    """Stacks and rejects of some files; DICOM files are grouped, every other file stands for itself."""
    dicom: list[Path] = []
    volumes: list[tuple[Path, VolumeReader]] = []
    pictures: list[Path] = []
    unknown: list[Path] = []
    for file in files:
        start = _start(file)
        reader = _volume_reader(file, start)
        if start[128:] == b"DICM":
            dicom.append(file)
        elif reader is not None:
            volumes.append((file, reader))
        elif start.startswith(PLAIN_MAGIC):
            pictures.append(file)
        elif looks_like_dicom(start):
            dicom.append(file)
        else:
            unknown.append(file)
    taken: set[Path] = set()
    results: list[Stack | Reject] = []
    for file, reader in volumes:
        for result in _read(file, reader):
            taken.update(result.sources if isinstance(result, Stack) else ())
            results.append(result)
    yield from read_dicom(dicom)
    yield from results
    for file in pictures:
        yield from _read(file, lambda path, _: read_plain(path))
    yield from (_unknown(file) for file in unknown if file not in taken)


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as handle:
            return handle.read(START_BYTES)
    except OSError:
        return b""


def _volume_reader(file: Path, start: bytes) -> VolumeReader | None:
    name = file.name.lower()
    if not start:
        return None
    if name.endswith(nifti.SUFFIXES):
        return read_nifti
    return read_itk if name.endswith(itk_volume.SUFFIXES) or start.startswith(b"NRRD000") else None


def _read(file: Path, reader: VolumeReader) -> Iterable[Stack | Reject]:
    found = companions(file)
    if isinstance(found, Reject):
        return [found]
    try:
        return list(reader(file, found))
    except Exception as error:  # a header that a library did not foresee costs this file only
        return [Reject(file, "corrupt", f"the header cannot be read ({type(error).__name__})")]


def _unknown(file: Path) -> Reject:
    try:
        if file.stat().st_size == 0:
            return Reject(file, "empty", "the file has no bytes")
    except OSError:
        return Reject(file, "corrupt", "the file cannot be opened; check its permissions")
    if file.name.lower().endswith(plain.SUFFIXES):
        return Reject(file, "corrupt", "the suffix of a picture on something else")
    return Reject(file, "unrecognised", "not a format of medical or plain images")
