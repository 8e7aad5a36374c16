"""Duplicates across sets: planted ones are found, by pixels and by difference hash."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from lvm_med_monai.lists.duplicates import find_duplicates, near_pairs, popcount
from lvm_med_monai.slices import SlicePolicy, Source, extract
from lvm_med_monai.slices.store.manifest import MANIFEST, write_table
from tests.lists.copies import chest

BASE = 0x123456789ABCDEF0


def folder(root, rows):
    """A slice folder of (id, data set, patient, pixels, hash, split)."""
    root.mkdir()
    names = ("slice_id", "dataset", "patient_h", "sha256_pixels", "dhash", "split")
    write_table(root, MANIFEST, [{"schema_version": 2, **dict(zip(names, row, strict=True))} for row in rows])
    return root


def hashed(value: int) -> str:
    return f"{value:016x}"


def test_equal_and_near_slices_of_two_sets_are_found(tmp_path):
    train = folder(
        tmp_path / "train",
        [
            ("t1", "isic", "p1", "aa", hashed(BASE), "train"),
            ("t2", "isic", "p1", "bb", hashed(BASE ^ 1), "train"),
            ("t3", "isic", "p2", "cc", hashed(~BASE & (2**64 - 1)), "train"),
        ],
    )
    test = folder(
        tmp_path / "test",
        [
            ("e1", "ham", "q1", "aa", hashed(BASE), "test"),
            ("e2", "ham", "q2", "dd", hashed(BASE ^ 0b1111), "test"),
            ("e3", "ham", "q3", "ee", hashed(BASE ^ 0b111111), "test"),
        ],
    )
    found = find_duplicates([train, test])
    assert [(p.first[1], p.second[1], p.distance, p.equal) for p in found.pairs] == [
        ("t1", "e1", 0, True),
        ("t2", "e1", 1, False),
        ("t2", "e2", 3, False),
        ("t1", "e2", 4, False),
    ]
    assert found.pairs[0].splits == ("train", "test")
    assert [p.second[1] for p in find_duplicates([train, test], distance=0).pairs] == ["e1"]
    assert ("t2", "e3") in {(p.first[1], p.second[1]) for p in find_duplicates([train, test], distance=5).pairs}


def test_slices_of_one_set_are_pairs_on_demand_but_not_of_one_patient(tmp_path):
    rows = [(name, "set", patient, "x", hashed(BASE), "") for name, patient in (("a", "p1"), ("b", "p1"), ("c", "p2"))]
    root = folder(tmp_path / "slices", rows)
    assert find_duplicates([root]).pairs == ()
    assert [(p.first[1], p.second[1]) for p in find_duplicates([root], within=True).pairs] == [("a", "c")]


def test_plain_pictures_are_only_equal_never_near(tmp_path):
    rows = [
        ("a", "one", "p1", "x", hashed(0), ""),
        ("b", "two", "p2", "y", hashed(1), ""),
        ("c", "two", "p3", "x", hashed(0), ""),
    ]
    found = find_duplicates([folder(tmp_path / "slices", rows)])
    assert found.plain == 3
    assert [(p.first[1], p.second[1], p.equal) for p in found.pairs] == [("a", "c", True)]


def test_manifests_without_hashes_are_compared_by_pixels(tmp_path):
    rows = [("a", "one", "p1", "x", None, ""), ("b", "two", "p2", "x", None, "")]
    assert len(find_duplicates([folder(tmp_path / "slices", rows)]).pairs) == 1


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.lists(st.integers(0, 63), max_size=9)), max_size=40),
    st.integers(0, 8),
)
def test_the_search_finds_what_comparing_all_pairs_finds(seeds, changes, distance):
    values = list(seeds)
    for at, bits in changes:
        values.append(seeds[at % len(seeds)] ^ sum(1 << bit for bit in set(bits)))
    hashes = np.array(values, dtype=np.uint64)
    found = [pair for i, j in near_pairs(hashes, distance) for pair in zip(i.tolist(), j.tolist(), strict=True)]
    every = [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= distance
    ]
    assert sorted(found) == every


def test_bits_are_counted():
    values = np.array([0, 1, 2**64 - 1, 0xF0F0], dtype=np.uint64)
    assert popcount(values).tolist() == [0, 1, 64, 8]


def test_200_000_hashes_take_seconds():
    hashes = np.random.default_rng(0).integers(0, 2**64, 200_000, dtype=np.uint64)
    start = time.process_time()
    assert sum(len(i) for i, _ in near_pairs(hashes, 4)) == 0
    assert time.process_time() - start < 15


def test_a_resized_and_compressed_copy_of_a_picture_is_near(tmp_path):
    scan = [Image.fromarray(np.clip(chest()[0][..., i] // 8 + 128, 0, 255).astype(np.uint8)) for i in range(4)]
    scan += [image.transpose(Image.Transpose.ROTATE_90) for image in scan]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    for index in range(6):
        scan[index].resize((96, 96)).save(tmp_path / "one" / f"{index}.png")
    scan[3].resize((128, 128), Image.Resampling.BICUBIC).save(tmp_path / "two" / "copy.jpg", quality=80)
    scan[5].resize((96, 96)).save(tmp_path / "two" / "renamed.png")
    scan[6].resize((96, 96)).save(tmp_path / "two" / "another.png")
    sources = [Source(tmp_path / name, dataset=name) for name in ("one", "two")]
    extract(sources, tmp_path / "slices", SlicePolicy(every_mm=0), key_file=tmp_path / "key", progress=False)
    found = find_duplicates([tmp_path / "slices"])
    assert sorted(pair.equal for pair in found.pairs) == [False, True]


@pytest.mark.parametrize("distance", [-1, 32])
def test_distances_out_of_range_are_errors(tmp_path, distance):
    with pytest.raises(ValueError, match="from 0 to 31"):
        find_duplicates([tmp_path], distance)
