"""Parameters of a request, which MONAI Label would put into expressions, names of files and commands as they come."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from lvm_med_monai.apps.label.guard import RefusedError
from lvm_med_monai.apps.label.studies import EXTENSIONS

ANSWERS = (*EXTENSIONS, ".seg.nrrd", ".json")
"""Ends of names that a client may ask an answer to have."""
CHOICES = ("all", "labeled", "unlabeled")
"""Images that a batch may be asked for without naming them."""
NO_TRACKING = ("", "none")
"""Values of ``tracking``, in small letters, that send nothing to a server of experiments."""
RESERVED = ("bundle_path", "image_path", "pred", "result", "stored_grid", "latencies", "centroids", "local_rank")
"""Parameters that the server sets itself, and no request may: paths, and what passes between its steps."""
_DEVICE = re.compile(r"(cpu|mps|cuda(:[0-9]{1,2})?)?")
_GPUS = re.compile(r"all|[0-9]{1,2}(,[0-9]{1,2})*|")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATHS = ("model_filename", "label_tag", "result_extension", "run_id", "logging")


def check_reserved(params: Mapping[str, Any]) -> None:
    """Refuse parameters of a client that only the server sets.

    Raises:
        RefusedError: one of `RESERVED`, or metadata or transforms of an image.
    """
    for name in params:
        if name in RESERVED or name.endswith(("_meta_dict", "_transforms")):
            raise RefusedError(f"{name} is set by the server alone: leave it out")


def check_parameters(request: Mapping[str, Any], devices: Collection[str] = ()) -> None:
    """Refuse parameters that MONAI Label would put into an expression, the name of a file or of a command's section.

    Args:
        request: parameters by name.
        devices: names of devices that are accepted beside ``cpu``, ``mps``, ``cuda`` and ``cuda:N``.

    Raises:
        RefusedError: one of them could lead elsewhere, or would leave the request without an answer.
    """
    if request.get("skip_writer"):
        raise RefusedError("skip_writer leaves no answer to send: leave it out")
    device = request.get("device", "")
    if not isinstance(device, str) or not (_DEVICE.fullmatch(device) or device in devices):
        raise RefusedError(f"device must be text: {', '.join([*devices, 'cpu', 'mps', 'cuda'])} or cuda:N")
    gpus = request.get("gpus") or "all"
    if not isinstance(gpus, str) or not _GPUS.fullmatch(gpus):
        raise RefusedError('gpus must be "all" or numbers joined by commas')
    for name in _PATHS:
        values = request.get(name)
        if name == "model_filename" and name in request and not values:
            raise RefusedError("model_filename is empty: name a file of weights, or leave it out")
        for value in values if isinstance(values, list) else [values]:
            if value:
                _check_parameter(name, value)


def check_training(request: Mapping[str, Any]) -> None:
    """Refuse parameters of a training that would become expressions, or send what it measures to another machine.

    Raises:
        RefusedError: ``tracking`` is not off, ``max_epochs`` no positive integer, ``val_split`` no number below 1, or a
            switch neither true nor false.
    """
    tracking = request.get("tracking")
    first = tracking[0] if isinstance(tracking, list) and tracking else tracking or ""
    if not isinstance(first, str) or first.lower() not in NO_TRACKING:
        raise RefusedError("tracking is switched off here: what a training measures stays on this machine")
    epochs = request.get("max_epochs", 1)
    if type(epochs) is not int or epochs < 1:
        raise RefusedError("max_epochs must be an integer of at least 1")
    split = request.get("val_split", 0)
    if type(split) not in (int, float) or not -1 <= split < 1:
        raise RefusedError("val_split must be a number of at least 0 and below 1, or -1 for the bundle's own images")
    for name in ("pretrained", "multi_gpu", "force_multi_gpu"):
        if not isinstance(request.get(name, True), bool):
            raise RefusedError(f"{name} must be true or false")


def check_batch(request: Mapping[str, Any]) -> None:
    """Refuse a choice of images, or a number of them, that is none.

    Raises:
        RefusedError: ``images`` is neither one of `CHOICES` nor a list of ids, or a number no integer of at least 0.
    """
    images = request.get("images", CHOICES[0])
    if images not in CHOICES and not (isinstance(images, list) and all(isinstance(image, str) for image in images)):
        raise RefusedError(f"images must be one of {', '.join(CHOICES)}, or a list of ids")
    for name in ("max_batch_size", "max_workers"):
        number = request.get(name, 0)
        if type(number) is not int or number < 0:
            raise RefusedError(f"{name} must be an integer of at least 0")


def _check_parameter(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RefusedError(f"{name} must be text")
    if name == "result_extension" and value not in ANSWERS:
        raise RefusedError(f"result_extension must be one of {', '.join(ANSWERS)}")
    if name == "model_filename" and not (value.endswith(".pt") and _WORD.fullmatch(value.removesuffix(".pt"))):
        raise RefusedError("model_filename must be the name of a file of weights, without folders")
    if name in {"label_tag", "run_id", "logging"} and not _WORD.fullmatch(value):
        raise RefusedError(f"{name} must be one word")
