"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file beside its place and move it there at the end, so that no reader and no crash meets half of one.

    Args:
        path: where the file is to be; replaced if it exists.

    Yields:
        Where to write it: ``<name>.partial`` in the same folder. If the block fails, that file stays.
    """
    partial = path.with_name(path.name + ".partial")
    yield partial
    os.replace(partial, path)
