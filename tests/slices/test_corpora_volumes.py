"""Every volume, mosaic and picture that nibabel and the demo carry, against the reader that is their reference."""

from __future__ import annotations

import gzip
import os
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices.geometry import LPS_TO_RAS
from tests.slices.corpora import files, read, reason, reference
from tests.slices.factories import DEMO

NIBABEL = Path(nibabel.__file__).parent
VOLUMES = [
    NIBABEL / "tests" / "data" / "anatomical.nii",
    NIBABEL / "tests" / "data" / "example4d.nii.gz",
    NIBABEL / "tests" / "data" / "example_nifti2.nii.gz",
    NIBABEL / "tests" / "data" / "functional.nii",
    NIBABEL / "tests" / "data" / "reoriented_anat_moved.nii",
    NIBABEL / "tests" / "data" / "resampled_anat_moved.nii",
    NIBABEL / "tests" / "data" / "standard.nii.gz",
    *sorted(DEMO.rglob("*.nii.gz")),
]


@pytest.mark.parametrize("path", VOLUMES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_volume_of_nibabel(path: Path) -> None:
    image = nibabel.load(path)
    volumes = image.get_fdata(dtype=np.float32)
    volumes = volumes.reshape(*volumes.shape[:3], -1)
    stacks, rejects = read(path)
    assert not rejects
    assert len(stacks) == volumes.shape[3]
    for t, stack in enumerate(stacks):
        to_voxel = np.linalg.inv(LPS_TO_RAS @ image.affine) @ stack.geometry.affine
        frames = stack.array()
        index = np.indices(frames.shape).reshape(3, -1)[::-1]
        i, j, k = np.rint(to_voxel[:3, :3] @ index + to_voxel[:3, 3:]).astype(int)
        truth = volumes[i, j, k, t]
        finite = np.isfinite(truth)
        assert np.allclose(frames.ravel()[finite], truth[finite], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["decimal_rescale.dcm", "slicethickness_empty_string.dcm"])
def test_dicom_of_nibabel(name: str) -> None:
    path = NIBABEL / "nicom" / "tests" / "data" / name
    (stack,), _ = read(path)
    assert np.array_equal(stack.array(), list(reference(path)))


@pytest.mark.parametrize("name", ["siemens_dwi_0", "siemens_dwi_1000"])
def test_mosaic_of_nibabel(tmp_path: Path, name: str) -> None:
    packed = NIBABEL / "nicom" / "tests" / "data" / f"{name}.dcm.gz"
    path = tmp_path / "mosaic.dcm"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    (stack,), rejects = read(path)
    assert not rejects
    assert stack.flags == frozenset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import wrapper_from_file
    truth = wrapper_from_file(os.fspath(path))
    volume = truth.get_unscaled_data()  # (row, column, slice)
    assert np.array_equal(stack.array(), np.moveaxis(volume, 2, 0))
    assert np.allclose(stack.geometry.affine, truth.affine[:, [1, 0, 2, 3]], atol=1e-6)


OTHERS = {
    "tests/data/0.dcm": "unsupported",  # a mosaic cut to a size that its slices do not fit
    "tests/data/1.dcm": "unsupported",
    "nicom/tests/data/0.dcm": "unsupported",
    "nicom/tests/data/1.dcm": "unsupported",
    "nicom/tests/data/csa_slice_norm.dcm": "no_pixels",
    "tests/data/analyze.hdr": "missing_data",
    "tests/data/nifti1.hdr": "missing_data",
    "tests/data/nifti2.hdr": "missing_data",
    "tests/data/row_major.dconn.nii": "unsupported",
    "tests/data/minc2_4d.mnc": "unsupported",
    "tests/data/T1.PAR": "unrecognised",
    "tests/data/simple.trk": "unrecognised",
    "nicom/tests/data/csa2_b0.bin": "unrecognised",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_file_of_nibabel(name: str) -> None:
    assert reason(NIBABEL / name) == OTHERS[name]


def test_no_file_of_nibabel_vanishes() -> None:
    for folder in (NIBABEL / "tests" / "data", NIBABEL / "nicom" / "tests" / "data"):
        for name in files(folder):
            stacks, rejects = read(folder / name)
            assert stacks or rejects, name


@pytest.mark.parametrize("name", ["image.tif", "instances.tif"])
def test_picture_of_the_demo(name: str) -> None:
    (stack,), _ = read(DEMO / "cell_nuclei" / name)
    assert np.array_equal(stack.frame(0), np.asarray(Image.open(DEMO / "cell_nuclei" / name)))


@pytest.mark.parametrize("folder", ["abdomen_ct_dicom/series", "brain_mr_dicom"])
def test_dicom_of_the_demo(folder: str) -> None:
    (stack,), _ = read(DEMO / folder)
    for index, source in enumerate(stack.frame_sources):
        (truth,) = reference(stack.sources[source])
        assert np.array_equal(stack.frame(index), truth)
