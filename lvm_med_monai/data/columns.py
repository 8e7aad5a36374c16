"""Columns of a large table in little memory, from which single values are read fast.

Most fields of a manifest repeat from row to row, so a column of them is a list of its different values and a small
integer a row. Hashes, which never repeat, are kept as bytes instead of hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

MAX_SHARE = 0.25
"""Columns with more different values than this share of the rows are kept as they are."""

BLOCK_ROWS = 1 << 16
"""Hashes are packed in runs of this many rows."""
HEX_VALUES = np.full(256, 255, dtype=np.uint8)
"""Value of each lower-case hexadecimal digit by its code; 255 for other characters."""
HEX_VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


class Column(Protocol):
    """A field of all rows."""

    def value(self, row: int) -> Any:
        """Of one row, as Python knows it; None where it is missing."""

    def ranks(self) -> NDArray[np.int64]:
        """(n,) integers that sort and compare as the values do; missing ones come last."""

    def allowed(self, values: Collection[Any]) -> NDArray[np.bool_]:
        """(n,) whether each value is among some."""

    def take(self, rows: NDArray[np.int64]) -> Column:
        """Some of the rows."""


class Repeated:
    """A column of few different values.

    Args:
        codes: (n,) index into ``values``.
        values: the different values, sorted; the last may be None.
    """

    def __init__(self, codes: NDArray[Any], values: list[Any]) -> None:
        self.codes = codes.astype(np.min_scalar_type(max(len(values) - 1, 0)), copy=False)
        self.values = values

    def value(self, row: int) -> Any:
        """Of one row."""
        return self.values[self.codes[row]]

    def ranks(self) -> NDArray[np.int64]:
        """The codes."""
        return self.codes.astype(np.int64)

    def allowed(self, values: Collection[Any]) -> NDArray[np.bool_]:
        """Judged once a different value."""
        return np.array([value in values for value in self.values], dtype=bool)[self.codes]

    def take(self, rows: NDArray[np.int64]) -> Repeated:
        """Some of the rows."""
        return Repeated(self.codes[rows], self.values)


class Distinct:
    """A column of numbers, or of bytes shown as hexadecimal digits, without missing values.

    Args:
        array: (n,) numbers; or (n, w) bytes, each row of which stands for 2 w digits.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def value(self, row: int) -> Any:
        """Of one row."""
        item = self.array[row]
        return item.item() if self.array.ndim == 1 else item.tobytes().hex()

    def ranks(self) -> NDArray[np.int64]:
        """Ranks of the values."""
        keys = self.array if self.array.ndim == 1 else self.array.view(f"S{self.array.shape[1]}")[:, 0]
        return np.unique(keys, return_inverse=True)[1].astype(np.int64)

    def allowed(self, values: Collection[Any]) -> NDArray[np.bool_]:
        """Judged one by one."""
        return np.fromiter((self.value(row) in values for row in range(len(self.array))), bool, len(self.array))

    def take(self, rows: NDArray[np.int64]) -> Distinct:
        """Some of the rows."""
        return Distinct(self.array[rows])


class Kept:
    """A column that stays as Arrow has it.

    Args:
        array: (n,) values.
    """

    def __init__(self, array: pyarrow.ChunkedArray) -> None:
        self.array = array

    def value(self, row: int) -> Any:
        """Of one row."""
        return self.array[row].as_py()

    def ranks(self) -> NDArray[np.int64]:
        """Ranks of the values."""
        import pyarrow.compute as pc

        return pc.rank(self.array, "ascending", tiebreaker="min").to_numpy().astype(np.int64)

    def allowed(self, values: Collection[Any]) -> NDArray[np.bool_]:
        """Judged at once."""
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.is_in(self.array, pa.array(list(values), self.array.type)).to_numpy()

    def take(self, rows: NDArray[np.int64]) -> Kept:
        """Some of the rows."""
        return Kept(self.array.take(rows))


class Vectors:
    """A column of lists of equal length, or None.

    Args:
        parts: a column for each place in the list.
        missing: (n,) where there is no list.
    """

    def __init__(self, parts: list[Column], missing: NDArray[np.bool_]) -> None:
        self.parts, self.missing = parts, missing

    def value(self, row: int) -> Any:
        """Of one row."""
        return None if self.missing[row] else [part.value(row) for part in self.parts]

    def ranks(self) -> NDArray[np.int64]:
        """Ranks of the lists, place by place."""
        keys = np.stack([self.missing.astype(np.int64), *(part.ranks() for part in self.parts)], axis=1)
        return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def allowed(self, values: Collection[Any]) -> NDArray[np.bool_]:
        """Judged one by one."""
        return np.fromiter((self.value(row) in values for row in range(len(self.missing))), bool, len(self.missing))

    def take(self, rows: NDArray[np.int64]) -> Vectors:
        """Some of the rows."""
        return Vectors([part.take(rows) for part in self.parts], self.missing[rows])


