from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices.inputs.walk import iter_stacks
from lvm_med_monai.slices.stack import FrameError, Reject, Stack

GREY = (np.arange(30 * 40).reshape(30, 40) % 251).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY // 2], axis=-1)


def only(path: Path) -> Stack:
    (stack,) = iter_stacks(path)
    assert isinstance(stack, Stack), stack
    assert {"no_geometry", "no_spacing"} <= stack.flags
    assert stack.frame(0).dtype == stack.dtype
    return stack


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless(tmp_path: Path, suffix: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    stack = only(tmp_path / f"a.{suffix}")
    assert stack.source_format == {"tif": "tiff"}.get(suffix, suffix)
    assert np.array_equal(stack.frame(0), pixels)


def test_jpeg_is_lossy(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg")
    stack = only(tmp_path / "a.jpg")
    assert "lossy" in stack.flags
    assert np.array_equal(stack.frame(0), np.asarray(Image.open(tmp_path / "a.jpg")))


def test_16_bit(tmp_path: Path) -> None:
    wide = GREY.astype(np.uint16) * 257
    for suffix in ("png", "tif"):
        Image.fromarray(wide).save(tmp_path / f"a.{suffix}")
        assert np.array_equal(only(tmp_path / f"a.{suffix}").frame(0), wide)


def test_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32) / 7).save(tmp_path / "a.tif")
    assert np.array_equal(only(tmp_path / "a.tif").frame(0), GREY.astype(np.float32) / 7)


def test_palette_alpha_and_bilevel(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(only(tmp_path / "palette.png").frame(0), np.asarray(palette.convert("RGB")))
    alpha = np.concatenate([COLOUR, GREY[..., None]], axis=-1)
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    assert np.array_equal(only(tmp_path / "alpha.png").frame(0), COLOUR)
    Image.fromarray(alpha[..., 2:]).save(tmp_path / "la.png")
    assert np.array_equal(only(tmp_path / "la.png").frame(0), COLOUR[..., 2])
    Image.fromarray(GREY > 100).save(tmp_path / "bilevel.png")
    assert np.array_equal(only(tmp_path / "bilevel.png").frame(0), (GREY > 100) * 255)


def test_pages(tmp_path: Path) -> None:
    pages = [Image.fromarray(p) for p in (GREY, GREY[::-1], COLOUR)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    first, second = iter_stacks(tmp_path)
    assert isinstance(first, Stack)
    assert isinstance(second, Stack)
    assert np.array_equal(first.array(), [GREY, GREY[::-1]])
    assert np.array_equal(second.frame(0), COLOUR)


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    (reject,) = iter_stacks(tmp_path)
    assert isinstance(reject, Reject)
    assert reject.reason == "too_large"


def test_faults(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    stack = next(iter_stacks(tmp_path / "a.png"))
    assert isinstance(stack, Stack)
    with pytest.raises(FrameError) as error:
        stack.frame(0)
    assert error.value.reject.reason == "corrupt"
    (tmp_path / "a.png").write_bytes(b"nonsense")
    (reject,) = iter_stacks(tmp_path / "a.png")
    assert isinstance(reject, Reject)
    assert reject.reason == "corrupt"


def test_index_outside(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    for index in (-1, 1):
        with pytest.raises(IndexError):
            only(tmp_path / "a.png").frame(index)
