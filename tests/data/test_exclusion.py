from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.data import (
    ExcludingSliceDataset,
    SliceShardDataset,
    check_unseen,
    read_slice_list,
    whole_range,
    write_slice_list,
)
from lvm_med_monai.slices import Source, extract


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """Six pictures, three of each split."""
    root = tmp_path_factory.mktemp("pictures")
    sources = []
    for split in ("train", "held_out"):
        folder = root / split
        folder.mkdir()
        for number in range(3):
            pixels = np.random.default_rng(len(sources) * 10 + number).integers(20, 200, (80, 90), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}_{number}.png")
        sources.append(Source(folder, dataset=split, modality="CR", split=split))
    extract(sources, root / "out", key_file=root / "key")
    return root / "out"


def names(dataset, field="slice_id"):
    return dataset.rows.column(field)


@pytest.mark.parametrize("header", [True, False], ids=["csv", "lines"])
def test_listed_slices_are_left_out(slices, tmp_path, header):
    everything = SliceShardDataset(slices, where={"split": ["train"]})
    unwanted = names(everything)[0]
    path = tmp_path / "list.txt"
    path.write_text(f"slice_id,note\n{unwanted},seen\n" if header else f"{unwanted}\n\n")
    left = ExcludingSliceDataset(slices, path, where={"split": ["train"]})
    assert names(left) == names(everything)[1:]
    assert left.excluded == 1
    assert left[0]["slice_id"] == names(everything)[1]


def test_without_a_list_nothing_is_left_out(slices):
    assert len(ExcludingSliceDataset(slices)) == 6


def test_a_list_of_another_split_excludes_nothing_here_but_is_no_mistake(slices, tmp_path):
    path = tmp_path / "held_out.csv"
    write_slice_list(SliceShardDataset(slices, where={"split": ["held_out"]}), path)
    left = ExcludingSliceDataset(slices, path, field="source_h", where={"split": ["train"]})
    assert (len(left), left.excluded) == (3, 0)


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("nobody\n", "slice_id", "none of the 1 values in list.txt is a slice_id"),
        ("", "slice_id", "list.txt lists no slice_id"),
        ("a,b\n1,2\n", "slice_id", "has columns a, b but no slice_id"),
        ("held_out\ntrain\n", "dataset", "excludes all 6 slices"),
    ],
    ids=["no match", "empty", "other columns", "everything"],
)
def test_a_list_that_cannot_be_meant_is_refused(slices, tmp_path, text, field, message):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ExcludingSliceDataset(slices, path, field=field)


def test_an_absent_list_is_named(slices, tmp_path):
    with pytest.raises(FileNotFoundError, match="no list of slices at"):
        ExcludingSliceDataset(slices, tmp_path / "absent.txt")


def test_evaluation_on_training_slices_is_refused(slices, tmp_path):
    training = SliceShardDataset(slices, where={"split": ["train"]})
    write_slice_list(training, tmp_path / "run" / "training_slices.csv")
    assert read_slice_list(tmp_path / "run" / "training_slices.csv", "slice_id") == set(names(training))
    check_unseen(SliceShardDataset(slices, where={"split": ["held_out"]}), tmp_path / "run" / "training_slices.csv")
    with pytest.raises(ValueError, match="3 of 6 slices of the evaluation share a slice_id with training_slices"):
        check_unseen(SliceShardDataset(slices), tmp_path / "run" / "training_slices.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,who\n1,nobody\n", "list.csv has columns id, who but no slice_id"),
        ("who\nnobody\n", "list.csv does not say what its values are: give the list that the training wrote"),
        ("", "list.csv lists no slice_id"),
        ("slice_id,source_h,patient_h,dataset\n", "list.csv lists no slice_id"),
        ("slice_id,dataset\n1,a\n", "list.csv has columns slice_id, dataset but no source_h"),
    ],
    ids=["other columns", "one other column", "nothing", "columns alone", "no files"],
)
def test_a_list_that_says_nothing_of_the_training_is_no_proof(slices, tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        check_unseen(SliceShardDataset(slices), tmp_path / "list.csv")


@pytest.mark.parametrize("text", ["slice_id,source_h\n1,2\n", "slice_id,source_h,patient_h\n1,2,\n"])
def test_a_list_may_know_no_patients_unless_they_are_all_that_is_asked(slices, tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    check_unseen(SliceShardDataset(slices), tmp_path / "list.csv")
    with pytest.raises(ValueError, match=r"list.csv has none of patient_h to compare by: give the list"):
        check_unseen(SliceShardDataset(slices), tmp_path / "list.csv", ("patient_h",))


def test_a_list_of_one_column_may_name_it(slices, tmp_path):
    (tmp_path / "list.csv").write_text("slice_id\nabc\n")
    assert read_slice_list(tmp_path / "list.csv", "slice_id") == {"abc"}


def test_the_whole_range_clips_nothing():
    assert whole_range({"dtype": "uint8", "scale": 1.0, "intercept": 0.0}).upper == 255
    window = whole_range({"dtype": "uint16", "scale": 0.5, "intercept": -100.0})
    assert (window.lower, window.upper) == (-100, -100 + 0.5 * 65535)