def column_of(array: pyarrow.ChunkedArray) -> Column:
    """The form of an Arrow column that takes little memory; strings that repeat are expected as dictionaries."""
    import pyarrow as pa

    if pa.types.is_list(array.type):
        return _of_lists(array)
    if pa.types.is_dictionary(array.type):
        return _repeated(array)
    if pa.types.is_string(array.type):
        packed = _packed_hex(array) if array.null_count == 0 else None
        return Kept(array) if packed is None else Distinct(packed)
    encoded = array.dictionary_encode()
    size = max((len(chunk.dictionary) for chunk in encoded.chunks), default=0)
    if size <= MAX_SHARE * len(array):
        return _repeated(encoded)
    return Distinct(array.to_numpy()) if array.null_count == 0 else Kept(array)


def _repeated(encoded: pyarrow.ChunkedArray) -> Repeated:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = encoded.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # without any chunk
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    order = pc.sort_indices(whole.dictionary).to_numpy()
    ranks = np.empty(len(order) + 1, dtype=np.int64)
    ranks[order], ranks[-1] = np.arange(len(order)), len(order)
    codes = ranks[whole.indices.fill_null(len(order)).to_numpy()]
    return Repeated(codes, [*whole.dictionary.take(pa.array(order)).to_pylist(), None])


def _of_lists(array: pyarrow.ChunkedArray) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(array.type.value_type):
        return _of_texts(array)
    missing = array.is_null().to_numpy()
    lengths = set(pc.unique(pc.list_value_length(array)).to_pylist()) - {None}
    if len(lengths) > 1:
        raise ValueError("lists of a manifest have three numbers each")
    width = lengths.pop() if lengths else 0
    present = pc.list_flatten(array).to_numpy().reshape(-1, width or 1)
    parts: list[Column] = []
    for place in range(width):
        numbers = np.zeros(len(array))
        numbers[~missing] = present[:, place]
        parts.append(column_of(pa.chunked_array([pa.array(numbers)])))
    return Vectors(parts, missing)


def _of_texts(array: pyarrow.ChunkedArray) -> Repeated:
    """Lists of strings, compared by the ranks of their strings, which hold no comma whatever the strings do."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.concat_arrays([pa.array([], array.type), *array.chunks])
    texts = _repeated(pa.chunked_array([whole.flatten().dictionary_encode()]))
    ranks = pc.utf8_lpad(pc.cast(pa.array(texts.codes), pa.string()), len(str(len(texts.values))), "0")
    ends = np.cumsum(pc.list_value_length(whole).fill_null(0).to_numpy(), dtype=np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(np.insert(ends, 0, 0)), ranks), ",")
    lists = _repeated(pa.chunked_array([pc.if_else(whole.is_null(), None, joined).dictionary_encode()]))

    def told(text: str | None) -> list[str] | None:
        return None if text is None else [texts.values[int(rank)] for rank in text.split(",") if rank]

    return Repeated(lists.codes, [told(text) for text in lists.values])


def _packed_hex(array: pyarrow.ChunkedArray) -> NDArray[np.uint8] | None:
    """(n, w) bytes of strings of 2 w lower-case hexadecimal digits; None if they are anything else."""
    import pyarrow.compute as pc

    widths = pc.unique(pc.binary_length(array)).to_pylist()
    if len(widths) != 1 or widths[0] == 0 or widths[0] % 2:
        return None
    packed = np.empty((len(array), widths[0] // 2), dtype=np.uint8)
    start = 0
    for chunk in array.chunks:
        for part in (chunk.slice(i, BLOCK_ROWS) for i in range(0, len(chunk), BLOCK_ROWS)):
            first = np.frombuffer(part.buffers()[1], np.int32)[part.offset]
            digits = np.frombuffer(part.buffers()[2], np.uint8)[first : first + len(part) * widths[0]]
            nibbles = HEX_VALUES[digits].reshape(len(part), -1, 2)
            if nibbles.size and nibbles.max() > 15:
                return None
            packed[start : start + len(part)] = nibbles[..., 0] << 4 | nibbles[..., 1]
            start += len(part)
    return packed
