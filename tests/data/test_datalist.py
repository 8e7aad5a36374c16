from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.data import read_classes, read_datalist, read_named_labels
from lvm_med_monai.data.grids import grid_of
from lvm_med_monai.slices import Source, extract, read_manifest

DATA = Path(__file__).resolve().parents[2] / "demo_data"
AFFINE = np.array([[2.0, 0, 0, -10], [0, 3.0, 0, 5], [0, 0, 4.0, 7], [0, 0, 0, 1]])
SHIFTED = AFFINE + np.outer([1, 0, 0, 0], [0, 0, 0, 1])


def save(path, shape=(6, 5, 4), affine=AFFINE):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), affine), path)
    return path


def flipped(affine, axis, size):
    """Affine of the same voxels stored backwards along an axis."""
    change = np.eye(4)
    change[axis, axis], change[axis, 3] = -1, size - 1
    return affine @ change


def datalist(folder, **sections):
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def test_pairs_come_back_as_paths(tmp_path):
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz")
    root = datalist(tmp_path, training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    assert read_datalist(root, "training") == [
        {"image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / "b.nii.gz")}
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_stored_backwards_lies_on_the_same_grid(tmp_path, axis):
    image = save(tmp_path / "a.nii.gz")
    mask = save(tmp_path / "b.nii.gz", affine=flipped(AFFINE, axis, (6, 5, 4)[axis]))
    assert grid_of(image).fits(grid_of(mask))
    assert grid_of(image).voxels == (6, 5, 4)


def test_a_mask_with_exchanged_axes_lies_on_the_same_grid(tmp_path):
    image = save(tmp_path / "a.nii.gz")
    mask = save(tmp_path / "b.nii.gz", shape=(5, 6, 4), affine=AFFINE[:, [1, 0, 2, 3]])
    assert grid_of(image).fits(grid_of(mask))


@pytest.mark.parametrize(
    ("shape", "affine"),
    [((6, 5, 3), AFFINE), ((6, 5, 4), SHIFTED), ((6, 5, 4), AFFINE @ np.diag([1.5, 1, 1, 1]))],
    ids=["fewer slices", "shifted by 1 mm", "other voxel size"],
)
def test_a_mask_on_another_grid_is_refused(tmp_path, shape, affine):
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz", shape, affine)
    root = datalist(tmp_path, training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    with pytest.raises(
        ValueError, match=r"mask b.nii.gz does not lie on the grid of a.nii.gz: the mask has \d+ x 5 x \d voxels"
    ):
        read_datalist(root, "training")


def test_the_demos_dicom_series_and_its_mask_fit_though_stored_differently():
    scan = DATA / "abdomen_ct_dicom"
    series, mask = grid_of(scan / "series"), grid_of(scan / "organs.nii.gz")
    assert series.voxels == (512, 512, 20)
    assert series.fits(mask)


def test_a_folder_with_two_series_is_refused(tmp_path):
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz")
    with pytest.raises(ValueError, match="holds 2 volumes, expected one"):
        grid_of(tmp_path)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no datalist dataset.json in"):
        read_datalist(tmp_path, "training")
    datalist(tmp_path, training=[{"image": "absent.nii.gz"}], test=[])
    with pytest.raises(FileNotFoundError, match=r"absent.nii.gz, which does not exist"):
        read_datalist(tmp_path, "training")
    with pytest.raises(ValueError, match=r"no section 'validation' with entries: it has \['test', 'training'\]"):
        read_datalist(tmp_path, "validation")
    with pytest.raises(ValueError, match=r"the section 'test' of dataset.json is empty: add entries such as"):
        read_datalist(tmp_path, "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"training": [{"image": "a', r"the datalist .*dataset.json is no JSON \(Unterminated string"),
        ("\xff", r"the datalist .*dataset.json is no JSON \('utf-8' codec"),
        ('[{"image": "a.png"}]', r"the datalist .*dataset.json has no sections: write an object such as"),
        ('{"training": "a.png"}', r"no section 'training' with entries: it has \[\]"),
        ('{"training": [{}, "a.png"]}', "entry 1 of section 'training' of dataset.json is 'a.png', expected an object"),
        ('{"training": [null]}', "entry 0 of section 'training' of dataset.json is None, expected an object"),
    ],
    ids=["cut off", "no text", "a list", "no list", "a path", "null"],
)
@pytest.mark.parametrize(
    "read",
    [read_datalist, read_named_labels, partial(read_classes, classes=["a", "b"])],
    ids=["masks", "names", "classes"],
)
def test_malformed_datalists_are_named(tmp_path, read, content, message):
    (tmp_path / "dataset.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        read(tmp_path, section="training")


def picture(path, size=(6, 5)):
    Image.linear_gradient("L").resize(size).save(path)
    return path.name


def test_values_that_are_no_paths_pass_through(tmp_path):
    image = picture(tmp_path / "a.png")
    entries = [
        {"image": image, "label": 3, "patient": "p1"},
        {"image": image, "label": [0, 1, -1]},
        {"image": image, "label": 0, "box": [[1, 2, 3, 4]]},
    ]
    found = read_datalist(datalist(tmp_path, training=entries), "training", needs=["image", "label"])
    assert found == [{**entry, "image": str(tmp_path / "a.png")} for entry in entries]


def test_several_masks_stay_a_list_and_each_is_checked(tmp_path):
    image, mask, other = (picture(tmp_path / f"{name}.png") for name in "abc")
    root = datalist(tmp_path, training=[{"image": image, "label": [mask, other]}])
    assert read_datalist(root, "training")[0]["label"] == [str(tmp_path / "b.png"), str(tmp_path / "c.png")]
    picture(tmp_path / "c.png", (5, 6))
    with pytest.raises(ValueError, match=r"mask c.png does not lie on the grid of a.png"):
        read_datalist(root, "training")


def test_one_of_several_images_is_chosen(tmp_path):
    names = [picture(tmp_path / f"{name}.png") for name in "ab"]
    root = datalist(tmp_path, training=[{"image": names}])
    assert read_datalist(root, "training", image_index=1) == [{"image": str(tmp_path / "b.png")}]
    for index in (None, 2):
        with pytest.raises(ValueError, match=r"entry 0 of section 'training' of dataset.json has 2 images: choose one"):
            read_datalist(root, "training", image_index=index)


@pytest.mark.parametrize("entry", [{}, {"label": None}, {"label": []}], ids=str)
def test_an_entry_that_lacks_what_is_needed_is_named(tmp_path, entry):
    root = datalist(tmp_path, training=[{"image": picture(tmp_path / "a.png"), **entry}])
    assert read_datalist(root, "training")
    with pytest.raises(ValueError, match=r"entry 0 of section 'training' of dataset.json has no label: add one"):
        read_datalist(root, "training", needs=["image", "label"])


def test_a_slice_of_an_extracted_folder_is_an_image(tmp_path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png", (64, 64))
    extract([Source(tmp_path / "in", dataset="a")], tmp_path / "slices", key_file=tmp_path / "key")
    (row,) = read_manifest(tmp_path / "slices").to_pylist()
    root = datalist(
        tmp_path, training=[{"image": f"slices/{row['slice_id']}", "label": picture(tmp_path / "m.png", (64, 64))}]
    )
    assert read_datalist(root, "training")[0]["image"] == str(tmp_path / "slices" / row["slice_id"])
    datalist(tmp_path, training=[{"image": "slices/absent"}])
    with pytest.raises(FileNotFoundError, match="slices/absent, which does not exist"):
        read_datalist(root, "training")
