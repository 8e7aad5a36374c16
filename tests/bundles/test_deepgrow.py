"""The promptable bundle on real pixels: what its decoder learns, and what an annotator gets from a click."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from tests.bundles.conftest import ROOT
from tests.bundles.harness import configs, succeed
from tests.bundles.samples import deepgrow
from tests.bundles.samples.dicom import write_dicom

BUNDLE = ROOT / "bundles" / "slice_deepgrow_annotation"
GAIN = 0.3
"""Dice that training the decoder must add to that of the untrained one; fixed before the run."""
STEPS = 90


def crops(folder, parser):
    """Nuclei of the upper part of the micrograph to train on, of the lower part to test on, no pixel in common."""
    _, instances = deepgrow.nuclei()
    rows = [np.nonzero(instances == number)[0].mean() for number in deepgrow.chosen_nuclei(instances)]
    order, middle = np.argsort(rows), instances.shape[0] / 2
    upper = [index for index in order if rows[index] < middle - deepgrow.CROP][-32:]
    lower = [index for index in order if rows[index] > middle + deepgrow.CROP][:16]
    prepare = [parser.get_parsed_content(name) for name in ("intensity", "three_channels", "normalise")]

    def item(index):
        paths = deepgrow.nucleus(folder, f"n{index}", index)
        read = {key: torch.from_numpy(np.array(Image.open(folder / name))).float()[None] for key, name in paths.items()}
        for step in prepare:
            read = step(read)
        return read

    return [item(index) for index in upper], [item(index) for index in lower]


def dice(network, items) -> float:
    """Mean Dice of an image."""
    with torch.no_grad():
        pairs = [(network(item["image"][None])[0] > 0, item["label"].bool()) for item in items]
    return float(np.mean([2 * (p & t).sum() / (p.sum() + t.sum()) for p, t in pairs]))


@pytest.mark.slow
def test_training_the_decoder_alone_beats_the_untrained_decoder(tmp_path):
    parser = ConfigParser()
    parser.read_config(configs(BUNDLE, "train.json", "demo.json"))
    torch.manual_seed(0)
    network, loss = parser.get_parsed_content("network_def"), parser.get_parsed_content("loss")
    prompt = parser.get_parsed_content("training_prompts").set_random_state(0)
    training, test = crops(tmp_path, parser)
    test = [parser.get_parsed_content("validation_prompts")(item) for item in test]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    untrained = dice(network.eval(), test)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 0.002)
    generator = np.random.RandomState(0)
    network.train()
    for _ in range(STEPS):
        batch = [prompt(training[index]) for index in generator.choice(len(training), 8, replace=False)]
        images, masks = (torch.stack([item[key] for item in batch]).float() for key in ("image", "label"))
        optimizer.zero_grad()
        loss(network(images), masks).backward()
        optimizer.step()
    assert dice(network.eval(), test) > untrained + GAIN
    changed = {
        name.split(".")[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"mask_decoder"}


@pytest.mark.slow
def test_evaluation_without_training_takes_the_weights_that_are_given(tmp_path):
    data = deepgrow.write(BUNDLE.name, tmp_path / "data")
    parser = ConfigParser()
    parser.read_config(configs(BUNDLE, "inference.json", "demo.json"))
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "sam.pt")
    options = {"dataset_dir": data, "run_dir": tmp_path / "run", "sam_weights": tmp_path / "sam.pt"}
    said = succeed(BUNDLE, ["train.json", "zero_shot.json", "demo.json", "evaluate.json"], options, tmp_path)
    assert "from sam.pt into PromptedSegmenter" in said
    assert not (tmp_path / "run" / "model.pt").exists()
    assert (tmp_path / "run" / "eval" / "metrics.csv").is_file()


@pytest.mark.slow
def test_several_masks_of_an_image_are_an_object_each(tmp_path):
    """The prompt points at the largest, and the score is that object's."""
    data = deepgrow.write(BUNDLE.name, tmp_path / "data")
    sections = json.loads((data / "dataset.json").read_text())
    Image.fromarray(np.pad(np.full((3, 4), 255, np.uint8), ((0, 61), (0, 60)))).save(data / "corner.png")
    pictures = [entry for entry in sections["test"] if entry["image"].endswith(".png")]
    first = [entry["label"] for entry in pictures]
    for entry in [*sections["training"], *pictures]:
        entry["label"] = [entry["label"], "corner.png"]
    (data / "dataset.json").write_text(json.dumps({**sections, "test": pictures}))
    options = {"dataset_dir": data, "run_dir": tmp_path / "run", "epochs": 1, "epoch_length": 1}
    succeed(BUNDLE, ["train.json", "demo.json"], options, tmp_path)
    succeed(BUNDLE, ["train.json", "demo.json", "evaluate.json"], options, tmp_path)
    with (tmp_path / "run" / "eval" / "val_mean_dice_raw.csv").open(newline="") as table:
        scores = [float(row[-1]) for row in list(csv.reader(table))[1:]]
    own = []
    for entry, name in zip(pictures, first, strict=True):
        found = np.asarray(Image.open(tmp_path / "run" / "eval" / entry["image"].replace(".png", "_seg.png"))) > 0
        truth = np.asarray(Image.open(data / name)) > 0
        own.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert scores == pytest.approx(own, abs=1e-5)
    assert min(own) > 0


