"""Equal runs of bytes of a file, plain or gzipped, of which one is in memory at a time.

Inflating is most of the cost of a compressed volume, and cannot begin in the middle. So a gzipped file is inflated
once, in order, with ISA-L; what comes behind the declared bytes is not inflated.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TRAILING_BYTES = 1 << 20
"""What may follow the declared pixels, such as the footer of MGH; more means that the header is wrong, or hostile."""
MAX_OPEN = 64
"""Files that are kept open between two slabs, over all volumes of the process; the oldest is closed first."""
SKIP_BYTES = 1 << 20
_open: deque[weakref.ref[Slabs]] = deque()


class SlabError(Exception):
    """The file does not hold what its header declares; the message is free of names."""


class Slabs:
    """Reads slab after slab, or all at once.

    Slabs in ascending order take one pass, however many are left out. Starting over at slab 0 begins another pass. Any
    other step back reads the whole file into memory, and keeps it.

    Args:
        path: the file; gzipped if its name ends with .gz or .mgz.
        offset: first byte of slab 0, after inflating.
        slab_bytes: length of a slab.
        count: number of slabs.
        check_first: inflate a gzipped file once to its end, before the first slab is given, so that damage is known
            then. Otherwise its checksum is verified with the last slab.

    Attributes:
        path: the file.
        count: number of slabs.
    """

    def __init__(self, path: Path, offset: int, slab_bytes: int, count: int, check_first: bool = False) -> None:
        self.path, self.count = path, count
        self._packed = path.suffix.lower() in (".gz", ".mgz")
        self._offset, self._slab_bytes = offset, slab_bytes
        self._unchecked = check_first and self._packed
        self._stream: Any = None
        self._next = 0
        self._whole: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def read(self, index: int) -> NDArray[np.uint8]:
        """Bytes of a slab; read-only.

        Raises:
            SlabError: the file ends before the slab does, or goes on far behind the last one.
            OSError: the file cannot be read.
            Exception: whatever else isal raises for a damaged stream.
        """
        with self._lock:
            if not self._packed:
                return self._read_plain(index, 1)
            if self._whole is None and index < self._next and index > 0:
                self._load()
            if self._whole is not None:
                return self._whole[index * self._slab_bytes : (index + 1) * self._slab_bytes]
            return self._read_stream(index)

    def whole(self) -> NDArray[np.uint8]:
        """All slabs in one array, which is kept; raises as `read`."""
        with self._lock:
            if self._whole is None:
                self._load()
            assert self._whole is not None
            return self._whole

    def close(self) -> None:
        """Close the file, unless it is being read; the next slab begins another pass."""
        if self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    def _load(self) -> None:
        if self._packed:
            self._rewind()
            self._whole = self._take(self._slab_bytes * self.count)
            self._finish()
        else:
            self._whole = self._read_plain(0, self.count)

    def _read_plain(self, first: int, count: int) -> NDArray[np.uint8]:
        start, length = self._offset + first * self._slab_bytes, count * self._slab_bytes
        data = np.fromfile(self.path, dtype=np.uint8, count=length, offset=start)
        if len(data) < length:
            raise SlabError("the file is shorter than its header says")
        return data

    def _read_stream(self, index: int) -> NDArray[np.uint8]:
        if self._unchecked:
            self._rewind()
            self._skip(self._slab_bytes * self.count)
            self._finish()
            self._unchecked = False
        if self._stream is None or index < self._next:
            self._rewind()
        self._skip((index - self._next) * self._slab_bytes)
        slab = self._take(self._slab_bytes)
        self._next = index + 1
        if self._next == self.count:
            self._finish()
        return slab

    def _rewind(self) -> None:
        from isal import igzip

        self._close()
        self._stream, self._next = igzip.IGzipFile(self.path, "rb"), 0
        _register(self)
        self._skip(self._offset)

    def _skip(self, length: int) -> None:
        while length > 0:
            step = len(self._stream.read(min(length, SKIP_BYTES)))
            if step == 0:
                raise SlabError("the compressed file ends early")
            length -= step

    def _take(self, length: int) -> NDArray[np.uint8]:
        data = self._stream.read(length)
        if len(data) < length:
            raise SlabError("the compressed file ends early")
        return np.frombuffer(data, dtype=np.uint8)

    def _finish(self) -> None:
        """Read to the end, where the checksum is verified, if the end is near."""
        left = MAX_TRAILING_BYTES
        while step := len(self._stream.read(min(left + 1, SKIP_BYTES))):
            left -= step
            if left < 0:
                self._close()
                raise SlabError("the file goes on far behind the pixels that its header declares")
        self._close()

    def _close(self) -> None:
        # The position is kept: a slab before it is a step back, even if it has to be inflated again.
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _register(slabs: Slabs) -> None:
    """Close the file that was opened longest ago if too many are open."""
    _open.append(weakref.ref(slabs))
    while len(_open) > MAX_OPEN:
        if (oldest := _open.popleft()()) is not None and oldest is not slabs:
            oldest.close()
