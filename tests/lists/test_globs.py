"""Globs below a root, and the names of files."""

from __future__ import annotations

import pytest

from lvm_med_monai.lists.globs import files_below, glob_pattern, matching
from lvm_med_monai.lists.samples import stem_of


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.png", ["a.png", ".png"], ["a/b.png", "a.pngx", "a.PNG"]),
        ("**/*.dcm", ["1.dcm", "a/1.dcm", "a/b/1.dcm"], ["a/1.dcm.txt"]),
        ("train/**", ["train/a", "train/a/b.png"], ["training/a", "a/train/b"]),
        ("case_?????/a.nii.gz", ["case_00001/a.nii.gz"], ["case_1/a.nii.gz", "case_0000//a.nii.gz"]),
        ("subset[0-9]/*.mhd", ["subset3/a.mhd"], ["subsetx/a.mhd", "subset10/a.mhd"]),
        ("[!a]*.png", ["b.png"], ["a.png"]),
        ("{images,masks}/*.{jpg,png}", ["images/1.jpg", "masks/1.png"], ["labels/1.png", "images/1.gif"]),
        ("a+b (1)*.png", ["a+b (1).png", "a+b (1)_mask.png"], ["aab (1).png"]),
        ("x.y", ["x.y"], ["xzy"]),
    ],
    ids=["name", "any_depth", "all_below", "signs", "range", "not", "choices", "special", "dot"],
)  # fmt: skip
def test_globs(glob, yes, no):
    assert all(glob_pattern(glob).fullmatch(path) for path in yes)
    assert matching([*yes, *no], glob) == yes


def test_files_are_sorted_and_hidden_ones_left_out(tmp_path):
    for name in ("b/2.png", "a.png", "b/.x", ".git/config", "b/10.png", "B.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert files_below(tmp_path) == ["B.png", "a.png", "b/10.png", "b/2.png"]
    with pytest.raises(FileNotFoundError, match="unpacked"):
        files_below(tmp_path / "absent")


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a/b.nii.gz", "b"),
        ("b.tar.gz", "b"),
        ("1.2.840.113.mhd", "1.2.840.113"),
        ("1.2.840.113", "1.2.840.113"),
        ("TCGA-A1_MPP-0.2500.png", "TCGA-A1_MPP-0.2500"),
        ("0.nii", "0"),
        (".hidden", ".hidden"),
        ("no_suffix", "no_suffix"),
        ("benign (1)_mask_1.png", "benign (1)_mask_1"),
        ("x.csv.gz", "x.csv"),
    ],
)
def test_stems(path, stem):
    assert stem_of(path) == stem
