"""A bundle as the applications use it: transforms, network and inferer, without its readers and writers of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from torch import Tensor, nn

from lvm_med_monai.apps.deploy.problems import DeployError

PICTURES = frozenset(["rgb", "gray"])
"""Formats of inputs that are pictures of 0 to 255."""


@dataclass(frozen=True, eq=False)
class DeployModel:
    """A bundle with its weights loaded.

    Attributes:
        name: of the bundle's folder or file.
        version: of its metadata.
        config: parsed inference configuration.
        metadata: the content of metadata.json.
        network: in evaluation mode, on its device.
        device: where the network is.
    """

    name: str
    version: str
    config: ConfigParser
    metadata: Mapping[str, Any]
    network: nn.Module
    device: torch.device

    @property
    def input_format(self) -> str:
        """Format of the input: "hounsfield", "magnitude", "rgb" or "gray"."""
        return str(self._input.get("format", "")).lower()

    @property
    def modality(self) -> str:
        """DICOM's code of the modality that the bundle is for, or empty."""
        return str(self._input.get("modality", "")).upper()

    @property
    def _input(self) -> Mapping[str, Any]:
        return self.metadata["network_data_format"]["inputs"]["image"]

    @property
    def takes_pictures(self) -> bool:
        """Whether the input is a picture of 0 to 255 instead of measured values."""
        return self.input_format in PICTURES

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the output's channels: `class_names` of inference.json, else `channel_def` of metadata.json."""
        named = self.config.get("class_names")
        if named is not None:
            return tuple(str(name) for name in self.config.get_parsed_content("class_names"))
        channels = self.metadata["network_data_format"]["outputs"]["pred"].get("channel_def") or {}
        return tuple(str(channels[key]) for key in sorted(channels, key=int))

    @property
    def multi_label(self) -> bool:
        """Whether a classifier's classes are independent of each other."""
        named = self.config.get("multi_label")
        return bool(self.metadata.get("multi_label", False) if named is None else named)

    def predict(self, array: Any, meta: dict[str, Any]) -> Any:
        """Preprocessing, network and postprocessing of one image.

        Args:
            array: as the bundle's own reader returns it, such as (W, H, D) or (W, H, D, 3) float32.
            meta: MONAI's metadata of it.

        Returns:
            ``pred`` after postprocessing, on the CPU.

        Raises:
            DeployError: the bundle refuses the image, or its network returns no numbers.
        """
        preprocess, postprocess = (self.config.get_parsed_content(key) for key in ("preprocessing", "postprocessing"))
        inferer = self.config.get_parsed_content("inferer")
        item: dict[str, Any] = {"image": MetaTensor.ensure_torch_and_prune_meta(array, meta)}
        try:
            item = preprocess(item)
            with torch.no_grad():
                item["pred"] = inferer(item["image"][None].to(self.device), self.network)[0]
            check_finite(item["pred"], self.name)
            pred = postprocess(item)["pred"]
        except DeployError:
            raise
        except Exception as error:  # whatever the network and its transforms raise
            raise DeployError(f"bundle {self.name} cannot process the series: {innermost(error)}") from error
        return pred.cpu() if isinstance(pred, Tensor) else pred


def check_finite(output: Any, bundle: str) -> None:
    """Refuse an output of a network that holds NaN or infinity; argmax and sigmoid would hide them.

    Raises:
        DeployError: naming the bundle.
    """
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, Sequence):
        for part in output:
            check_finite(part, bundle)
    elif isinstance(output, Tensor) and not torch.isfinite(output).all():
        raise DeployError(
            f"the network of bundle {bundle} returned values that are not finite: its weights, or the pixels, are "
            "damaged; package it with other weights"
        )


def innermost(error: BaseException) -> str:
    """Text of the error that caused all others, as MONAI wraps them; with its type where it may be a mere word."""
    while error.__cause__ is not None:
        error = error.__cause__
    kind, text = type(error).__name__, str(error)
    if isinstance(error, LookupError | AssertionError) and text:
        return f"{kind}: {text}"
    return text or kind
