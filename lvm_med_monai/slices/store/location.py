"""Where an extracted folder lies: on a disk, or in an object store that fsspec reaches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Location:
    """A folder and how to read from it; may be pickled and forked.

    Attributes:
        url: local path, or URL with a scheme that fsspec knows: ``s3://bucket/slices``, ``memory://slices``.
    """

    url: str

    @classmethod
    def of(cls, root: str | os.PathLike[str] | Location) -> Location:
        """Of a path or URL; ``file://`` becomes the path."""
        if isinstance(root, Location):
            return root
        text = os.fspath(root)
        return cls((text.rstrip("/") or "/").removeprefix("file://"))

    @property
    def is_local(self) -> bool:
        """Whether it is a path."""
        return "://" not in self.url

    @property
    def name(self) -> str:
        """Last part, for messages."""
        return self.url.rpartition("/")[2] or self.url

    def __str__(self) -> str:
        return self.url

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file below this folder, with one request.

        Args:
            name: relative to the folder, with slashes.
            start: first byte.
            length: how many bytes; fewer are returned where the file ends. All that follow if None.

        Raises:
            FileNotFoundError: it is not there.
            ImportError: the store needs a package that is not installed, as fsspec says.
        """
        if not self.is_local:
            files, folder = _remote(self.url, os.getpid())
            return files.cat_file(f"{folder}/{name}", start, None if length is None else start + length)
        with Path(self.url, name).open("rb", buffering=0) as file:
            if length is None:
                file.seek(start)
                return file.read()
            return os.pread(file.fileno(), length, start)

    def open(self, name: str) -> BinaryIO:
        """A file below this folder, to be read in pieces; raises as `read`."""
        if self.is_local:
            return Path(self.url, name).open("rb")
        files, folder = _remote(self.url, os.getpid())
        return files.open(f"{folder}/{name}", "rb")

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.is_local:
            return Path(self.url, name).is_file()
        files, folder = _remote(self.url, os.getpid())
        return bool(files.isfile(f"{folder}/{name}"))


@lru_cache(maxsize=16)
def _remote(url: str, process: int) -> tuple[Any, str]:
    """Fsspec's file system and the folder in it; one a process, because connections do not survive a fork."""
    import fsspec

    files, folder = fsspec.core.url_to_fs(url)
    return files, folder.rstrip("/")
