"""Names and addresses that lead elsewhere are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvm_med_monai.apps.label.guard import (
    RefusedError,
    check_address,
    check_inside,
    check_known,
    check_name,
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


@pytest.mark.parametrize("length", [201, 300])
def test_a_name_must_fit_into_a_file_system(length: int) -> None:
    check_name("image", "a" * 200)
    with pytest.raises(RefusedError, match="at most 200 bytes"):
        check_name("image", "a" * length)
    with pytest.raises(RefusedError, match="at most 200 bytes"):
        check_name("image", "\u00e4" * 101)
