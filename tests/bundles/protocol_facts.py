"""What a configuration trains with, found out from the objects that it makes rather than from the names in its text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Randomizable
from torch.nn import functional

from tests.bundles.detector_facts import detector_facts
from tests.bundles.harness import configs

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Configuration:
    """``train.json`` of a bundle under overlays, without data.

    Args:
        bundle: folder of the bundle.
        overlays: file names.
    """

    def __init__(self, bundle: Path, overlays: list[str]) -> None:
        self.parser = self._read(bundle, overlays)
        self.bundle, self.overlays = bundle, overlays

    @cached_property
    def small(self) -> ConfigParser:
        """The same with the sizes of a demo, for objects that need a network."""
        return self._read(self.bundle, [*self.overlays, "demo.json"])

    def _read(self, bundle: Path, overlays: list[str]) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(configs(bundle, "train.json", *overlays))
        parser["bundle_root"] = str(bundle)
        # weights of classes are counted in the data
        if "class_weights" in parser:
            parser["class_weights"] = None
        return parser

    def value(self, name: str) -> Any:
        """Resolved content of an id."""
        return self.parser.get_parsed_content(name)

    def given(self, name: str, default: Any) -> Any:
        """Resolved content of an id, or a default if it is not there."""
        return self.value(name) if name in self.parser else default

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """Optimiser of the small network."""
        return self.small.get_parsed_content("optimizer")

    def parts(self, name: str) -> Iterator[Any]:
        """Transforms of a chain, chains inside it taken apart."""
        yield from _flat(self.value(name))


def _flat(transform: Any) -> Iterator[Any]:
    for part in getattr(transform, "transforms", [transform]):
        if part is transform:
            yield part
        else:
            yield from _flat(part)


def learning_rate(config: Configuration) -> float:
    """Rate with which the optimiser starts."""
    (rate,) = {group["lr"] for group in config.optimizer.param_groups}
    return rate


def _of_optimizer(name: str) -> Callable[[Configuration], Any]:
    return lambda config: config.optimizer.param_groups[0][name]


def schedule(config: Configuration) -> str:
    """Whether a thousand steps change the learning rate."""
    scheduler = config.small.get_parsed_content("lr_scheduler")
    start = learning_rate(config)
    config.optimizer.step()
    for _ in range(1000):
        scheduler.step()
        if learning_rate(config) != start:
            return "not constant"
    return "constant"


def batch_size(config: Configuration) -> int:
    """Slices a step."""
    return config.value("train::dataloader::batch_size") * config.given("slices_per_volume", 1)


def image_size(config: Configuration) -> int:
    """Side of what the network is shown."""
    (side,) = set(np.atleast_1d(config.value("image_size")).tolist())
    return side


def gradient_norm(config: Configuration) -> float | None:
    """Norm at which gradients are clipped."""
    for handler in config.parser["train::handlers"]:
        if handler["_target_"].endswith("GradientClipping"):
            index = config.parser["train::handlers"].index(handler)
            return config.value(f"train::handlers::{index}::norm")
    return None


def metric(config: Configuration) -> dict[str, Any]:
    """The metric that chooses the checkpoint."""
    (found,) = config.value("validate::key_metric").values()
    settings = vars(found)
    names = settings.get("names")
    return {
        "measure": type(found).__name__,
        "ignore_empty": settings.get("ignore_empty"),
        "per": settings.get("per"),
        "classes": len(names) if names else None,
        "only": names,
    }


def best_of_equals(config: Configuration) -> str:
    """Which of two epochs with the same metric is kept."""
    names = ("or_equal", "key_metric_greater_or_equal")
    return "last" if any(handler.get(n) for handler in config.parser["validate::handlers"] for n in names) else "first"


def resize(config: Configuration) -> str:
    """Whether resizing invents values."""
    chain = [config.value("to_grid")] if "to_grid" in config.parser else list(config.parts("train::preprocessing"))
    (transform,) = [part for part in chain if type(part).__name__ == "Resized"]
    image = torch.tensor(np.random.default_rng(0).integers(0, 1000, (3, 37, 53, 1)), dtype=torch.float32)
    image = image if len(transform.resizer.spatial_size) == 3 else image[..., 0]
    shown = transform({"image": image})["image"]
    return "nearest" if torch.isin(shown, image).all() else "interpolated"


def channel_order(config: Configuration) -> str:
    """Order in which the network gets red, green and blue."""
    transform = config.value("three_channels")
    image = torch.tensor([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1).expand(3, 4, 4, 1)
    return "".join("rgb"[int(channel)] for channel in transform({"image": image})["image"][:, 0, 0, 0])


def normalisation(config: Configuration) -> str:
    """Which of the known rules the values of a random 8-bit picture follow, or a random volume where there are such."""
    rng = np.random.default_rng(0)
    picture = rng.integers(10, 200, (3, 24, 20, 1)).astype(np.float32)
    picture[2] *= 0.5
    shown = _normalised(config, picture)
    scaled = (picture - picture.min()) / (picture.max() - picture.min())
    statistics = (picture / 255 - MEAN.reshape(3, 1, 1, 1)) / STD.reshape(3, 1, 1, 1)
    if np.allclose(shown, statistics, atol=1e-4):
        return "ImageNet statistics of values divided by 255"
    if np.allclose(shown, picture / 255, atol=1e-5):
        return "values divided by 255"
    if np.abs(shown - scaled * 255).max() <= 1:
        return "minimum and maximum of each image to 0 and 255"
    volume = np.repeat(rng.normal(300, 80, (1, 24, 20, 6)), 3, axis=0).astype(np.float32)
    clipped = np.clip(volume, *np.percentile(volume, [0.5, 99.5]))
    deviations = (clipped - clipped.mean()) / clipped.std() / 10
    stored = np.floor(np.clip(deviations, 0, 1) * 255)
    low, high = stored.min((0, 1, 2)), stored.max((0, 1, 2))
    wanted = (stored - low) / (high - low) * 255
    # a stored step of 1 is spread over this many
    step = float((255 / (high - low)).max())
    if np.abs(_normalised(config, volume) - wanted).max() <= 1 + step:
        return "deviations of the volume to bytes, then as pictures"
    return "none of the known rules"


def _normalised(config: Configuration, image: np.ndarray) -> np.ndarray:
    """Image after the steps that change values."""
    item = {"image": torch.tensor(image)}
    for name in ("intensity", "normalise"):
        if name in config.parser:
            item = config.value(name)(item)
    return np.asarray(item["image"])


def augmentation(config: Configuration) -> Any:
    """What happens to a picture whose first two channels tell where a pixel was."""
    if all(not isinstance(part, Randomizable) for part in _flat(config.value("augmentation"))):
        return "none"
    chain = config.value("augmentation")
    across, down = torch.meshgrid(torch.linspace(0.2, 0.8, 512), torch.linspace(0.2, 0.8, 512), indexing="ij")
    item = {"image": torch.stack([across, down, across * 0.5])}
    for part in config.parts("train::preprocessing"):
        # some bundles turn what MONAI's readers give, columns first, into rows first
        item = part(item) if type(part).__name__ == "AsPictured" else item
    chain.set_random_state(0)
    shown = [chain({"image": item["image"].clone()})["image"] for _ in range(200)]
    mirrored = [float(np.mean([_reversed(one[channel]) for one in shown])) for channel in (0, 1)]
    stretched = np.mean([bool(torch.isclose(one[1].max(), torch.tensor(1.0))) for one in shown])
    (size,) = {side for one in shown for side in one.shape[1:]}
    return {"crop": size, "mirror": mirrored[0], "mirror down": mirrored[1], "autocontrast": float(stretched)}


def _reversed(ramp: torch.Tensor) -> bool:
    """Whether a ramp along one axis falls."""
    return bool(ramp[-1, 0] - ramp[0, 0] + ramp[0, -1] - ramp[0, 0] < 0)


def loss(config: Configuration) -> str:
    """Which of the known losses a random prediction has."""
    function = config.small.get_parsed_content("loss")
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(6, 4, generator=generator), torch.randint(0, 4, (6,), generator=generator)
    logits, masks = torch.randn(2, 4, 8, 8, generator=generator), torch.randint(0, 4, (2, 1, 8, 8), generator=generator)
    one, truth = torch.randn(2, 1, 8, 8, generator=generator), torch.randint(0, 2, (2, 1, 8, 8), generator=generator)
    known = {
        "cross entropy": (classes, functional.cross_entropy(*classes)),
        "cross entropy + Dice of all classes over the batch": ((logits, masks), _dice_of_batch(logits, masks)),
        "sigmoid cross entropy + squared Dice": ((one, truth.float()), _squared_dice(one, truth.float())),
    }
    for name, (arguments, wanted) in known.items():
        try:
            found = function(*arguments)
        except (ValueError, RuntimeError, IndexError, AssertionError):
            continue
        if torch.isclose(found, wanted, atol=1e-4):
            return name
    return "none of the known losses"


def _dice_of_batch(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Cross entropy and 1 - Dice, the mean over classes of sums over all pixels of the batch."""
    share = logits.softmax(1)
    truth = functional.one_hot(masks[:, 0], logits.shape[1]).movedim(-1, 1)
    over = (0, 2, 3)
    dice = (2 * (share * truth).sum(over) + 1e-6) / (share.sum(over) + truth.sum(over) + 1e-6)
    return functional.cross_entropy(logits, masks[:, 0]) + 1 - dice.mean()


