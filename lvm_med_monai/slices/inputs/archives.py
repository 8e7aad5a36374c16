"""Members of zip and tar archives, spooled to a private folder so that readers find ordinary files.

What an archive says is not believed: its names become file names only if they are plain, its links are not made, and
what it inflates to is counted while it is written, not read from its headers.
"""

from __future__ import annotations

import errno
import re
import shutil
import stat
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from lvm_med_monai.slices.inputs.detect import ARCHIVE_KINDS, Kind, first_bytes, kind_of
from lvm_med_monai.slices.stack import Reason, Reject

MAX_MEMBERS = 1 << 18
"""Entries of one archive."""
MAX_BYTES = 64 << 30
"""Bytes of all members together."""
MAX_RATIO = 200
"""Bytes of all members for each byte of the archive; medical images compress 2 to 10 times."""
FREE_BYTES = 64 << 20
"""An archive may always inflate to this, whatever the ratio: small files of zeros are common."""
CHUNK = 1 << 20
PLAIN_NAME = re.compile(r"[^\W_][\w .,=+()@-]{0,120}", re.ASCII)
"""A member's own name that is kept as a file name, so that headers find the pixel files they name."""
ENCRYPTED = 1
"""Bit of a zip member's flags."""


class TooLargeError(Exception):
    """The archive inflates beyond a limit; the text says which."""


@dataclass
class Spooled:
    """What became of the members of an archive.

    Attributes:
        labels: spooled file -> path that stands for the member: the archive's, then the name inside. It names no file;
            identities derive from it.
        rejects: members that were not spooled, by the same kind of path.
        incomplete: the archive ends early or is damaged; the reject of the archive itself is among ``rejects``.
    """

    labels: dict[Path, Path] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    incomplete: bool = False

    @property
    def inputs(self) -> list[Path]:
        """Labels of all members, and the archive itself if it is damaged."""
        return [*self.labels.values(), *(reject.path for reject in self.rejects)]


class SpoolFolder:
    """A private temporary folder that is removed with the last reference to this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lvm_med_slices_"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


def spool(archive: Path, kind: Kind, folder: Path) -> Spooled | Reject:
    """Write the members of an archive into a folder, in one pass.

    Args:
        archive: a zip, tar, or gzipped tar.
        kind: "zip" or "tar".
        folder: existing empty folder that nobody else can read.

    Returns:
        The members; or the reject of the whole archive if it cannot be opened, is empty, or exceeds a limit.
    """
    work = _Spooling(archive, folder)
    try:
        (work.read_zip if kind == "zip" else work.read_tar)()
    except TooLargeError as error:
        return Reject(archive, "too_large", str(error))
    except Exception as error:  # the modules of archives raise many types on damaged ones
        _raise_if_not_of_content(error)
        if not work.names:
            return Reject(archive, "corrupt", f"the archive cannot be read ({type(error).__name__}); copy it again")
        work.found.incomplete = True
        detail = f"the archive is damaged ({type(error).__name__}); what came before was read; copy it again"
        work.found.rejects.append(Reject(archive, "truncated", detail))
    return work.found if work.names else Reject(archive, "empty", "the archive has no files")


def _raise_if_not_of_content(error: Exception) -> None:
    """Go on with an error that is no fault of what the archive holds, such as a full disk."""
    # a wrong offset in the archive makes its module seek to nowhere, which is EINVAL
    of_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    if of_system or isinstance(error, (TooLargeError, MemoryError)):
        raise error


class _StrictInfo(tarfile.TarInfo):
    """Tells of an archive that ends early or has a damaged head; `tarfile` takes both for its end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]  # typeshed wants Self
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed leaves out the two zero blocks
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("a damaged head") from error


