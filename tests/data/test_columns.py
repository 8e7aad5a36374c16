from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lvm_med_monai.data.columns import Distinct, Kept, Repeated, Vectors, column_of

HASHES = [f"{number * 7919:016x}" for number in range(40)]
COLUMNS: dict[str, tuple[pa.Array, type]] = {
    "repeated strings": (pa.array(["b", "a", "b", None] * 10).dictionary_encode(), Repeated),
    "repeated numbers": (pa.array([3.5, -1.0] * 20), Repeated),
    "repeated numbers with gaps": (pa.array([3, None, 7, 3] * 10, pa.int32()), Repeated),
    "all missing": (pa.nulls(40, pa.int32()), Repeated),
    "distinct numbers": (pa.array(np.arange(40) * 1.5), Distinct),
    "distinct numbers with gaps": (pa.array([None, *range(39)], pa.int64()), Kept),
    "hashes": (pa.array(HASHES), Distinct),
    "hashes with gaps": (pa.array([None, *HASHES[1:]]), Kept),
    "upper case": (pa.array([text.upper() for text in HASHES]), Kept),
    "odd length": (pa.array([text[1:] for text in HASHES]), Kept),
    "unequal length": (pa.array([text[index % 2 * 2 :] for index, text in enumerate(HASHES)]), Kept),
    "free text": (pa.array([f"slice {number}" for number in range(40)]), Kept),
    "vectors": (pa.array([[1.0, 2.0, float(n)] for n in range(40)]), Vectors),
    "vectors with gaps": (pa.array([None if n % 3 else [0.0, 1.0, n / 4] for n in range(40)]), Vectors),
    "no vectors": (pa.array([None] * 40, pa.list_(pa.float64())), Vectors),
    "flags": (pa.array([["gap", "tilt"], [], ["gap"], []] * 10), Repeated),
    "commas": (pa.array([["a,b", "c"], ["a", "b", "c"], ["a", "b,c"], [""], [], [","], ["", ""], None] * 5), Repeated),
    "gaps in lists": (pa.array([["a", None], ["a"], [None], None] * 10), Repeated),
    "many strings": (pa.array([[str(n % 12), str(n % 11)] for n in range(40)]), Repeated),
}


def chunked(array: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([array.slice(0, 7), array.slice(7, 0), array.slice(7)])


@pytest.mark.parametrize("name", COLUMNS)
def test_values_come_back(name: str) -> None:
    array, kind = COLUMNS[name]
    column, values = column_of(chunked(array)), array.to_pylist()
    assert isinstance(column, kind)
    assert [column.value(row) for row in range(40)] == values
    rows = np.array([39, 0, 0, 12])
    assert [column.take(rows).value(row) for row in range(4)] == [values[row] for row in rows]
    copy = pickle.loads(pickle.dumps(column))
    assert [copy.value(row) for row in range(40)] == values


@pytest.mark.parametrize("name", COLUMNS)
def test_ranks_sort_as_the_values_do(name: str) -> None:
    array, _ = COLUMNS[name]
    ranks, values = column_of(chunked(array)).ranks(), array.to_pylist()
    for i in range(0, 40, 3):
        for j in range(0, 40, 7):
            assert (ranks[i] == ranks[j]) == (values[i] == values[j])
            if values[i] is not None and values[j] is not None and not isinstance(values[i], list):
                assert (ranks[i] < ranks[j]) == (values[i] < values[j])
            elif values[i] is None and values[j] is not None:
                assert ranks[i] > ranks[j]


@pytest.mark.parametrize("name", COLUMNS)
def test_allowed(name: str) -> None:
    array, _ = COLUMNS[name]
    column, values = column_of(chunked(array)), array.to_pylist()
    wanted: list[list[Any]] = [[values[0]], [values[3], values[1]], [None], []]
    for allowed in wanted:
        assert column.allowed(allowed).tolist() == [value in allowed for value in values]


def test_values_of_another_type_are_never_there() -> None:
    for name in ("repeated strings", "distinct numbers", "hashes", "flags"):
        assert not column_of(chunked(COLUMNS[name][0])).allowed([("no", "such")]).any()


def test_an_empty_column() -> None:
    for kind in (pa.string(), pa.float64(), pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string())):
        assert column_of(pa.chunked_array([], kind)).ranks().tolist() == []


def test_repeats_take_a_byte_a_row() -> None:
    column = column_of(pa.chunked_array([pa.array(["CT", "MR"] * 5000).dictionary_encode()]))
    assert isinstance(column, Repeated)
    assert column.codes.nbytes == 10000


def test_lists_of_strings_sort_string_by_string() -> None:
    values = [["b"], [], ["a", "c"], ["a,b"], ["a"], ["a", "b", "z"]]
    ranks = column_of(chunked(pa.array(values))).ranks()
    assert [values[row] for row in np.argsort(ranks)] == sorted(values)