def _squared_dice(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy and MONAI's Dice loss with squared denominators, the mean over images."""
    share = logits.sigmoid()
    over = (2, 3)
    dice = (2 * (share * truth).sum(over) + 1e-5) / ((share**2).sum(over) + (truth**2).sum(over) + 1e-5)
    return functional.binary_cross_entropy_with_logits(logits, truth) + (1 - dice).mean()


def out_channels(config: Configuration) -> int:
    """Classes of the network, the background included."""
    return config.value("network_def::out_channels")


AMP = ("train::trainer::amp", "validate::evaluator::amp")
"""Switches of mixed precision; an expression of the device counts as on."""
FACTS: dict[str, Callable[[Configuration], Any]] = {
    "optimizer": lambda config: type(config.optimizer).__name__,
    "betas": lambda config: list(config.optimizer.param_groups[0]["betas"]),
    "eps": _of_optimizer("eps"),
    "weight_decay": _of_optimizer("weight_decay"),
    "amsgrad": _of_optimizer("amsgrad"),
    "learning_rate": learning_rate,
    "schedule": schedule,
    "gradient_norm": gradient_norm,
    "amp": lambda config: any(config.parser[name] is not False for name in AMP),
    "drop_last": lambda config: config.given("train::dataloader::drop_last", False),
    "seed": lambda config: config.value("seed"),
    "val_interval": lambda config: config.value("val_interval"),
    "epochs": lambda config: config.value("train::trainer::max_epochs"),
    "batch_size": batch_size,
    "image_size": image_size,
    "out_channels": out_channels,
    "metric": metric,
    "best_of_equals": best_of_equals,
    "resize": resize,
    "channel_order": channel_order,
    "normalisation": normalisation,
    "augmentation": augmentation,
    "random_at_test": lambda config: any(isinstance(p, Randomizable) for p in config.parts("validate::preprocessing")),
    "balanced_slices": lambda config: any(
        type(part).__name__ == "RandBalancedSlicesd" for part in config.parts("train::preprocessing")
    ),
    "loss": loss,
    "backbone": lambda config: config.given("backbone", "resnet"),
    "detector": lambda config: detector_facts(config.parser),
}
"""How each entry of the table is found in a configuration; ``values`` are ids taken as they are."""


def table() -> dict[str, Any]:
    """The published protocols."""
    return json.loads((Path(__file__).parent / "paper_protocols.json").read_text(encoding="utf-8"))
