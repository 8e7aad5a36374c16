from __future__ import annotations

import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from lvm_med_monai.slices.store.png import decode_png, encode_png

KINDS = {"grey16": ("u2", ()), "grey8": ("u1", ()), "rgb": ("u1", (3,))}


def picture(kind: str, height: int = 61, width: int = 47) -> np.ndarray:
    dtype, channels = KINDS[kind]
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (height, width, *channels)).astype(dtype)


def pillow(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")  # torchvision's own
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(61, 47), (1, 1), (1, 300), (300, 1)], ids=str)
def test_other_readers_see_the_same_pixels(kind: str, size: tuple[int, int]) -> None:
    pixels = picture(kind, *size)
    data = encode_png(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), pixels)
        assert image.info == {}
    seen = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    assert np.array_equal(seen.permute(1, 2, 0).numpy().reshape(pixels.shape), pixels)
    assert np.array_equal(decode_png(data, pixels.shape, pixels.dtype), pixels)


@settings(max_examples=60, deadline=None)
@given(arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_round_trip(pixels: np.ndarray) -> None:
    assert np.array_equal(decode_png(encode_png(pixels), pixels.shape, pixels.dtype), pixels)
    turned = pixels.T[::-1]  # not contiguous
    assert np.array_equal(decode_png(encode_png(turned), turned.shape, turned.dtype), turned)


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_files_are_read_through_pillow(kind: str) -> None:
    pixels = picture(kind)
    for data in (pillow(pixels), pillow(pixels, compress_level=0)):
        result = decode_png(data, pixels.shape, pixels.dtype)
        assert np.array_equal(result, pixels)
        assert result.dtype == pixels.dtype


def test_two_data_chunks_are_read_through_pillow() -> None:
    pixels = picture("grey8")
    data = encode_png(pixels)
    body = data[41 : 41 + int.from_bytes(data[33:37], "big")]
    halves = b"".join(
        struct.pack(">I", len(part)) + b"IDAT" + part + struct.pack(">I", zlib.crc32(b"IDAT" + part))
        for part in (body[:100], body[100:])
    )
    assert np.array_equal(decode_png(data[:33] + halves + data[-12:], pixels.shape, pixels.dtype), pixels)


def test_no_text() -> None:
    png = encode_png(np.eye(4).astype(np.uint16))
    assert not any(chunk in png for chunk in (b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf"))


@pytest.mark.parametrize("place", [60, -20, -14])
def test_damage_is_seen(place: int) -> None:
    data = bytearray(encode_png(picture("grey16")))
    data[place] ^= 4
    with pytest.raises(ValueError, match="its PNG"):
        decode_png(bytes(data), (61, 47), np.dtype("u2"))


@pytest.mark.parametrize("length", [0, 7, 40, 200, -40])
def test_truncation_is_seen(length: int) -> None:
    with pytest.raises(ValueError, match="its PNG"):
        decode_png(encode_png(picture("grey16"))[:length], (61, 47), np.dtype("u2"))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((60, 47), "u2"), ((61, 47), "u1"), ((61, 47, 3), "u1"), ((47, 61), "u2")]
)
def test_other_size_or_type(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match="its PNG has"):
        decode_png(encode_png(picture("grey16")), shape, np.dtype(dtype))


def test_bomb_is_not_inflated() -> None:
    """A file of the expected header that holds 1,000 times as many bytes."""
    small = encode_png(np.zeros((64, 64), np.uint8))
    body = zlib.compress(bytes(64 * 65 * 1000))
    chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    with pytest.raises(ValueError, match="another number of pixels"):
        decode_png(small[:33] + chunk + small[-12:], (64, 64), np.dtype("u1"))


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 5), np.int16), np.zeros((4, 5), np.float32), np.zeros((4, 5, 3), np.uint16), np.zeros((0, 5), "u1")],
    ids=["signed", "float", "rgb16", "empty"],
)
def test_impossible_arrays(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="PNG slices are"):
        encode_png(pixels)


def cpu(work: Any) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_a_tenth_of_pillows_time() -> None:
    """Tissue-like: a smooth shape with noise of some units."""
    y, x = np.mgrid[:512, :512]
    noise = np.random.default_rng(0).normal(0, 8, (512, 512))
    pixels = (1000 + 500 * np.sin(y / 60) * np.cos(x / 80) + noise).astype(np.uint16)
    data = encode_png(pixels)
    assert cpu(lambda: encode_png(pixels)) <= cpu(lambda: pillow(pixels)) / 10
    assert cpu(lambda: decode_png(data, pixels.shape, pixels.dtype)) <= cpu(lambda: pixels_by_pillow(data)) / 1.2
    assert len(data) <= 1.2 * len(pillow(pixels))


def pixels_by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))