class _Spooling:
    """State while one archive is read."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive, self.folder, self.found = archive, folder, Spooled()
        self.names: set[Path] = set()
        self._taken: set[Path] = set()
        self._folders: dict[str, Path] = {}
        self._left = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))

    def read_zip(self) -> None:
        with zipfile.ZipFile(self.archive) as file:
            for info in file.infolist():
                if not info.is_dir():
                    self._member(info.filename, _zip_fault(info), partial(file.open, info))

    def read_tar(self) -> None:
        with tarfile.open(self.archive, "r|*", tarinfo=_StrictInfo) as file:
            while (info := file.next()) is not None:
                if not info.isdir():
                    self._member(info.name, _tar_fault(info), partial(file.extractfile, info))
                # A stream keeps every head it has seen, which nobody needs.
                file.members = []  # type: ignore[attr-defined]  # documented in tarfile's source only

    def _member(self, name: str, fault: tuple[Reason, str] | None, opener: Callable[[], IO[bytes] | None]) -> None:
        if len(self.names) >= MAX_MEMBERS:
            raise TooLargeError(f"the archive has more than {MAX_MEMBERS} files")
        name = name.replace("\\", "/")
        label = self._label(name)
        if fault is None and any(part.startswith(".") for part in name.split("/") if part not in (".", "..")):
            fault = ("hidden", "the name begins with a dot")
        if fault is not None:
            self.found.rejects.append(Reject(label, *fault))
            return
        path = self._place(name)
        try:
            with opener() as source, path.open("xb") as target:  # type: ignore[union-attr]  # None for folders only
                self._copy(source, target)
        except Exception as error:  # as above; the other members may be whole
            _raise_if_not_of_content(error)
            path.unlink(missing_ok=True)
            detail = f"the member cannot be unpacked ({type(error).__name__}); pack it again"
            self.found.rejects.append(Reject(label, "corrupt", detail))
            return
        if kind_of(path, first_bytes(path)) in ARCHIVE_KINDS:
            path.unlink()
            self.found.rejects.append(Reject(label, "unsupported", "an archive in an archive; unpack the outer one"))
            return
        self.found.labels[path] = label

    def _copy(self, source: IO[bytes], target: IO[bytes]) -> None:
        while piece := source.read(CHUNK):
            self._left -= len(piece)
            if self._left < 0:
                raise TooLargeError(
                    f"the archive inflates to more than {MAX_RATIO} times its size, or {MAX_BYTES} bytes"
                )
            target.write(piece)

    def _label(self, name: str) -> Path:
        """Path that stands for a member; names that occur twice are told apart."""
        inner = "/".join(part for part in name.split("/") if part not in ("", ".")) or "unnamed"
        label, count = Path(f"{self.archive}/{inner}"), 1
        while label in self.names:
            count += 1
            label = Path(f"{self.archive}/{inner}#{count}")
        self.names.add(label)
        return label

    def _place(self, name: str) -> Path:
        """New file for a member: a numbered folder for each of the archive's, and its own name where that is plain."""
        parent, _, own = name.rpartition("/")
        if parent not in self._folders:
            self._folders[parent] = self.folder / f"{len(self._folders):06d}"
            self._folders[parent].mkdir(mode=0o700)
        path = self._folders[parent] / own
        if not PLAIN_NAME.fullmatch(own) or path in self._taken:
            suffix = "".join(s for s in Path(own).suffixes[-2:] if re.fullmatch(r"\.\w{1,8}", s))
            path = self._folders[parent] / f"{len(self._taken):06d}-{suffix}"
        self._taken.add(path)
        return path


def _zip_fault(info: zipfile.ZipInfo) -> tuple[Reason, str] | None:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        return "symlink", "a link in an archive; links are not followed"
    if mode not in (0, stat.S_IFREG):
        return "unsupported", "a member that is no regular file"
    if info.flag_bits & ENCRYPTED:
        return "unsupported", "an encrypted member; unpack it with its password first"
    return None


def _tar_fault(info: tarfile.TarInfo) -> tuple[Reason, str] | None:
    if info.issym() or info.islnk():
        return "symlink", "a link in an archive; links are not followed"
    if not info.isreg() or info.issparse():
        return "unsupported", "a member that is no regular file"
    return None
