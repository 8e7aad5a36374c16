"""Pixels as bundles are given them, and what is refused to whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage, JPEG2000Lossless, UltrasoundImageStorage

from lvm_med_monai.apps.deploy.loading import load_model
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import SourceImage, read_series
from lvm_med_monai.apps.deploy.values import slices_of, volume_of
from tests.apps.deploy.known import threshold_bundle
from tests.apps.deploy.scenes import (
    SPACING,
    Scene,
    base,
    body,
    radiograph,
    save,
    slice_of,
    ultrasound,
    volume,
    with_pixels,
)


def read(scene: Scene) -> SourceImage:
    return read_series(scene.folder)[0]


def radiograph_of(folder: Path, bits: int, number: int, **attributes: Any) -> Scene:
    """A CR of the series: the body at 15/16 of what the bits hold, the rest at 1/16."""
    scene, dataset, top = Scene(folder), base(ComputedRadiographyImageStorage, "CR"), 1 << bits
    with_pixels(dataset, np.where(body(1), top * 15 // 16, top // 16).astype(np.uint16))
    dataset.InstanceNumber, dataset.BitsStored, dataset.HighBit = number, bits, bits - 1
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    save(scene, dataset, f"{number}.dcm", [body(1)])
    return scene


def pictures(scene: Scene, bundle: Path) -> list[np.ndarray]:
    """(H, W) pictures of a series, as a bundle for grey pictures is given them."""
    array, _ = volume_of(read(scene), load_model(threshold_bundle(bundle, "gray")))
    return [array[:, :, index].T for index in range(array.shape[2])]


def test_values_are_rescaled_slice_by_slice_in_float32(tmp_path: Path) -> None:
    image = read(volume(tmp_path / "ct", slopes=[1.0, 0.5, 2.0, 0.5, 1.0, 4.0]))
    array, meta = volume_of(image, load_model(threshold_bundle(tmp_path / "bundle")))
    assert (array.dtype, array.shape) == (np.float32, (56, 40, 6))
    assert set(np.unique(array)) == {-100.0, 200.0}
    assert (array[:, :, 1] == np.where(body(1), 200, -100).T).all()
    assert np.allclose(np.diag(meta["affine"])[:3], [-SPACING[1], -SPACING[0], 2.5])  # to RAS; x is along columns


def test_pictures_are_mapped_to_bytes_and_inverted_where_the_file_says_so(tmp_path: Path) -> None:
    image = read(radiograph(tmp_path / "cr"))
    array, _ = volume_of(image, load_model(threshold_bundle(tmp_path / "gray", "gray")))
    inside = array[:, :, 0].T[body(1)]
    assert (array.min() >= 0, array.max() <= 255, len(np.unique(array))) == (True, True, 2)
    assert inside.min() > 230
    raw, _ = volume_of(image, load_model(threshold_bundle(tmp_path / "raw", "magnitude")))
    assert raw.max() > 255


def test_colour_keeps_its_three_values(tmp_path: Path) -> None:
    image = read(ultrasound(tmp_path / "us", frames=2))
    array, _ = volume_of(image, load_model(threshold_bundle(tmp_path / "bundle", "rgb")))
    assert (array.shape, set(np.unique(array))) == ((56, 40, 2, 3), {30.0, 220.0})


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("with_window", [True, False], ids=["window", "percentiles"])
def test_radiographs_look_the_same_beside_another(with_window: bool, photometric: str, tmp_path: Path) -> None:
    for bits in (12, 10):
        shown = {"PhotometricInterpretation": photometric}
        shown |= {"WindowCenter": 1 << (bits - 1), "WindowWidth": 1 << bits} if with_window else {}
        alone = radiograph_of(tmp_path / f"alone{bits}", bits, 13 - bits, **shown)
        beside = radiograph_of(tmp_path / "beside", bits, 13 - bits, **shown)
        (expected,) = pictures(alone, tmp_path / f"bundle{bits}")
        assert (expected.min(), expected.max()) == ((16, 239) if with_window else (0, 255))
        assert expected[body(1)].max() == (expected.max() if photometric == "MONOCHROME2" else expected.min())
    assert len({scene.tobytes() for scene in pictures(beside, tmp_path / "bundle")}) == 1


def test_slices_of_a_placed_stack_share_their_percentiles(tmp_path: Path) -> None:
    for index in range(2):
        scene, dataset = Scene(tmp_path / "us"), slice_of(index, "MR")
        dataset.SOPClassUID, dataset.Modality = UltrasoundImageStorage, "US"
        save(scene, with_pixels(dataset, np.where(body(index), 1000, 0).astype(np.uint16) >> index), f"{index}.dcm", [])
    assert [picture.max() for picture in pictures(scene, tmp_path / "bundle")] == [255, 128]


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_pictures_of_8_bits_are_taken_as_they_are(colour: bool, tmp_path: Path) -> None:
    scene, dataset = Scene(tmp_path / "us"), base(UltrasoundImageStorage, "US")
    pixels = np.where(body(1), 60, 30).astype(np.uint8)
    with_pixels(dataset, np.stack([pixels] * 3, axis=-1) if colour else pixels, bits=8)
    save(scene, dataset, "us.dcm", [body(1)])
    array, _ = volume_of(read(scene), load_model(threshold_bundle(tmp_path / "bundle", "rgb")))
    assert set(np.unique(array)) == {30, 60}


@pytest.mark.parametrize("input_format", ["hounsfield", "magnitude"])
def test_measured_bundles_refuse_series_without_the_size_of_pixels(input_format: str, tmp_path: Path) -> None:
    scene = volume(tmp_path / "series", modality="CT" if input_format == "hounsfield" else "MR", count=2)
    for path in scene.folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.PixelSpacing
        dataset.save_as(path)
    with pytest.raises(DeployError, match="works in mm; the series has no PixelSpacing; have the sender"):
        volume_of(read(scene), load_model(threshold_bundle(tmp_path / "bundle", input_format)))


def test_measured_bundles_refuse_colour(tmp_path: Path) -> None:
    scene, dataset = Scene(tmp_path / "series"), slice_of(0, "MR")
    pixels = np.stack([np.where(body(0), 220, 30)] * 3, axis=-1).astype(np.uint8)
    save(scene, with_pixels(dataset, pixels, bits=8), "map.dcm", [])
    with pytest.raises(DeployError, match="takes measured values; the series is in colour"):
        volume_of(read(scene), load_model(threshold_bundle(tmp_path / "bundle", "magnitude")))


def test_slices_for_themselves_keep_their_place(tmp_path: Path) -> None:
    image = read(volume(tmp_path / "ct"))
    slices = slices_of(image, load_model(threshold_bundle(tmp_path / "bundle")))
    assert [array.shape for array, _ in slices] == [(56, 40, 1)] * 6
    assert [meta["affine"][2, 3] for _, meta in slices] == [30 + 2.5 * i for i in range(6)]


def test_hounsfield_bundles_refuse_what_is_not_in_hu(tmp_path: Path) -> None:
    image = read(volume(tmp_path / "mr", modality="MR"))
    with pytest.raises(DeployError, match="takes CT in HU; the series is MR"):
        volume_of(image, load_model(threshold_bundle(tmp_path / "bundle")))


@pytest.mark.parametrize(("bundle", "series"), [("CT", "MR"), ("MR", "CT")])
def test_bundles_for_ct_and_mr_refuse_each_others_series(bundle: str, series: str, tmp_path: Path) -> None:
    image = read(volume(tmp_path / "series", modality=series))
    folder = threshold_bundle(tmp_path / "bundle", "magnitude")
    meta = json.loads((folder / "configs/metadata.json").read_text())
    meta["network_data_format"]["inputs"]["image"]["modality"] = bundle
    (folder / "configs/metadata.json").write_text(json.dumps(meta))
    with pytest.raises(DeployError, match=f"is for {bundle}; the series is {series}"):
        volume_of(image, load_model(folder))


def test_pixels_that_cannot_be_decoded_stop_the_run(tmp_path: Path) -> None:
    scene = volume(tmp_path / "ct", compress=JPEG2000Lossless)
    file = sorted(scene.folder.iterdir())[2]
    content = bytearray(file.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start + 40 : start + 120] = b"\xff" * 80
    file.write_bytes(content)
    with pytest.raises(DeployError, match=r"02\.dcm cannot be decoded"):
        volume_of(read(scene), load_model(threshold_bundle(tmp_path / "bundle")))


@pytest.mark.parametrize("input_format", ["rgb", "gray"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_bundles_for_pictures_refuse_measured_series(modality: str, input_format: str, tmp_path: Path) -> None:
    image = read(volume(tmp_path / "series", modality=modality, count=1))
    with pytest.raises(DeployError, match=f"is for pictures, not for {modality}; give a bundle for {modality}"):
        volume_of(image, load_model(threshold_bundle(tmp_path / "bundle", input_format)))
