from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest

from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import Reject, Stack

VOLUME = (np.arange(4 * 5 * 6).reshape(4, 5, 6) - 50).astype(np.int16)  # (z, y, x)
DIRECTION = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])


def write(path: Path, volume: np.ndarray = VOLUME, compression: bool = False) -> None:
    image = itk.image_from_array(volume)
    image.SetOrigin([10.0, 20.0, 30.0])
    image.SetSpacing([0.5, 0.75, 3.0])
    image.SetDirection(itk.matrix_from_array(DIRECTION))
    itk.imwrite(image, str(path), compression=compression)


@pytest.mark.parametrize("suffix", ["mha", "mhd", "nrrd", "nhdr"])
@pytest.mark.parametrize("compression", [False, True])
def test_values_and_places(tmp_path: Path, suffix: str, compression: bool) -> None:
    write(tmp_path / f"a.{suffix}", compression=compression)
    (stack,) = iter_stacks(tmp_path)  # a detached file is a source, not a stranger
    assert isinstance(stack, Stack)
    assert len(stack.sources) == (2 if suffix in ("mhd", "nhdr") else 1)
    assert stack.flags == frozenset()
    assert stack.array().dtype == np.int16
    assert np.array_equal(stack.array(), VOLUME[:, ::-1])  # rows run to the back, as on a screen
    assert np.allclose(stack.geometry.origins[1], [10, 20 - 4 * 0.75, 33])
    assert stack.geometry.spacing == (0.75, 0.5)


def test_rgb_and_two_dimensions(tmp_path: Path) -> None:
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    itk.imwrite(itk.image_from_array(colour, is_vector=True), str(tmp_path / "a.mha"))
    (stack,) = iter_stacks(tmp_path)
    assert isinstance(stack, Stack)
    assert stack.flags == {"no_geometry"}
    assert np.array_equal(stack.frame(0), colour)


def reject(path: Path) -> Reject:
    (result,) = [r for r in iter_stacks(path) if isinstance(r, Reject) and r.path.suffix not in (".raw", ".img")]
    return result


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/hostname", "folder/a.raw"])
def test_header_that_points_elsewhere(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.mhd")
    header = (tmp_path / "a.mhd").read_text().replace("ElementDataFile = a.raw", f"ElementDataFile = {name}")
    (tmp_path / "a.mhd").write_text(header)
    result = reject(tmp_path / "a.mhd")
    assert result.reason == "unsupported"
    assert name not in result.detail


@pytest.mark.parametrize("name", ["LIST", "a%03d.raw 1 4 1"])
def test_lists_are_unsupported(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.mhd")
    (tmp_path / "a.mhd").write_text((tmp_path / "a.mhd").read_text().replace("= a.raw", f"= {name}"))
    assert reject(tmp_path / "a.mhd").reason == "unsupported"


def test_missing_pixels(tmp_path: Path) -> None:
    write(tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()
    assert reject(tmp_path).reason == "missing_data"


def test_linked_pixels_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "a.mhd")
    (tmp_path / "a.raw").rename(tmp_path / "b.bin")
    (tmp_path / "a.raw").symlink_to(tmp_path / "b.bin")
    assert reject(tmp_path / "a.mhd").reason == "missing_data"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("sizes: 6 5 4", "sizes: 60000 60000 4", "too_large"),
        ("sizes: 6 5 4", "sizes: 6000 5000 4", "truncated"),
        ("dimension: 3", "dimension: x", "corrupt"),
    ],
)
def test_faulty_header(tmp_path: Path, old: str, new: str, reason: str) -> None:
    write(tmp_path / "a.nrrd")
    data = (tmp_path / "a.nrrd").read_bytes()
    assert old.encode() in data
    (tmp_path / "a.nrrd").write_bytes(data.replace(old.encode(), new.encode()))
    assert reject(tmp_path / "a.nrrd").reason == reason
