"""Parameters of requests that lead elsewhere, become code or leave no answer are refused."""

from __future__ import annotations

from typing import Any

import pytest

from lvm_med_monai.apps.label.guard import RefusedError
from lvm_med_monai.apps.label.parameters import check_batch, check_parameters, check_reserved, check_training

CODE = "cpu') if not __import__('os').system('id') else torch.device('cpu"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"result_extension": ".nrrd", "label_tag": "final", "model_filename": "model.pt", "logging": "INFO"},
        {"model_filename": ["model.pt"], "run_id": "", "label_tag": None},
    ],
)
def test_honest_parameters_pass(request_: dict[str, Any]) -> None:
    check_parameters(request_)


@pytest.mark.parametrize(
    "request_",
    [
        {"result_extension": "/../x"},
        {"result_extension": ".exe"},
        {"label_tag": "../x"},
        {"model_filename": "../model.pt"},
        {"model_filename": "model.pkl"},
        {"model_filename": ["model.pt", "/x.pt"]},
        {"run_id": "a b"},
        {"label_tag": {"a": 1}},
        {"model_filename": []},
        {"model_filename": ""},
        {"model_filename": None},
        {"gpus": [0]},
        {"gpus": "0;1"},
    ],
    ids=str,
)
def test_parameters_that_lead_elsewhere_do_not(request_: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        check_parameters(request_)


@pytest.mark.parametrize("request_", [{"skip_writer": True}, {"device": 5}, {"device": ["cpu"]}], ids=str)
def test_parameters_that_leave_no_answer(request_: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        check_parameters(request_)
    check_parameters({"skip_writer": False, "device": "cpu"})


@pytest.mark.parametrize("device", ["", "cpu", "mps", "cuda", "cuda:0", "cuda:12", "NVIDIA H100 80GB HBM3:1"])
def test_devices(device: str) -> None:
    check_parameters({"device": device}, ["NVIDIA H100 80GB HBM3:1"])


@pytest.mark.parametrize(
    "device", [CODE, "$print(1)", "@network", "cuda:", "cuda:0 ", "cpu\n", "meta", "NVIDIA"], ids=repr
)
def test_no_device(device: str) -> None:
    with pytest.raises(RefusedError, match="device must be text: A 100, cpu, mps, cuda or cuda:N"):
        check_parameters({"device": device}, ["A 100"])


@pytest.mark.parametrize("name", ["bundle_path", "image_path", "image_meta_dict", "label_meta_dict", "pred"])
def test_what_the_server_sets_itself(name: str) -> None:
    with pytest.raises(RefusedError, match=f"{name} is set by the server alone"):
        check_reserved({"device": "cpu", name: {}})
    check_reserved({"device": "cpu", "foreground": [], "label_info": [], "image": "a"})


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"max_epochs": 3, "val_split": 0.2, "pretrained": False, "tracking": ["None", "mlflow"], "tracking_uri": "x"},
        {"max_epochs": 1, "val_split": -1, "multi_gpu": True, "tracking": ""},
        {"val_split": 0, "tracking": None},
    ],
    ids=str,
)
def test_trainings(request_: dict[str, Any]) -> None:
    check_training(request_)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"tracking": "mlflow", "tracking_uri": "http://192.0.2.1"}, "tracking is switched off"),
        ({"tracking": ["mlflow", "None"]}, "tracking is switched off"),
        ({"tracking": "$print(1)"}, "tracking is switched off"),
        ({"tracking": {"a": 1}}, "tracking is switched off"),
        ({"max_epochs": "$print(1)"}, "max_epochs must be an integer"),
        ({"max_epochs": 0}, "max_epochs must be an integer"),
        ({"max_epochs": True}, "max_epochs must be an integer"),
        ({"max_epochs": 1.5}, "max_epochs must be an integer"),
        ({"val_split": 1}, "val_split must be a number"),
        ({"val_split": "0.2"}, "val_split must be a number"),
        ({"val_split": float("nan")}, "val_split must be a number"),
        ({"pretrained": "yes"}, "pretrained must be true or false"),
        ({"multi_gpu": 1}, "multi_gpu must be true or false"),
    ],
    ids=str,
)
def test_no_training(request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        check_training(request_)


@pytest.mark.parametrize("images", ["all", "labeled", "unlabeled", [], ["a", "b"]], ids=str)
def test_batches(images: Any) -> None:
    check_batch({"images": images, "max_batch_size": 0, "max_workers": 2})
    check_batch({})


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"images": None}, "images must be one of"),
        ({"images": 5}, "images must be one of"),
        ({"images": [5]}, "images must be one of"),
        ({"images": {"a": 1}}, "images must be one of"),
        ({"max_batch_size": "$1"}, "max_batch_size must be an integer"),
        ({"max_workers": -1}, "max_workers must be an integer"),
        ({"max_workers": None}, "max_workers must be an integer"),
    ],
    ids=str,
)
def test_no_batch(request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        check_batch(request_)
