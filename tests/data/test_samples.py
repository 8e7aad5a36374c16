from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import EnsureChannelFirst, LoadImage
from PIL import Image

from lvm_med_monai.data import MaskReader, SampleReader, manifest_rows
from lvm_med_monai.data.samples import sample_exists, stacks_at
from lvm_med_monai.slices import Source, Stack, extract, read_manifest

GREY = np.add.outer(np.arange(40), np.arange(0, 100, 2)).astype(np.uint8)
"""A picture of 40 rows and 50 columns, all of whose pixels differ from their neighbours."""


def save(array, path):
    Image.fromarray(array).save(path)
    return path


def read(path, reader=SampleReader):
    image = LoadImage(reader(), image_only=True)(path)
    return EnsureChannelFirst()(image)


@pytest.fixture
def extracted(tmp_path):
    """Folder of two extracted pictures, grey and colour."""
    for name, array in (("grey", GREY), ("colour", np.stack([GREY, GREY[::-1], GREY // 2], -1))):
        (tmp_path / name).mkdir()
        save(array, tmp_path / name / "a.png")
    sources = [Source(tmp_path / name, dataset=name) for name in ("grey", "colour")]
    extract(sources, tmp_path / "slices", key_file=tmp_path / "key")
    return tmp_path / "slices"


def test_a_slice_of_an_extracted_folder_is_read_by_its_id(extracted):
    rows = {row["dataset"]: row["slice_id"] for row in read_manifest(extracted).to_pylist()}
    grey, colour = (read(extracted / rows[name]) for name in ("grey", "colour"))
    np.testing.assert_array_equal(grey[0, :, :, 0], GREY.T)
    assert colour.shape == (3, 50, 40, 1)
    np.testing.assert_array_equal(colour[1, :, :, 0], GREY[::-1].T)
    np.testing.assert_allclose(np.abs(grey.affine.numpy()), np.eye(4))
    assert grey.meta["filename_or_obj"].endswith(rows["grey"])


def test_a_slice_keeps_its_place_in_the_patient(tmp_path):
    affine = np.array([[-0.5, 0, 0, 3], [0, 0.7, 0, 4], [0, 0, 5, 6], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).normal(0, 100, (6, 7, 3)).astype(np.int16)
    (tmp_path / "scan").mkdir()
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "scan" / "a.nii.gz")
    extract([Source(tmp_path / "scan", dataset="a")], tmp_path / "out", key_file=tmp_path / "key")
    for row in read_manifest(tmp_path / "out").to_pylist():
        image = read(tmp_path / "out" / row["slice_id"])
        place = np.rint(np.linalg.inv(affine) @ image.affine.numpy() @ [2, 1, 0, 1]).astype(int)
        assert abs(image[0, 2, 1, 0] - voxels[tuple(place[:3])]) <= 1


def test_unknown_slices_do_not_exist(extracted):
    assert not sample_exists(extracted / "0000")
    with pytest.raises(FileNotFoundError):
        stacks_at(extracted / "0000")


def test_a_gif_is_read_in_grey(tmp_path):
    path = save((GREY > 50).astype(np.uint8) * 255, tmp_path / "mask.gif")
    np.testing.assert_array_equal(read(path)[0, :, :, 0], (GREY > 50).T * 255)


def test_a_gif_that_moves_and_one_that_is_none_are_refused(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "text.gif").write_text("no picture")
    for name, reason in (("moving.gif", "it has 2 pictures"), ("text.gif", "cannot be read")):
        with pytest.raises(ValueError, match=reason):
            read(tmp_path / name)


def test_several_masks_become_channels_in_order(tmp_path):
    paths = [save(((value == GREY) * 255).astype(np.uint8), tmp_path / f"{value}.png") for value in (10, 24, 120)]
    found = read(paths, MaskReader)
    assert found.shape == (3, 50, 40, 1)
    for channel, value in zip(found, (10, 24, 120), strict=True):
        np.testing.assert_array_equal(channel[..., 0], (value == GREY).T * 255)


def test_masks_of_another_size_are_refused(tmp_path):
    paths = [save(GREY, tmp_path / "a.png"), save(GREY[:30], tmp_path / "b.png")]
    with pytest.raises(ValueError, match="the masks of one image differ in size"):
        read(paths, MaskReader)


def test_a_mask_in_equal_colours_is_grey_and_one_in_others_is_refused(tmp_path):
    equal = np.stack([GREY] * 3, -1)
    assert read(save(equal, tmp_path / "equal.png"), MaskReader).shape == (1, 50, 40, 1)
    equal[0, 0, 0] = 99
    with pytest.raises(ValueError, match=r"mask coloured.png is coloured: save its classes as grey values"):
        read(save(equal, tmp_path / "coloured.png"), MaskReader)


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.bmp"])
def test_classes_in_channels_are_no_tint_of_grey(tmp_path, name):
    coloured = np.zeros((4, 5, 3), np.uint8)
    coloured[1, 1], coloured[2, 2] = (0, 1, 0), (0, 0, 2)
    with pytest.raises(ValueError, match=rf"mask {name} is coloured: save its classes as grey values"):
        read(save(coloured, tmp_path / name), MaskReader)


def test_a_jpeg_of_a_grey_mask_may_be_tinted(tmp_path):
    tinted = np.stack([GREY // 2, GREY // 2, GREY // 2 + 6], -1)
    Image.fromarray(tinted).save(tmp_path / "m.jpg", quality=95)
    channels = np.asarray(Image.open(tmp_path / "m.jpg"))
    assert 0 < np.ptp(channels.astype(int), axis=-1).max() <= 16
    np.testing.assert_array_equal(read(tmp_path / "m.jpg", MaskReader)[0, :, :, 0], channels[..., 0].T)


def test_a_manifest_is_read_once_however_many_slices_are_looked_up(extracted, monkeypatch):
    names = [row["slice_id"] for row in read_manifest(extracted).to_pylist()]
    times = []
    whole = manifest_rows.read_columns
    monkeypatch.setattr(manifest_rows, "read_columns", lambda *given: times.append(given) or whole(*given))
    for name in names * 3:
        assert sample_exists(extracted / name)
        (stack,) = stacks_at(extracted / name)
        assert stack.sources == (extracted / name,)
    assert len(times) == 1
    for path in extracted.iterdir():
        os.utime(path)
    assert sample_exists(extracted / names[0])
    assert len(times) == 2


def test_a_folder_of_two_series_is_no_list_of_masks(tmp_path):
    for name in "ab":
        save(GREY, tmp_path / f"{name}.png")
    with pytest.raises(ValueError, match="holds 2 stacks"):
        read(tmp_path, MaskReader)


def test_other_inputs_are_those_of_iter_stacks(tmp_path):
    path = save(GREY, tmp_path / "a.png")
    (stack,) = stacks_at(path)
    assert isinstance(stack, Stack)
    assert (stack.height, stack.width) == (40, 50)
