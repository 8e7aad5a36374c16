"""Gather from the runs what the pictures show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from monai.bundle import ConfigParser
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation, ResampleToMatch
from numpy.typing import NDArray

from demo import pictures
from demo.pipeline import fine_tuning_run, pretraining_run
from demo.plan import DATA, GRAPH_MATCHING, PRETRAINING, SEGMENTATION, Arm, Plan
from lvm_med_monai.graph import GraphEncoder
from lvm_med_monai.handlers import load_network, read_history
from lvm_med_monai.losses import GraphMatchingLoss, preset
from lvm_med_monai.matching import solve
from lvm_med_monai.networks import PretrainingNetwork
from lvm_med_monai.transforms import MapLabelsd, MultiView, ViewPolicy

_NODES = 16
_READER = "lvm_med_monai.slices.SliceReader"


def all_figures(plan: Plan, output: Path) -> dict[str, Figure]:
    """Every picture of the report, by name."""
    titles = {arm.name: arm.title for arm in plan.arms}
    histories = {
        arm.name: [
            read_history(pretraining_run(output, arm, seed) / "history.jsonl") for seed in range(plan.pretraining_seeds)
        ]
        for arm in plan.arms
        if arm.pretrained
    }
    image, truth = _test_scan()
    predictions = {arm.name: _prediction(output, arm) for arm in plan.arms}
    return {
        "montage": pictures.montage(output / "slices"),
        "curves": pictures.curves(histories, titles),
        "graphs": pictures.matched_graphs(_graphs(output)),
        "overlays": pictures.overlays(image, truth, predictions, titles),
    }


def _history(output: Path, arm: Arm, seed: int) -> list[dict[str, float]]:
    return read_history(pretraining_run(output, arm, seed) / "history.jsonl")


def _head_first(volume: torch.Tensor) -> NDArray:
    """Turn an RAS volume (1, X, Y, Z) into slices, head first, front up and the patient's right on the left."""
    return np.ascontiguousarray(volume[0].numpy().transpose(2, 1, 0)[::-1, ::-1, ::-1])


def _test_scan() -> tuple[NDArray, NDArray]:
    """CT of the test scan in [0, 1] and its reference labels, (D, H, W)."""
    load = Compose([LoadImage(reader=_READER), EnsureChannelFirst()])
    image, label = (
        load(str(DATA / "abdomen_ct_dicom" / "series")),
        load(str(DATA / "abdomen_ct_dicom" / "organs.nii.gz")),
    )
    config = ConfigParser.load_config_file(SEGMENTATION / "configs" / "train.json")
    lower, upper = (config["intensity"][end] for end in ("a_min", "a_max"))
    label = ResampleToMatch(mode="nearest")(label, image)
    label = MapLabelsd("label", config["label_map"]["rules"])({"label": label})["label"]
    canonical = Orientation(axcodes="RAS")
    return _head_first(((canonical(image) - lower) / (upper - lower)).clip(0, 1)), _head_first(canonical(label))


def _prediction(output: Path, arm: Arm) -> NDArray:
    """Label map that an arm's first seed predicted on the test scan, (D, H, W)."""
    (path,) = (fine_tuning_run(output, arm, 0) / "eval").glob("*_seg.nii.gz")
    volume = Compose([LoadImage(), EnsureChannelFirst(), Orientation(axcodes="RAS")])(str(path))
    return _head_first(volume)


def _parser(output: Path) -> ConfigParser:
    """Configuration of the first graph-matching run."""
    parser = ConfigParser()
    parser.read_config([str(PRETRAINING / "configs" / name) for name in ("train.json", "demo.json")])
    parser["dataset_dir"] = str(output / "slices")
    parser["seed"] = 0
    return parser


def _graphs(output: Path) -> dict[str, dict[str, torch.Tensor]]:
    """One batch of unseen slices, matched by the network before and after training."""
    parser = _parser(output)
    parser.get_parsed_content("imports")
    slices = parser.get_parsed_content("unseen")
    images = torch.stack([torch.as_tensor(slices[index]["image"]) for index in range(_NODES)])
    policy = ViewPolicy(size=96, area=(0.7, 1.0), jitter=0.2, blur=0, noise=0)
    views = MultiView(policy, seed=3)(images).images
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    before = _match(network, views)
    load_network(network, pretraining_run(output, GRAPH_MATCHING, 0) / "checkpoint.pt")
    return {"before pretraining": before, "after pretraining": _match(network, views)}


@torch.no_grad()
def _match(network: PretrainingNetwork, views: torch.Tensor) -> dict[str, torch.Tensor]:
    """Second-order matching of two views by a network, without local term and noise."""
    recipe = preset("stable", graph_size=_NODES, local="none")
    network.eval()
    encoder = GraphEncoder(128, _NODES, recipe.k, message_passing="none")
    view_s, view_t = (encoder(z) for z in network.embed(views).chunk(2))
    loss = GraphMatchingLoss(recipe)
    shown = _displayed(views)
    return {
        "images_s": shown[:_NODES],
        "images_t": shown[_NODES:],
        "edges_s": view_s.edges[0],
        "edges_t": view_t.edges[0],
        "matched": solve(loss.problem(view_s, view_t), generator=torch.Generator().manual_seed(0)).v[0],
    }


def _displayed(views: torch.Tensor) -> torch.Tensor:
    """Normalised views (B, 3, H, W) as grey images in [0, 1], (B, H, W)."""
    grey = views.mean(1)
    low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
    return (grey - low) / (high - low).clamp_min(1e-6)
