from __future__ import annotations

import pytest

from lvm_med_monai.slices.identity import Identities
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.splits import Splits

THREE = Splits({"train": 0.8, "validation": 0.1, "test": 0.1})


def hashes(count: int, key: bytes = bytes(32)) -> list[str]:
    identities = Identities(key)
    return [identities.hash("patient", str(i)) for i in range(count)]


def test_shares_are_met() -> None:
    drawn = [THREE.of(h) for h in hashes(20000)]
    for name, share in THREE.shares.items():
        deviation = (share * (1 - share) / 20000) ** 0.5
        assert abs(drawn.count(name) / 20000 - share) < 4 * deviation


@pytest.mark.parametrize(
    ("patient_h", "name"),
    [
        ("0" * 24, "train"),
        ("cccccccccccc" + "0" * 12, "train"),
        ("cccccccccccd" + "0" * 12, "validation"),
        ("e6666666666600000000000f", "validation"),
        ("e6666666666700000000000f", "test"),
        ("f" * 24, "test"),
    ],
)
def test_a_hash_is_a_fraction(patient_h: str, name: str) -> None:
    assert THREE.of(patient_h) == name


def test_growing_train_moves_nobody_out_of_it() -> None:
    more = Splits({"train": 0.9, "validation": 0.05, "test": 0.05})
    assert all(more.of(h) == "train" for h in hashes(2000) if THREE.of(h) == "train")


def test_another_key_draws_other_splits() -> None:
    one, other = ([THREE.of(h) for h in hashes(500, key)] for key in (bytes(32), bytes([1] * 32)))
    assert one != other


def test_shares_with_rounding_errors() -> None:
    tenths = Splits({str(i): 0.1 for i in range(10)})
    assert tenths.of("f" * 24) == "9"


def test_parse() -> None:
    assert Splits.parse("train=0.8, validation=.1,test=1e-1") == THREE
    assert Splits.parse("all=1").of("f" * 24) == "all"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "written as train=0.8"),
        ("train", "written as"),
        ("train=x", "written as"),
        ("train=0.5,train=0.5", "written as"),
        ("train=0.5,test=0.4", "sum to 1"),
        ("train=1.5,test=-0.5", "positive"),
        ("train=nan,test=1", "positive"),
        ("train=1,test=0", "positive"),
        ("a/b=1", "name of a split"),
        ("=1", "name of a split"),
    ],
)
def test_wrong_shares(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Splits.parse(text)


@pytest.mark.parametrize("patient_h", ["", "abc", "z" * 24])
def test_no_hash(patient_h: str) -> None:
    with pytest.raises(ValueError, match=r"hexadecimal|invalid literal"):
        THREE.of(patient_h)


@pytest.mark.parametrize(
    ("options", "patient_id", "below", "parts"),
    [
        ({}, "P1", "a/b.dcm", ("P1",)),
        ({}, "", "a/b.nii", None),
        ({"patients": "shared"}, "P1", "x", ("shared", "P1")),
        ({"patient": "(sub-[0-9]+)/"}, "", "sub-07/anat/t1.nii.gz", ("set", "sub-07")),
        ({"patient": "(sub-[0-9]+)/", "patients": "shared"}, "", "sub-07/t1.nii.gz", ("shared", "sub-07")),
        ({"patient": "(sub-[0-9]+)/"}, "P1", "sub-07/a.dcm", ("P1",)),
        ({"patient": "(sub-[0-9]+)/"}, "", "other/t1.nii.gz", None),
        ({"patient": "^([A-Z]*)"}, "", "other", None),
        ({"patient": "(a)|b"}, "", "b", None),
    ],
)
def test_what_names_a_patient(
    options: dict[str, str], patient_id: str, below: str, parts: tuple[str, ...] | None
) -> None:
    assert Source("data", "set", **options).patient_parts(patient_id, below) == parts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patient": "sub"}, "needs one group"),
        ({"patient": "(a)(b)"}, "needs one group"),
        ({"patient": "(a"}, "no regular expression"),
        ({"patient": ""}, "needs one group"),
        ({"patient": "(" + "a" * 500 + ")"}, "502 characters"),
        ({"patients": ""}, "name space"),
    ],
)
def test_wrong_patients(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Source("data", "set", **options)
