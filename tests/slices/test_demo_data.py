"""All slices of the demo scans against an independent reader: values, order, physical positions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract, iter_stacks, read_manifest, read_slice, verify
from lvm_med_monai.slices.geometry import LPS_TO_RAS
from lvm_med_monai.slices.stack import Stack
from tests.slices.factories import DEMO

LIVER = 5


@cache
def only(path: str) -> Stack:
    (stack,) = iter_stacks(DEMO / path)
    assert isinstance(stack, Stack)
    return stack


@cache
def pixels_of(path: str) -> np.ndarray:
    return only(path).array()


def by_simpleitk(path: Path) -> SimpleITK.Image:
    if path.is_file():
        return SimpleITK.ReadImage(str(path))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    return reader.Execute()


@pytest.mark.parametrize("path", ["abdomen_ct_dicom/series", "brain_mr_dicom", "brain_mr_tumour/t1_gd.nrrd"])
def test_against_simpleitk(path: str) -> None:
    stack, image = only(path), by_simpleitk(DEMO / path)
    volume = SimpleITK.GetArrayFromImage(image)
    frames = pixels_of(path)
    assert frames.shape == volume.shape
    assert (stack.geometry.steps > 0).all()
    height, width = frames.shape[1:]
    for z in range(stack.n_slices):
        for y, x in ((0, 0), (height - 1, 3), (7, width - 1), (height // 2, width // 3)):
            place = stack.geometry.origins[z] + (stack.geometry.affine[:3, :2] @ [x, y])
            index = np.array(image.TransformPhysicalPointToContinuousIndex(place.tolist()))
            # ITK forces slices onto a regular grid; the MR's positions deviate from it by up to 0.06 mm.
            assert np.abs(index - np.rint(index)).max() < 0.1
            i, j, k = np.rint(index).astype(int)
            assert frames[z, y, x] == volume[k, j, i]
        assert np.array_equal(np.sort(frames[z], axis=None), np.sort(volume[k], axis=None))


@pytest.mark.parametrize(
    "path", ["abdomen_ct/ct.nii.gz", "abdomen_ct/organs.nii.gz", "chest_ct/ct.nii.gz", "abdomen_ct_dicom/organs.nii.gz"]
)
def test_against_nibabel(path: str) -> None:
    stack, image = only(path), nibabel.load(DEMO / path)
    volume = np.asarray(image.dataobj)
    frames = pixels_of(path)
    assert np.issubdtype(frames.dtype, np.integer)
    to_voxel = np.linalg.inv(LPS_TO_RAS @ image.affine) @ stack.geometry.affine
    for z in range(stack.n_slices):
        y, x = np.indices(frames.shape[1:]).reshape(2, -1)
        i, j, k, _ = np.rint(to_voxel @ np.stack([x, y, np.full_like(x, z), np.ones_like(x)])).astype(int)
        assert np.array_equal(frames[z].ravel(), volume[i, j, k])


def test_against_pillow() -> None:
    assert np.array_equal(
        only("cell_nuclei/image.tif").frame(0), np.asarray(Image.open(DEMO / "cell_nuclei/image.tif"))
    )


def test_modalities_and_units() -> None:
    assert (only("abdomen_ct_dicom/series").modality, only("abdomen_ct_dicom/series").units) == ("CT", "HU")
    assert (only("brain_mr_dicom").modality, only("brain_mr_dicom").units) == ("MR", "raw")
    assert only("brain_mr_dicom").geometry.plane == "axial"


@pytest.mark.parametrize(("folder", "scan"), [("abdomen_ct_dicom", "series"), ("abdomen_ct", "ct.nii.gz")])
def test_liver_lies_on_the_liver(folder: str, scan: str) -> None:
    scan, mask = f"{folder}/{scan}", f"{folder}/organs.nii.gz"
    image, label = only(scan), only(mask)
    voxels = np.argwhere(pixels_of(mask) == LIVER)[:, ::-1]  # (x, y, z)
    places = (label.geometry.affine @ np.c_[voxels, np.ones(len(voxels))].T)[:3]
    index = np.rint(np.linalg.inv(image.geometry.affine) @ np.r_[places, np.ones((1, len(voxels)))])[:3].astype(int)
    values = pixels_of(scan)[index[2], index[1], index[0]]
    assert 0 < values.mean() < 150
    assert np.percentile(values, 10) > -50
    # The same centroid by the file's own affine and storage order.
    stored = nibabel.load(DEMO / mask)
    own = np.argwhere(np.asarray(stored.dataobj) == LIVER).mean(axis=0)
    centroid = (LPS_TO_RAS @ stored.affine @ [*own, 1])[:3]
    assert np.abs(centroid - places.mean(axis=1)).max() < 0.1
    assert np.abs(centroid - (image.geometry.affine @ [*index.mean(axis=1), 1])[:3]).max() < max(image.geometry.spacing)


def test_all_of_it_through_shards(tmp_path: Path) -> None:
    sources = [
        Source(DEMO / "abdomen_ct_dicom" / "series", "abdomen"),
        Source(DEMO / "brain_mr_dicom", "brain"),
        Source(DEMO / "brain_mr_tumour" / "t1_gd.nrrd", "tumour", modality="MR"),
        Source(DEMO / "cell_nuclei" / "image.tif", "nuclei", tile=170),
    ]
    everything = SlicePolicy(every_mm=0, min_foreground=0, min_std=0)
    summary = extract(sources, tmp_path / "out", everything, progress=False)
    assert summary.files_in == summary.files_in_manifest == 20 + 19 + 1 + 1
    assert summary.slices == 20 + 19 + 25 + 9
    assert verify(tmp_path / "out").ok
    paths = {"abdomen": "abdomen_ct_dicom/series", "brain": "brain_mr_dicom", "tumour": "brain_mr_tumour/t1_gd.nrrd"}
    for row in read_manifest(tmp_path / "out").to_pylist():
        pixels = read_slice(tmp_path / "out", row)
        assert row["window_lower"] < row["window_upper"]
        if row["dataset"] == "nuclei":
            y, x = row["tile_row"], row["tile_column"]
            assert np.array_equal(pixels, only("cell_nuclei/image.tif").frame(0)[y : y + 170, x : x + 170])
            continue
        stack = only(paths[row["dataset"]])
        assert np.array_equal(pixels, pixels_of(paths[row["dataset"]])[row["slice_index"]])
        assert row["origin"] == stack.geometry.origins[row["slice_index"]].tolist()