@pytest.mark.slow
def test_the_papers_protocol_trains_and_is_measured_on_the_decoders_grid(tmp_path):
    data = deepgrow.write(BUNDLE.name, tmp_path / "data")
    options = {"epochs": 1, "epoch_length": 1, "dataset_dir": data, "run_dir": tmp_path / "run"}
    succeed(BUNDLE, ["train.json", "paper.json", "demo.json"], options, tmp_path)
    succeed(BUNDLE, ["train.json", "paper.json", "demo.json", "evaluate.json"], options, tmp_path)
    with Image.open(tmp_path / "run" / "eval" / "nucleus10_seg.png") as mask:
        assert mask.size == (16, 16)
    with (tmp_path / "run" / "eval" / "metrics.csv").open(newline="") as table:
        assert {"val_mean_dice", "val_slice_iou"} <= {row[0] for row in csv.reader(table)}


def another_size(data, entry):
    Image.new("L", (70, 64), 255).save(data / "wide.png")
    entry["label"] = "wide.png"


def no_picture(data, entry):
    (data / "words.png").write_text("not a picture")
    entry["image"] = "words.png"


def no_mask_file(data, entry):
    (data / "words.png").write_text("not a picture")
    entry["label"] = "words.png"


def empty_mask(data, entry):
    Image.new("L", (64, 64)).save(data / entry["label"])


def four_channels(data, entry):
    Image.new("RGBA", (64, 64)).save(data / entry["image"])


BAD = {
    "empty datalist": (None, "the section 'training' of dataset.json is empty"),
    "no mask": (lambda data, entry: entry.pop("label"), "entry 3 of section 'training' of dataset.json has no label"),
    "missing mask": (lambda data, entry: (data / entry["label"]).unlink(), "nucleus3_mask.png, which does not exist"),
    "missing picture": (lambda data, entry: entry.update(image="gone.png"), "gone.png, which does not exist"),
    "mask of another size": (another_size, "mask wide.png does not lie on the grid of nucleus3.png"),
    "wrong file": (no_picture, "words.png holds 0 volumes, expected one"),
    "wrong file for a mask": (no_mask_file, "words.png holds 0 volumes, expected one"),
    "empty mask": (empty_mask, "the mask of nucleus3.png is empty, so nothing can be pointed at"),
    "four channels": (four_channels, "nucleus3.png has 4 channels"),
}
SETTINGS = {
    "target that no mask holds": ({"target": 1}, "none of 8 masks holds the target 1, they hold [255]"),
    "half a volume": ({"batch_size": 3, "slices_per_volume": 2}, "batch_size 3 counts slices"),
}


@pytest.mark.parametrize(("damage", "message"), BAD.values(), ids=BAD.keys())
def test_bad_data_are_refused_before_the_first_step(damage, message, tmp_path):
    data = deepgrow.write(BUNDLE.name, tmp_path / "data")
    sections = json.loads((data / "dataset.json").read_text())
    if damage is None:
        sections["training"] = []
    else:
        damage(data, sections["training"][3])
    (data / "dataset.json").write_text(json.dumps(sections))
    assert message in refusal(data, tmp_path)


@pytest.mark.parametrize(("settings", "message"), SETTINGS.values(), ids=SETTINGS.keys())
def test_bad_settings_are_refused_before_the_first_step(settings, message, tmp_path):
    assert message in refusal(deepgrow.write(BUNDLE.name, tmp_path / "data"), tmp_path, **settings)


def started(workflow):
    """Initialise and run; loaders of a configuration are built by the first use."""
    workflow.initialize()
    workflow.run()


