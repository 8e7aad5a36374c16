"""Training on labels that annotators saved."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from monailabel.tasks.train.bundle import BundleTrainTask

from lvm_med_monai.apps.label.pictures import fits_eight_bits
from lvm_med_monai.data import SampleReader
from lvm_med_monai.whole_file import whole_file

_log = logging.getLogger(__name__)


class BundleTraining(BundleTrainTask):
    """Trains the staged copy of a bundle and puts what it learnt into service.

    A bundle writes to its run folder, never over its weights, so MONAI Label would train and go on with the old ones.
    Here ``runs/label/model.pt``, the best on validation, replaces ``models/model.pt`` of the copy in one step; the
    server sees the newer file and loads it. What it replaces is kept as ``runs/label/replaced.pt``.

    Labels that annotators save hold the values that the model answers with, so a datalist's own map of labels, if the
    bundle has one, is set aside.
    """

    def _partition_datalist(self, datalist: list[Any], request: dict[str, Any], shuffle: bool = False) -> Any:
        """Split as MONAI Label does; where nothing is left for validation, validate on the training images."""
        if not datalist:
            raise ValueError("no image has a saved label (labels/final): annotate and save one before training")
        if "PictureIntensityd" in str(self.bundle_config.get("intensity")):
            _check_pictures([item["image"] for item in datalist])
        training, validation = super()._partition_datalist(datalist, request, shuffle)
        if validation is not None and not validation:
            _log.warning("too few labels to keep some for validation: weights are chosen on the training images")
            validation = training
        return training, validation

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[dict[str, Any]]) -> None:
        """Go on from the weights in service, or not; MONAI Label fails on ``"pretrained": false``."""
        if pretrained:
            super()._load_checkpoint(model_pytorch, pretrained, train_handlers)

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        epochs = overrides[self.const.key_train_trainer_max_epochs()]
        config = self.bundle_config.config
        device = torch.device(overrides["device"])  # MONAI Label gives text, which has no type
        overrides["device"] = f"$torch.device({str(device)!r})"
        overrides["run_dir"] = str(self._run_dir())
        overrides["epochs"] = epochs
        overrides["val_interval"] = min(int(config.get("val_interval", 1)), epochs)
        overrides.update(annotated_labels(config))
        overrides.update({key: False for key in ("progress",) if key in config})
        return overrides

    def run_single_gpu(self, request: dict[str, Any], overrides: dict[str, Any]) -> None:
        """Train, then publish."""
        self._forget_last_run()
        super().run_single_gpu(request, overrides)
        self._publish()

    def run_multi_gpu(self, request: dict[str, Any], cmd: list[str], env: dict[str, str]) -> None:
        """Train on several devices, then publish."""
        self._forget_last_run()
        super().run_multi_gpu(request, cmd, env)
        self._publish()

    def _run_dir(self) -> Path:
        return Path(self.bundle_path) / "runs" / "label"

    def _forget_last_run(self) -> None:
        (self._run_dir() / "model.pt").unlink(missing_ok=True)
        self._run_dir().mkdir(parents=True, exist_ok=True)

    def _publish(self) -> None:
        learnt, served = self._run_dir() / "model.pt", Path(self.bundle_path) / "models" / "model.pt"
        if not learnt.is_file():
            raise RuntimeError("the training left no weights: its output tells why; the server goes on with the old")
        shutil.copyfile(served, self._run_dir() / "replaced.pt")
        with whole_file(served) as partial:
            shutil.copyfile(learnt, partial)
        os.utime(served)


def _check_pictures(images: list[str]) -> None:
    """Name the first picture that a bundle's training would refuse, or see as black: one of shares of white.

    An answer of the server has values fitted instead (`as_eight_bits`).
    """
    reader = SampleReader()
    for image in images:
        values, _ = reader.get_data(reader.read(image))
        if not fits_eight_bits(values):
            span = f"{values.min():g} to {values.max():g}"
            raise ValueError(
                f"{Path(image).name} holds values of {span}: training takes pictures of 0 to 255; save it with 8 bits"
            )


def annotated_labels(config: dict[str, Any]) -> dict[str, Any]:
    """Overrides that make a bundle read labels in its own classes.

    Args:
        config: ``train.json``, whose ``label_map`` turns the stored values of a data set into the classes of
            ``class_names``, the background among them.
    """
    label_map = config.get("label_map")
    if not isinstance(label_map, dict):
        return {}
    overrides: dict[str, Any] = {
        "label_map::rules": [[value, value, value] for value in range(len(config["class_names"]))]
    }
    if "mask_classes" in label_map:
        overrides["label_map::mask_classes"] = None
    return overrides
