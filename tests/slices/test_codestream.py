from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices.codestream import declared_size


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((37, 53), np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(encoded("JPEG"), id="baseline"),
        pytest.param(encoded("JPEG", progressive=True), id="progressive"),
        pytest.param(encoded("JPEG2000", no_jp2=True), id="J2K"),
        pytest.param(encoded("JPEG2000"), id="JP2"),
        pytest.param(b"\xff\xd8\xff\xff\xf7\x00\x0b\x08\x00\x25\x00\x35", id="JPEG-LS after a fill byte"),
    ],
)
def test_size(stream: bytes) -> None:
    assert declared_size(stream) == (37, 53)
    for length in range(0, 30):
        assert declared_size(stream[:length]) in (None, (37, 53))


@pytest.mark.parametrize("stream", [b"", b"\xff\xd8", b"\xff\xd8nonsense", b"\x89PNG", b"\xff\xd8\xff\xe0\x00\x00" * 9])
def test_no_size(stream: bytes) -> None:
    assert declared_size(stream) is None