def refusal(data, tmp_path, **settings):
    """What the workflow says that refuses to start; nothing is written."""
    workflow = ConfigWorkflow(
        config_file=configs(BUNDLE, "train.json", "demo.json"),
        logging_file=False,
        workflow_type="train",
        dataset_dir=str(data),
        run_dir=str(tmp_path / "run"),
        **settings,
    )
    with pytest.raises((RuntimeError, ValueError, FileNotFoundError)) as caught:
        started(workflow)
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, (ValueError, FileNotFoundError))
    assert not (tmp_path / "run").exists()
    return str(error)


class Annotator:
    """A bundle's inference as MONAI Label calls it: a request's parameters beside the image, one tensor through."""

    def __init__(self):
        parser = ConfigParser()
        parser.read_config(configs(BUNDLE, "inference.json", "demo.json"))
        torch.manual_seed(0)
        self.network = parser.get_parsed_content("network_def").eval()
        self.before, self.inferer = (parser.get_parsed_content(name) for name in ("preprocessing", "inferer"))
        transforms = parser.get_parsed_content("postprocessing").transforms
        self.after = [step for step in transforms if type(step).__name__ != "SaveImaged"]

    def ask(self, path, **prompts):
        item = self.before({"image": str(path), "image_path": str(path), **prompts})
        with torch.no_grad():
            item["pred"] = self.inferer(item["image"][None], self.network)[0]
        for step in self.after:
            item = step(item)
        return np.asarray(item["pred"])


@pytest.fixture(scope="module")
def annotator():
    return Annotator()


def test_a_picture_of_any_size_is_segmented_on_its_own_grid(annotator, tmp_path):
    for name, size in (("wide", (150, 40)), ("tall", (33, 90)), ("colour", (64, 64))):
        image = Image.effect_noise(size, 60)
        path = tmp_path / f"{name}.png"
        (Image.merge("RGB", [image] * 3) if name == "colour" else image).save(path)
        mask = annotator.ask(path, foreground=[[10, 12]], background=[[1, 1, 0]])
        assert mask.shape == (1, *size, 1)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}


@pytest.mark.parametrize("prompts", [{}, {"foreground": [], "background": [], "roi": []}, {"slice": 2, "label": "x"}])
def test_a_request_without_prompts_gives_an_empty_mask(annotator, prompts, tmp_path):
    deepgrow.tumour(tmp_path, "scan", 0)
    mask = annotator.ask(tmp_path / "scan.nii.gz", **prompts)
    assert mask.shape == (1, *nib.load(tmp_path / "scan.nii.gz").shape)
    assert not mask.any()


def test_dicom_gets_the_mask_of_the_same_picture(annotator, tmp_path):
    deepgrow.nucleus(tmp_path, "a", 0)
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    write_dicom(tmp_path / "b.dcm", pixels)
    (tmp_path / "c").mkdir()
    write_dicom(tmp_path / "c" / "file", pixels)
    box = [20, 20, 44, 44]
    picture, file, folder = (annotator.ask(tmp_path / name, box=box) for name in ("a.png", "b.dcm", "c"))
    assert 0 < picture.mean() < 1
    np.testing.assert_array_equal(file, picture)
    np.testing.assert_array_equal(folder, picture)


def test_only_the_clicked_slice_is_filled(annotator, tmp_path):
    deepgrow.tumour(tmp_path, "scan", 0)
    mask = annotator.ask(tmp_path / "scan.nii.gz", foreground=[[30, 32, 5]])[0]
    assert np.flatnonzero(mask.any((0, 1))).tolist() == [5]


def test_the_same_anatomy_stored_flipped_gives_the_same_mask(annotator, tmp_path):
    """Voxels of the request are those of each file: the click moves with the storage."""
    deepgrow.tumour(tmp_path, "scan", 0)
    image = nib.load(tmp_path / "scan.nii.gz")
    voxels, size = image.get_fdata(dtype=np.float32), np.array(image.shape)
    flip = np.diag([-1.0, -1.0, -1.0, 1.0])
    flip[:3, 3] = size - 1
    nib.save(nib.Nifti1Image(voxels[::-1, ::-1, ::-1], image.affine @ flip), tmp_path / "flipped.nii.gz")
    click, box = np.array([30, 32, 5]), np.array([20, 22, 5, 40, 41, 5])
    straight = annotator.ask(tmp_path / "scan.nii.gz", foreground=[click.tolist()], box=box.tolist())[0]
    turned = (np.tile(size - 1, 2) - box).tolist()
    flipped = annotator.ask(tmp_path / "flipped.nii.gz", foreground=[(size - 1 - click).tolist()], box=turned)[0]
    assert straight.any()
    overlap = 2 * (straight & flipped).sum() / (straight.sum() + flipped.sum())  # the reader turns both to one display
    assert overlap >= 0.99
