from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage
from PIL import Image

from lvm_med_monai.data import MaskFolder, MaskWriter, mask_name

AFFINE = torch.tensor([[0.0, 2, 0, 5], [3, 0, 0, 6], [0, 0, -4, 7], [0, 0, 0, 1]], dtype=torch.float64)


def saver(folder):
    return SaveImage(
        output_dir=folder,
        folder_layout=MaskFolder(folder),
        output_name_formatter=mask_name,
        writer=MaskWriter,
        resample=False,
        output_dtype=np.uint8,
        print_log=False,
    )


def mask(source, shape):
    values = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(1, *shape) % 4
    return MetaTensor(values, affine=AFFINE, meta={"filename_or_obj": source, "spatial_shape": np.array(shape)})


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.tif"])
@pytest.mark.parametrize("shape", [(5, 3, 1), (1, 3, 1), (5, 1, 1)], ids=str)
def test_a_pictures_mask_is_a_png_of_class_numbers(tmp_path, name, shape):
    item = mask(f"/in/{name}", shape)
    saver(tmp_path)(item)
    found = Image.open(tmp_path / "a_seg.png")
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found).T, item[0, ..., 0])


@pytest.mark.parametrize(
    ("source", "shape", "name"),
    [
        ("/in/scan.nii.gz", (4, 3, 2), "scan_seg.nii.gz"),
        ("/in/scan.1.nrrd", (4, 3, 1), "scan.1_seg.nii.gz"),
        ("/in/pages.tiff", (4, 3, 2), "pages_seg.nii.gz"),
        ("/in/series/IM.1.2.3", (4, 3, 2), "series_seg.nii.gz"),
        ("/in/xrays/chest.dcm", (4, 3, 1), "chest_seg.nii.gz"),
        ("/in/slices/4f1c09", (4, 3, 1), "4f1c09_seg.nii.gz"),
    ],
    ids=["nifti", "dotted", "pages", "series", "radiograph", "extracted"],
)
def test_a_volumes_mask_is_nifti_on_its_grid(tmp_path, source, shape, name):
    item = mask(source, shape)
    saver(tmp_path)(item)
    found = nib.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(found.dataobj), item[0])
    np.testing.assert_allclose(found.affine, AFFINE)
    assert found.get_data_dtype() == np.uint8


def test_equal_names_get_their_folders(tmp_path):
    folder = MaskFolder(tmp_path)
    sources = ["/d/BMC/Case00.nii.gz", "/d/HK/Case00.nii.gz", "/e/HK/Case00.nii.gz", "/d/BMC/Case00.nii.gz"]
    names = [folder.filename(source, 5).rpartition("/")[2] for source in sources]
    assert names == ["Case00_seg.nii.gz", "HK_Case00_seg.nii.gz", "e_HK_Case00_seg.nii.gz", "Case00_seg.nii.gz"]


def test_inputs_that_names_cannot_tell_apart_are_refused(tmp_path):
    folder = MaskFolder(tmp_path)
    folder.filename("a.png")
    with pytest.raises(ValueError, match=r"both be called after a\.jpg: rename one"):
        folder.filename("a.jpg")


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("value", [256, 300, -1, 0.5, float("nan")])
def test_values_that_a_file_cannot_hold_are_refused(tmp_path, name, value):
    writer = MaskWriter()
    writer.set_data_array(torch.full((1, 3, 2, 1), float(value)))
    with pytest.raises(ValueError, match=rf"^{name} would hold {value:g}, which uint8 cannot"):
        writer.write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_more_classes_need_a_wider_type(tmp_path):
    writer = MaskWriter(output_dtype=np.int16)
    writer.set_data_array(torch.full((1, 3, 2, 1), 300.0))
    writer.write(tmp_path / "a.nii.gz")
    found = nib.load(tmp_path / "a.nii.gz")
    assert found.get_data_dtype() == np.int16
    assert np.asarray(found.dataobj).tolist() == [[[300], [300]]] * 3


@pytest.mark.parametrize(("name", "message"), [("a.png", "a PNG holds one picture"), ("a.mha", "as .png, .nii or")])
def test_what_a_format_cannot_be_is_refused(tmp_path, name, message):
    writer = MaskWriter()
    writer.set_data_array(torch.ones(1, 3, 2, 2))
    with pytest.raises(ValueError, match=message):
        writer.write(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.nii.gz"])
def test_a_failure_leaves_the_mask_that_was_there(tmp_path, name, monkeypatch):
    writer = MaskWriter()
    writer.set_data_array(torch.ones(1, 3, 2, 1))
    writer.write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    before = (tmp_path / name).read_bytes()

    def fail(*paths):
        raise OSError("no room")

    monkeypatch.setattr("lvm_med_monai.whole_file.os.replace", fail)
    writer.set_data_array(torch.zeros(1, 3, 2, 1))
    with pytest.raises(OSError, match="no room"):
        writer.write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
