"""What is chosen before a server starts: studies, bundles, address; and values of pictures, without MONAI Label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lvm_med_monai.apps.label import __main__ as program
from lvm_med_monai.apps.label.guard import is_own_page, lies_inside
from lvm_med_monai.apps.label.launch import check_port
from lvm_med_monai.apps.label.pictures import as_eight_bits, fits_eight_bits
from lvm_med_monai.apps.label.staging import choose
from lvm_med_monai.apps.label.studies import check_studies

PAGES = ("http://localhost:8000",)


def collection(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name / "configs").mkdir(parents=True)
        (folder / name / "configs" / "inference.json").write_text("{}")
        (folder / name / "models").mkdir()
        (folder / name / "models" / "model.pt").touch()
    return folder


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("https://127.0.0.1:8000", True),
        ("http://127.0.0.1:8042", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_the_server(origin: str | None, own: bool) -> None:
    assert is_own_page(origin, "127.0.0.1:8000", PAGES) is own


def test_where_a_path_leads(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    assert lies_inside(tmp_path / "in" / "a", [tmp_path / "out", tmp_path / "in"])
    assert not lies_inside(tmp_path / "in" / "link", [tmp_path / "in"])


@pytest.mark.parametrize(
    "names",
    [("twin.png", "twin.nii.gz"), ("twin.nii", "twin.nii.gz"), ("twin.PNG", "twin.png"), ("a.b.tif", "a.b.jpg")],
)
def test_two_files_of_one_id(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="have one id"):
        check_studies(str(tmp_path))
    (tmp_path / names[0]).rename(tmp_path / "other.png")
    assert check_studies(str(tmp_path)) == str(tmp_path.resolve())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a_embedding", "b_embedding", "x_segmentation"), "one bundle that embeds"),
        (("a_embedding", "x_detection"), "segments or classifies"),
        (("a_embedding", "x_deepgrow_annotation"), "segments or classifies"),
        (("a_embedding",), "only helps to choose"),
    ],
)
def test_bundles_that_embed(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(names, collection(tmp_path, *names), {})


@pytest.mark.parametrize("other", ["x_segmentation", "x_classification"])
def test_a_bundle_that_embeds_and_one_that_it_helps(tmp_path: Path, other: str) -> None:
    names = ["a_embedding", "x_detection", other]
    assert [choice.name for choice in choose(names, collection(tmp_path, *names), {})] == names


@pytest.mark.parametrize("port", ["99999", "-1", "65536", "http", "²", "8000.0", ""])
def test_no_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(["--studies", ".", "--bundles", "a", f"--port={port}"])
    assert stopped.value.code == 2
    assert "a port is a number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "message"), [("", "--host is empty"), ("no-such-host.invalid", "as --host"), ("192.0.2.1", "as --host")]
)
def test_no_host(tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, message: str) -> None:
    (tmp_path / "a.png").touch()
    bundles = collection(tmp_path / "bundles", "x_segmentation")
    arguments = ["--studies", str(tmp_path), "--collection", str(bundles), "--bundles", "x_segmentation"]
    assert program.main([*arguments, "--host", host, "--port", "0"]) == 2
    assert message in capsys.readouterr().err


def test_a_port_of_this_machine() -> None:
    check_port("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ([0, 255], True),
        ([0, 1], True),
        ([0, 0], True),
        ([0.5, 254.5], True),
        ([0, 0.5], False),
        ([0, 256], False),
        ([-1, 3], False),
    ],
)
def test_values_of_eight_bits(values: list[float], fits: bool) -> None:
    assert fits_eight_bits(np.array(values, dtype=np.float32)) is fits


def test_values_that_fit_stay() -> None:
    values = np.array([[3, 200], [17, 4]], dtype=np.float32)
    assert as_eight_bits(values, "display") is values


@pytest.mark.parametrize("units", ["display", "raw"])
@pytest.mark.parametrize(("scale", "shift"), [(257.0, 0.0), (1 / 255, 0.0), (4.0, -600.0)])
def test_other_values_are_stretched_to_eight_bits(units: str, scale: float, shift: float) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.float32), 40).reshape(64, 160)
    mapped = as_eight_bits(ramp * np.float32(scale) + np.float32(shift), units)
    assert mapped.dtype == np.float32
    assert (mapped.min(), mapped.max()) == (0, 255)
    np.testing.assert_allclose(mapped, ramp, atol=3)
