"""Names, addresses and parameters that lead elsewhere are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lvm_med_monai.apps.label.guard import (
    RefusedError,
    check_address,
    check_inside,
    check_known,
    check_name,
    check_parameters,
)


@pytest.mark.parametrize("name", ["image_1", "Patient 7.a", "1.2.840.10008", "größe", "..a"])
def test_plain_names_pass(name: str) -> None:
    check_name("image", name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "..\\x", "a\x00b", "a\nb"])
def test_other_names_do_not(name: str) -> None:
    with pytest.raises(RefusedError, match="plain name"):
        check_name("image", name)


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/infer/a", [("image", "x")]),
        ("/ohif/viewer", [("url", "a/../b")]),
        ("/session/", [("uncompress", "false")]),
        ("/datastore/label", [("image", ""), ("tag", "final")]),
        ("/proxy/dicom/wado/studies/1.2/series/3..4", []),
    ],
)
def test_honest_addresses_pass(path: str, queries: list[tuple[str, str]]) -> None:
    check_address(path, queries)


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/proxy/dicom/wado/../../instances", []),
        ("/static/..\\x", []),
        ("/session/..", []),
        ("/x\x00y", []),
        ("/infer/a", [("image", "../b")]),
        ("/datastore/label", [("image", "a"), ("tag", "../..")]),
        ("/datastore/image", [("id", "/etc/passwd")]),
        ("/session/", [("uncompress", "True")]),
    ],
)
def test_addresses_that_climb_do_not(path: str, queries: list[tuple[str, str]]) -> None:
    with pytest.raises(RefusedError):
        check_address(path, queries)


def test_links_are_followed(tmp_path: Path) -> None:
    studies, outside = tmp_path / "studies", tmp_path / "secret.png"
    studies.mkdir()
    outside.touch()
    (studies / "inside.png").touch()
    (studies / "link.png").symlink_to(outside)
    (studies / "fine.png").symlink_to(studies / "inside.png")
    assert check_inside(studies / "fine.png", [studies]) == (studies / "inside.png").resolve()
    for path in (studies / "link.png", outside, studies / ".." / "secret.png", tmp_path / "studies2"):
        with pytest.raises(RefusedError, match="outside"):
            check_inside(path, [studies])


def test_what_is_not_known_is_named_with_what_is() -> None:
    check_known("model", "b", {"b": 1, "a": 2})
    with pytest.raises(RefusedError, match=r"no model 'c'; there are: a, b"):
        check_known("model", "c", {"b": 1, "a": 2})
    with pytest.raises(RefusedError, match="none"):
        check_known("model", None, [])


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
    ],
    ids=str,
)
def test_parameters_that_lead_elsewhere_do_not(request_: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        check_parameters(request_)
