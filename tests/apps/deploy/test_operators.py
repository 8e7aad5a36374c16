"""The operators, called as the scheduler would call them, without it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pydicom
import pytest

from lvm_med_monai.apps.deploy import operators
from lvm_med_monai.apps.deploy.operators import (
    IMAGES,
    RESULTS,
    ApplyBundleOperator,
    ReadSeriesOperator,
    WriteResultsOperator,
)
from lvm_med_monai.apps.deploy.problems import DeployError
from tests.apps.deploy.known import threshold_bundle
from tests.apps.deploy.reading import dice
from tests.apps.deploy.scenes import volume

SDK = find_spec("holoscan") is not None
needs_sdk = pytest.mark.skipif(
    not SDK, reason="MONAI Deploy's App SDK is missing: it needs a venv of its own, see requirements/deploy.txt"
)


class Ports(dict[str, Any]):
    """Inputs or outputs by name."""

    def receive(self, name: str) -> Any:
        return self[name]

    def emit(self, value: Any, name: str) -> None:
        self[name] = value


class Spec:
    """Notes the ports that an operator asks for."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def input(self, name: str) -> None:
        self.inputs.append(name)

    def output(self, name: str) -> None:
        self.outputs.append(name)


def fragment() -> Any:
    from monai.deploy.core import Fragment

    return Fragment()


@needs_sdk
def test_operators_hand_on_from_folder_to_file(tmp_path: Path) -> None:
    scene, owner = volume(tmp_path / "series"), fragment()
    read, applied = Ports(), Ports()
    ReadSeriesOperator(owner, folder=scene.folder, name="read").compute(Ports(), read, None)
    assert [image.stack.n_slices for image in read[IMAGES]] == [6]
    bundle = threshold_bundle(tmp_path / "bundle")
    ApplyBundleOperator(owner, task="segmentation", bundle=bundle, name="apply").compute(read, applied, None)
    writer = WriteResultsOperator(owner, folder=tmp_path / "out", name="write")
    assert writer.paths == []
    writer.compute(applied, Ports(), None)
    assert writer.paths == list((tmp_path / "out").iterdir())
    assert dice(writer.paths, scene.truth) >= 0.999


@needs_sdk
@pytest.mark.parametrize(
    ("kind", "options", "inputs", "outputs"),
    [
        (ReadSeriesOperator, {"folder": Path("x")}, [], [IMAGES]),
        (ApplyBundleOperator, {"task": "detection", "bundle": Path("x")}, [IMAGES], [RESULTS]),
        (WriteResultsOperator, {"folder": Path("x")}, [RESULTS], []),
    ],
    ids=["read", "apply", "write"],
)
def test_ports(kind: type, options: dict[str, Any], inputs: list[str], outputs: list[str]) -> None:
    spec = Spec()
    kind(fragment(), name="it", **options).setup(spec)
    assert (spec.inputs, spec.outputs) == (inputs, outputs)


@needs_sdk
def test_the_writer_refuses_what_names_another_patient(tmp_path: Path) -> None:
    scene, owner = volume(tmp_path / "series"), fragment()
    read, applied = Ports(), Ports()
    ReadSeriesOperator(owner, folder=scene.folder, name="read").compute(Ports(), read, None)
    bundle = threshold_bundle(tmp_path / "bundle")
    ApplyBundleOperator(owner, task="segmentation", bundle=bundle, name="apply").compute(read, applied, None)
    result: pydicom.Dataset = applied[RESULTS][1][0]
    result.PatientID = "P-0815"
    with pytest.raises(DeployError, match="PatientID differs"):
        WriteResultsOperator(owner, folder=tmp_path / "out", name="write").compute(applied, Ports(), None)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(SDK, reason="the App SDK is here")
def test_without_the_sdk_the_module_loads_and_operators_say_what_is_missing() -> None:
    assert operators.IMAGES == "images"
    with pytest.raises(Exception, match=r"monai\.deploy"):
        ReadSeriesOperator(None, folder=Path("x"))
