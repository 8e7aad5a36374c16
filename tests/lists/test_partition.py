"""Splits: by patient, independent of order and of the machine, with the published sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from lvm_med_monai.lists.card_files import card_of as read_object
from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.partition import divide, largest_remainder
from lvm_med_monai.lists.samples import Sample
from tests.lists.layouts import card_of

ROOT = Path(__file__).resolve().parents[2]


def card(split: dict, patient: str | None = None, name: str = "some_set") -> Card:
    return read_object(card_of(name, split=split, patient={"pattern": patient, "space": None}), "downstream")


def sample(path: str, patient: str | None = None, key: str | None = None) -> Sample:
    return Sample((path,), (), key or path, patient or path)


def seeded(parts, sizes=None, unit="image", seed=1, **more):
    return {"rule": "seeded", "unit": unit, "seed": seed, "parts": parts, "published_sizes": sizes or {}, **more}


@pytest.mark.parametrize(
    "sizes",
    [
        {"train": 640, "validation": 160, "test": 200},
        {"train": 413, "validation": 104, "test": 130},
        {"train": 1200, "validation": 300, "test": 341},
        {"train": 13, "validation": 3, "test": 4},
    ],
    ids=["kvasir_seg", "busi", "fgadr_safe", "mm_whs"],
)
def test_published_sizes_are_reproduced_for_the_published_number(sizes):
    samples = [sample(f"images/{n}.png") for n in range(sum(sizes.values()))]
    found = divide(card(seeded({"train": 0.64, "validation": 0.16, "test": 0.2}, sizes)), samples)
    assert found.sizes == sizes
    assert found.unassigned == ()


@pytest.mark.parametrize(
    ("weights", "total", "expected"),
    [
        ({"a": 1, "b": 1, "c": 1}, 10, {"a": 4, "b": 3, "c": 3}),
        ({"a": 0.7, "b": 0.1, "c": 0.2}, 15000, {"a": 10500, "b": 1500, "c": 3000}),
        ({"a": 0.64, "b": 0.16, "c": 0.2}, 0, {"a": 0, "b": 0, "c": 0}),
        ({"a": 0.5, "b": 0.5}, 1, {"a": 1, "b": 0}),
        ({"a": 1.0, "b": 0.0}, 3, {"a": 3, "b": 0}),
    ],
    ids=["ties", "vindr", "nothing", "one", "zero"],
)
def test_largest_remainder(weights, total, expected):
    assert largest_remainder(weights, total) == expected


patients = st.dictionaries(st.integers(0, 500), st.integers(1, 5), min_size=1, max_size=60)


@given(patients, st.randoms(), st.integers(0, 9))
def test_a_seeded_split_keeps_patients_together_for_any_order(counts, random, seed):
    samples = [sample(f"{p}/{n}.png", str(p)) for p, images in counts.items() for n in range(images)]
    rule = card(seeded({"train": 0.6, "validation": 0.2, "test": 0.2}, unit="patient", seed=seed), r"^([0-9]+)/")
    found = divide(rule, samples)
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert divide(rule, shuffled).parts == found.parts
    assert found.separated == ()
    assert sum(found.sizes.values()) == len(samples)
    owners = {name: {s.patient for s in part} for name, part in found.parts.items()}
    assert {name: len(has) for name, has in owners.items()} == largest_remainder(
        {"train": 0.6, "validation": 0.2, "test": 0.2}, len(counts)
    )


@pytest.mark.parametrize(
    "written", [lambda share: share, lambda share: {"of": "train", "share": share}], ids=["number", "of"]
)
@given(counts=patients, share=st.floats(0.05, 0.95))
def test_a_share_of_a_part_is_taken_by_patient(counts, share, written):
    samples = [sample(f"Training/{p}/{n}.png", str(p)) for p, images in counts.items() for n in range(images)]
    samples += [sample("Testing/a/1.png", "a")]
    parts = {"train": "Training/**", "validation": written(share), "test": "Testing/**"}
    found = divide(card({"rule": "official", "unit": "patient", "seed": 42, "parts": parts}, r"/([^/]+)/"), samples)
    assert found.separated == ()
    assert sum(found.sizes.values()) == len(samples)
    assert abs(len({s.patient for s in found.parts["validation"]}) - share * len(counts)) <= 1


def test_a_split_does_not_depend_on_the_hash_seed():
    code = (
        "import json; from tests.lists.test_partition import *;"
        "found = divide(card(seeded({'train': .5, 'test': .5})), [sample(f'{n}.png') for n in range(100)]);"
        "print(json.dumps([s.name for s in found.parts['train']]))"
    )
    said = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
        said.append(json.loads(done.stdout))
    assert said[0] == said[1]
    # on every machine and in every version: a change here changes everybody's splits
    assert said[0][:4] == ["0.png", "1.png", "10.png", "12.png"]
    assert len(said[0]) == 50


def test_another_seed_and_another_set_give_another_split():
    samples = [sample(f"{n}.png") for n in range(100)]
    splits = [
        divide(card(seeded({"train": 0.5, "test": 0.5}, seed=seed), name=name), samples).parts["train"]
        for seed, name in ((1, "a"), (2, "a"), (1, "b"))
    ]
    assert len({tuple(s.name for s in split) for split in splits}) == 3


def test_a_fixed_split_goes_by_id():
    samples = [sample(f"ct_train_{n}_image.nii.gz", key=str(n)) for n in range(1001, 1021)]
    parts = {
        "train": [str(n) for n in range(1001, 1021) if n not in (1004, 1007, 1013, 1002, 1010, 1012, 1019)],
        "validation": ["1004", "1007", "1013"],
        "test": ["1002", "1010", "1012", "1019"],
    }
    found = divide(card({"rule": "fixed", "unit": "volume", "parts": parts}), [*samples, sample("more.nii.gz")])
    assert found.sizes == {"train": 13, "validation": 3, "test": 4}
    assert [s.key for s in found.parts["test"]] == ["1002", "1010", "1012", "1019"]
    assert [s.name for s in found.unassigned] == ["more.nii.gz"]


def test_flaws_are_kept_by_default_and_avoided_on_demand():
    samples = [sample(f"{n}.png") for n in range(1841)]
    split = {
        "rule": "seeded", "unit": "image", "seed": 1, "flaws": ["validation is the test set"],
        "parts": {"train": 1500, "validation": {"same_as": "test"}, "test": 341},
        "safe": seeded({"train": 1200, "validation": 300, "test": 341}),
    }  # fmt: skip
    published = divide(card(split), samples)
    assert published.sizes == {"train": 1500, "validation": 341, "test": 341}
    assert published.parts["validation"] == published.parts["test"]
    assert len(published.separated) == 341
    safe = divide(card(split), samples, avoid_flaws=True)
    assert safe.sizes == {"train": 1200, "validation": 300, "test": 341}
    assert safe.separated == ()


def test_a_published_split_that_separates_a_patient_is_told():
    samples = [sample("train/p1_a.png", "p1"), sample("valid/p1_b.png", "p1"), sample("valid/p2.png", "p2")]
    parts = {"train": "train/*", "validation": "valid/*"}
    assert divide(card({"rule": "official", "unit": "image", "parts": parts}), samples).separated == ("p1",)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"rule": "official", "unit": "image", "parts": {}}, "not what is in it"),
        ({"rule": "official", "unit": "image", "seed": 1, "parts": {"train": "*", "test": 1.0}}, "cut off train"),
        (seeded({}), "not what is in it"),
        (seeded({"train": 1.0}, unit="patient"), "no patient.pattern"),
        (seeded({"train": 1.0, "validation": {"same_as": "dev"}}), "refers to dev"),
        ({**seeded({"train": 1.0}), "flaws": ["bad"], "safe": None}, "no safe one: bad"),
    ],
    ids=["official_unknown", "all_cut_off", "no_shares", "no_patients", "no_such_part", "no_safe_split"],
)
def test_rules_that_cannot_be_followed(split, message):
    with pytest.raises(ValueError, match=message):
        divide(card(split), [sample("a.png")], avoid_flaws=True)


def test_only_the_pool_is_split():
    samples = [sample(f"{folder}/{n}.png") for folder in ("normal", "benign") for n in range(10)]
    found = divide(card(seeded({"train": 0.5, "test": 0.5}, pool="benign/*")), samples)
    assert found.sizes == {"train": 5, "test": 5}
    assert found.unassigned == ()
    assert {s.name.split("/")[0] for part in found.parts.values() for s in part} == {"benign"}


def test_published_names_are_taken_from_a_clone(tmp_path):
    names = {"train": ["benign (1).png", "benign (20).png"], "valid": ["benign (2).png"], "other": []}
    (tmp_path / "files_split").mkdir()
    (tmp_path / "files_split" / "BUID.json").write_text(json.dumps(names))
    listed = {"file": "files_split/BUID.json", "keys": {"train": "train", "validation": "valid"}}
    rule = card(seeded({"train": 0.8, "validation": 0.2}, published_list=listed))
    samples = [sample(f"benign/benign ({n}).png") for n in (1, 2, 20, 21, 298)]
    found = divide(rule, samples, clone=tmp_path)
    assert {name: [s.name for s in part] for name, part in found.parts.items()} == {
        "train": ["benign/benign (1).png", "benign/benign (20).png"],
        "validation": ["benign/benign (2).png"],
    }
    assert len(found.unassigned) == 2
    with pytest.raises(FileNotFoundError, match="clone of"):
        divide(rule, samples, clone=tmp_path / "files_split")
    with pytest.raises(ValueError, match="leave out --lists"):
        divide(card(seeded({"train": 1.0})), samples, clone=tmp_path)
