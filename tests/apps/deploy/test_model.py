"""Loading bundles, and what they are given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from highdicom.sr import ComprehensiveSR

from lvm_med_monai.apps.deploy.loading import load_model
from lvm_med_monai.apps.deploy.model import check_finite
from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.apps.deploy.series import SourceImage, read_series
from lvm_med_monai.apps.deploy.tasks import TASKS, checked_boxes, equipment_of
from tests.apps.deploy.known import classifier_bundle, detector_bundle, export_script, threshold_bundle
from tests.apps.deploy.reading import dice
from tests.apps.deploy.scenes import Scene, body, radiograph, ultrasound, volume


def read(scene: Scene) -> SourceImage:
    return read_series(scene.folder)[0]


def test_the_folder_of_a_package_with_one_bundle_is_enough(tmp_path: Path) -> None:
    threshold_bundle(tmp_path / "models" / "one")
    assert load_model(tmp_path / "models").name == "one"


@pytest.mark.parametrize("form", ["folder", "file", "renamed"])
def test_torchscript_gives_the_same_result(form: str, tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    script = export_script(bundle)
    (bundle / "models" / "model.pt").unlink()
    path = {"folder": bundle, "file": script, "renamed": tmp_path / "other.ts"}[form]
    if form == "renamed":
        shutil.move(script, path)
    scene = volume(tmp_path / "ct")
    (result,) = TASKS["segmentation"]([read(scene)], load_model(path))
    result.save_as(tmp_path / "seg.dcm")
    assert dice([tmp_path / "seg.dcm"], scene.truth) >= 0.999


def other_sizes(bundle: Path) -> None:
    torch.save({"weight": torch.zeros(3, 1, 1, 1), "bias": torch.zeros(3)}, bundle / "models" / "model.pt")


def no_checkpoint(bundle: Path) -> None:
    (bundle / "models" / "model.pt").write_text("git-lfs pointer")


def bare_script(bundle: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Conv2d(1, 2, 1)), bundle / "other.ts")


def edited(file: str, **changes: object) -> Callable[[Path], None]:
    """A bundle with these values in a file; keys are paths with double underscores, and None takes away."""

    def edit(bundle: Path) -> None:
        content = json.loads((bundle / "configs" / file).read_text())
        for keys, value in changes.items():
            *parents, last = keys.split("__")
            part = content
            for key in parents:
                part = part[key]
            if value is None:
                del part[last]
            else:
                part[last] = value
        (bundle / "configs" / file).write_text(json.dumps(content))

    return edit


def text(file: str, content: str) -> Callable[[Path], None]:
    return lambda bundle: (bundle / "configs" / file).write_text(content) and None


INFERENCE, METADATA, PRED = "inference.json", "metadata.json", "network_data_format__outputs__pred"
BAD_CONFIGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "broken": (text(INFERENCE, "{"), "configs/inference.json is no JSON"),
    "empty": (text(INFERENCE, ""), "configs/inference.json is no JSON"),
    "empty_object": (text(INFERENCE, "{}"), "network_def of inference.json cannot be built"),
    "metadata_list": (text(METADATA, "[]"), "configs/metadata.json holds no JSON object"),
    "metadata_empty": (text(METADATA, "{}"), "metadata.json has no network_data_format with inputs.image"),
    "no_pred": (edited(METADATA, **{PRED: None}), "metadata.json has no network_data_format with outputs.pred"),
    "no_device": (edited(INFERENCE, device=None), "inference.json has no device"),
    "no_inferer": (edited(INFERENCE, inferer=None, postprocessing=None), "has no inferer and no postprocessing"),
    "unknown_device": (edited(INFERENCE, device="abacus"), "device or network_def .* cannot be used"),
    "no_transforms": (edited(INFERENCE, preprocessing__transforms=None), "preprocessing .* has no list of transforms"),
    "unknown_target": (edited(INFERENCE, network_def___target_="torch.nn.Nothing"), "network_def .* cannot be built"),
    "unknown_transform": (edited(INFERENCE, inferer___target_="NoInferer"), "inferer .* cannot be built: .*NoInferer"),
    "bad_argument": (edited(INFERENCE, network_def__colour=1), "network_def .* cannot be built: .*colour"),
    "no_network": (edited(INFERENCE, network_def={"_target_": "builtins.dict"}), "does not fit network_def"),
    "named_channels": (edited(METADATA, **{f"{PRED}__channel_def": {"liver": "1"}}), "name channels by their number"),
    "channel_list": (edited(METADATA, **{f"{PRED}__channel_def": ["liver"]}), "name channels by their number"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_configs_that_cannot_be_served_are_refused(name: str, tmp_path: Path) -> None:
    spoil, message = BAD_CONFIGS[name]
    bundle = threshold_bundle(tmp_path / "bundle")
    spoil(bundle)
    with pytest.raises(DeployError, match=message):
        load_model(bundle)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    weights = {"weight": torch.full((2, 1, 1, 1), value), "bias": torch.zeros(2)}
    torch.save(weights, bundle / "models" / "model.pt")
    image = read(volume(tmp_path / "ct"))
    with pytest.raises(DeployError, match="network of bundle bundle returned values that are not finite"):
        TASKS["segmentation"]([image], load_model(bundle))


def test_parts_of_an_output_are_looked_at_each() -> None:
    fine, broken = torch.zeros(3), torch.tensor([0.0, torch.nan])
    check_finite([{"boxes": fine, "labels": torch.arange(2)}, fine], "b")
    with pytest.raises(DeployError, match="bundle b returned"):
        check_finite([{"boxes": fine}, {"boxes": broken}], "b")


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no_weights": (lambda b: (b / "models/model.pt").unlink(), "", "has no weights"),
    "no_configs": (lambda b: shutil.rmtree(b / "configs"), "", "is no bundle: it has no configs/inference.json"),
    "other_sizes": (other_sizes, "", "does not fit network_def"),
    "no_checkpoint": (no_checkpoint, "", "the bundle's model.pt cannot be read as weights alone"),
    "nothing": (shutil.rmtree, "", "there is no bundle"),
    "no_script": (no_checkpoint, "models/model.pt", "is no TorchScript file"),
    "bare_script": (bare_script, "other.ts", "carries no inference.json.*ckpt_export"),
}


@pytest.mark.parametrize("name", BAD)
def test_bundles_that_cannot_be_served_are_refused(name: str, tmp_path: Path) -> None:
    spoil, part, message = BAD[name]
    bundle = threshold_bundle(tmp_path / "bundle")
    spoil(bundle)
    with pytest.raises(DeployError, match=message):
        load_model(bundle / part)


def test_two_bundles_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        threshold_bundle(tmp_path / name)
    with pytest.raises(DeployError, match=r"holds 2 bundles \(one, two\)"):
        load_model(tmp_path)


def test_a_transform_that_fails_is_reported_by_its_own_message(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    config = json.loads((bundle / "configs/inference.json").read_text())
    config["preprocessing"]["transforms"].insert(2, {"_target_": "SplitDimd", "keys": "other"})
    (bundle / "configs/inference.json").write_text(json.dumps(config))
    image = read(volume(tmp_path / "ct"))
    with pytest.raises(DeployError, match=r"cannot process the series: .*other"):
        TASKS["segmentation"]([image], load_model(bundle))


@pytest.mark.parametrize("error", [IndexError, KeyError, TypeError, AssertionError, ZeroDivisionError, MemoryError])
def test_whatever_a_network_raises_names_the_bundle(error: type[Exception], tmp_path: Path) -> None:
    class Broken(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise error("head")

    model = load_model(threshold_bundle(tmp_path / "bundle"))
    object.__setattr__(model, "network", Broken())
    with pytest.raises(DeployError, match=r"bundle bundle cannot process the series: .*head"):
        TASKS["segmentation"]([read(volume(tmp_path / "ct", count=1))], model)


def test_the_name_of_the_folder_stays_here(tmp_path: Path) -> None:
    model = load_model(threshold_bundle(tmp_path / "smith_lab"))
    assert equipment_of(model).model == "Known function"


@pytest.mark.parametrize("multi_label", [False, True])
def test_known_classifier_tells_bright_slices(multi_label: bool, tmp_path: Path) -> None:
    image = read(ultrasound(tmp_path / "us", frames=2))
    model = load_model(classifier_bundle(tmp_path / "bundle", multi_label))
    assert (model.class_names, model.multi_label) == (("dark", "bright"), multi_label)
    (report,) = TASKS["classification"]([image], model)
    groups = ComprehensiveSR.from_dataset(report).content.get_image_measurement_groups()
    assert [g.get_measurements()[0].value < g.get_measurements()[1].value for g in groups] == [False, False]


def test_known_detector_boxes_the_body(tmp_path: Path) -> None:
    image = read(ultrasound(tmp_path / "us", frames=2))
    (report,) = TASKS["detection"]([image], load_model(detector_bundle(tmp_path / "bundle")))
    groups = ComprehensiveSR.from_dataset(report).content.get_planar_roi_measurement_groups()
    assert len(groups) == 2
    for index, group in enumerate(groups):
        rows, columns = np.nonzero(body(index))
        corners = group.roi.value
        assert corners.min(axis=0).tolist() == [columns.min(), rows.min()]
        assert corners.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    ("task", "pred", "message"),
    [
        pytest.param("classification", [0.5], "1 scores for its 2 classes", id="too_few"),
        pytest.param("classification", [0.5, 3.0], "outside of 0 to 1", id="logits"),
        pytest.param("detection", [[1, 2, 3, 4]], "boxes of shape", id="no_scores"),
        pytest.param("detection", [[0, 0, 1, 1, 2, 0.5]], "class outside of its 2", id="unknown_class"),
    ],
)
def test_outputs_of_the_wrong_kind_are_refused(task: str, pred: list, message: str, tmp_path: Path) -> None:
    image = read(radiograph(tmp_path / "cr"))
    model = load_model(classifier_bundle(tmp_path / "bundle", False))
    object.__setattr__(model, "predict", lambda array, meta: torch.tensor(pred))
    with pytest.raises(DeployError, match=message):
        TASKS[task]([image], model)


def test_boxes_lose_padding_and_are_cut_to_the_image(tmp_path: Path) -> None:
    image = read(radiograph(tmp_path / "cr"))
    rows = np.array([[-3.0, 5, 70, 80, 1, 0.5], [-1.0, -1, -1, -1, -1, -1]])
    assert checked_boxes(rows, ("a", "b"), image).tolist() == [[0, 5, 56, 40, 1, 0.5]]
