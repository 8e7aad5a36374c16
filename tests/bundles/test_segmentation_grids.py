"""Masks lie on the grid of the input, whatever its size, format and orientation; bad input is told before training.

The network is a known function, a threshold of the first channel, so that the right mask is known without training.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from tests.bundles.samples.segmentation import DATA, load, write

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore")


class Threshold(torch.nn.Module):
    """Class 1 where the first channel is above a value, class 0 elsewhere."""

    def __init__(self, value: float, classes: int = 2) -> None:
        super().__init__()
        self.value = value
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 20 * (x[:, :1] - self.value)
        rest = torch.full_like(score, -1e4).expand(-1, self.classes - 2, -1, -1)
        return torch.cat([torch.zeros_like(score), score, rest], 1)


def infer(bundle, inputs, folder, value, classes=2, **options):
    """Run ``inference.json`` with the known network; return the masks."""
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "bundles" / bundle / "configs" / name) for name in ("inference.json", "demo.json")],
        logging_file=False,
        workflow_type="infer",
        network_def=Threshold(value, classes),
        dataset_dir=str(inputs),
        output_dir=str(folder),
        handlers=[],
        **options,
    )
    workflow.initialize()
    workflow.run()
    return sorted(folder.iterdir())


def dice(one, other):
    return 2 * np.sum(one & other) / (np.sum(one) + np.sum(other))


@pytest.mark.parametrize("size", [(64, 64), (37, 91), (3, 200), (1, 1), (700, 513)], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_pictures_mask_has_its_size_and_place(tmp_path, size, mode):
    left = np.arange(size[0]) < max(1, size[0] // 2)
    picture = np.where(left, 255, 0).astype(np.uint8)[None].repeat(size[1], 0)
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).convert(mode).save(tmp_path / "in" / "a.png")
    (mask,) = infer("colon_polyp_endoscopy_segmentation", tmp_path / "in", tmp_path / "out", value=0.0)
    assert mask.name == "a_seg.png"
    found = np.asarray(Image.open(mask))
    assert found.shape == size[::-1]
    # the edge may move by half a pixel of the network's grid
    assert np.mean(found != picture // 255) <= 1 / 64


@pytest.fixture(scope="module")
def abdomen():
    """A thinned abdominal scan, oblique, with its affine."""
    voxels, affine = load(DATA / "abdomen_ct" / "ct.nii.gz")
    angle = np.deg2rad(8)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return voxels[::2, ::2, 40:52], turn @ affine @ np.diag([2, 2, 1, 1])


STORED = {
    "as it is": ((0, 1, 2), ()),
    "left to right": ((0, 1, 2), (0,)),
    "all axes backwards": ((0, 1, 2), (0, 1, 2)),
    "slices first": ((2, 0, 1), ()),
    "exchanged and backwards": ((1, 0, 2), (1, 2)),
}


def stored(voxels, affine, order, backwards):
    """The same anatomy with its axes in another order and direction."""
    change = np.eye(4)[[*order, 3]].T
    voxels = voxels.transpose(order)
    for axis in backwards:
        voxels = np.flip(voxels, axis)
        turn = np.eye(4)
        turn[axis, axis], turn[axis, 3] = -1, voxels.shape[axis] - 1
        change = change @ turn
    return voxels, affine @ change


def test_the_same_anatomy_stored_otherwise_gives_the_same_mask(abdomen, tmp_path):
    voxels, affine = abdomen
    (tmp_path / "in").mkdir()
    for name, (order, backwards) in STORED.items():
        nib.save(nib.Nifti1Image(*stored(voxels, affine, order, backwards)), tmp_path / "in" / f"{name}.nii.gz")
    bundle = "abdominal_organ_ct_segmentation"
    infer(bundle, tmp_path / "in", tmp_path / "out", value=0.9, classes=5, pixel_mm=6.0)
    masks = {name: nib.load(tmp_path / "out" / f"{name}_seg.nii.gz") for name in STORED}
    reference = np.asarray(masks["as it is"].dataobj) == 1
    bone_and_vessels = np.clip((voxels + 160) / 400, 0, 1) > 0.485 + 0.229 * 0.9
    assert dice(reference, bone_and_vessels) > 0.85
    for name, (order, backwards) in STORED.items():
        expected, placed = stored(reference, affine, order, backwards)
        found = masks[name]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.affine, placed, atol=1e-4)
        assert dice(np.asarray(found.dataobj) == 1, expected) >= 0.99, name


def test_a_dicom_series_gives_a_mask_on_its_grid(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copytree(DATA / "abdomen_ct_dicom" / "series", tmp_path / "in" / "series")
    bundle = "abdominal_organ_ct_segmentation"
    (path,) = infer(
        bundle, tmp_path / "in", tmp_path / "out", value=-1.0, classes=5, pixel_mm=3.0, image_size=[128, 128]
    )
    assert path.name == "series_seg.nii.gz"
    scan, affine = load(DATA / "abdomen_ct_dicom" / "series")
    mask = nib.load(path)
    assert mask.shape == scan.shape
    np.testing.assert_allclose(mask.affine, affine, atol=1e-3)
    # soft tissue; stored backwards along an axis it would agree by less than 0.9
    truth = np.clip((scan + 160) / 400, 0, 1) > 0.485 - 0.229
    assert dice(np.asarray(mask.dataobj) == 1, truth) > 0.94


def test_beyond_a_small_volume_training_and_inference_see_the_same_black(tmp_path):
    bundle = ROOT / "bundles" / "whole_heart_ct_segmentation"
    data = write(bundle.name, tmp_path / "data")
    corners = []
    for name in ("train.json", "inference.json"):
        parser = ConfigParser()
        parser.read_config([str(bundle / "configs" / file) for file in (name, "demo.json")])
        parser["dataset_dir"], parser["image_size"], parser["progress"] = str(data), [128, 160], False
        section = "train::preprocessing" if name == "train.json" else "preprocessing"
        parser["augmentation"] = {"_target_": "Identityd", "keys": "image"}
        entry = {"image": str(data / "test_0.nii.gz"), "label": str(data / "test_0_seg.nii.gz")}
        found = parser.get_parsed_content(section)(entry)
        image = (found[0] if isinstance(found, list) else found)["image"]
        assert image.shape[1:3] == (128, 160)
        corners.append(image.flatten(3)[:, 0, 0, 0] if image.ndim == 4 else image[:, 0, 0])
    black = -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(corners, [black, black], rtol=1e-5)


def four_channels(folder, entries):
    Image.new("RGBA", (81, 65)).save(folder / "rgba.png")
    entries[0]["image"] = "rgba.png"


def unknown_value(folder, entries):
    mask = np.asarray(Image.open(folder / entries[1]["label"])).copy()
    Image.fromarray(mask[..., 0].astype(np.uint16) + 300).save(folder / "odd.png")
    entries[1]["label"] = "odd.png"


def another_size(folder, entries):
    Image.new("L", (80, 65)).save(folder / "small.png")
    entries[0]["label"] = "small.png"


def coloured(folder, entries):
    Image.new("RGB", (81, 65), (255, 0, 0)).save(folder / "red.png")
    entries[0]["label"] = "red.png"


def foreground_of_ones(folder, entries):
    for entry in entries:
        Image.fromarray(np.eye(65, 81, dtype=np.uint8)).save(folder / "ones.png")
        entry["label"] = "ones.png"


BAD = {
    "four channels": (four_channels, {}, "rgba.png has 4 channels (RGBA)"),
    "value outside the map": (unknown_value, {}, "odd.png holds 300"),
    "mask of another size": (another_size, {}, "mask small.png does not lie on the grid of"),
    "coloured mask": (coloured, {}, "mask red.png is coloured"),
    "values that mean nothing": (foreground_of_ones, {}, "masks holds any of polyp"),
    "missing mask": (lambda folder, entries: entries[0].pop("label"), {}, "has no label: add one"),
    "missing file": (lambda folder, entries: entries[0].update(image="gone.jpg"), {}, "gone.jpg, which does not exist"),
    "empty list": (lambda folder, entries: entries.clear(), {}, "the section 'training' of dataset.json is empty"),
    "part of a volume": (lambda *_: None, {"batch_size": 3, "slices_per_volume": 2}, "batch_size 3 counts slices"),
    "wrong class count": (lambda *_: None, {"network_def::out_channels": 3}, "the network gives 3 classes"),
    "too few names": (lambda *_: None, {"class_names": ["background"]}, "label_map gives class 1"),
}


def started(workflow):
    """Initialise and run; loaders of a configuration are built by the first use."""
    workflow.initialize()
    workflow.run()


@pytest.mark.parametrize(("spoil", "options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_before_training(spoil, options, message, tmp_path):
    bundle = "colon_polyp_endoscopy_segmentation"
    data = write(bundle, tmp_path / "data")
    sections = json.loads((data / "dataset.json").read_text())
    spoil(data, sections["training"])
    (data / "dataset.json").write_text(json.dumps(sections))
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "bundles" / bundle / "configs" / name) for name in ("train.json", "demo.json")],
        logging_file=False,
        workflow_type="train",
        dataset_dir=str(data),
        run_dir=str(tmp_path / "run"),
        progress=False,
        **options,
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011  MONAI wraps errors of a configuration in its own
        started(workflow)
    causes, error = [], caught.value
    while error is not None:
        causes.append(error)
        error = error.__cause__ or error.__context__
    found = [cause for cause in causes if isinstance(cause, ValueError | FileNotFoundError)]
    assert [cause for cause in found if re.search(re.escape(message), str(cause))], [str(cause) for cause in causes]
    assert not (tmp_path / "run").exists()
