"""The codecs that a slice can be stored with, all of them lossless.

PNG needs nothing else. The others come with the extra ``codecs`` (the package imagecodecs): JPEG XL makes the smallest
files, HTJ2K can be decoded on a GPU, blosc2 is by far the fastest to read. A codec is named in the manifest and never
guessed from the bytes. PNG alone has checksums that are verified at each reading; damage to the others may show as
wrong pixels, which only their hash in the manifest tells (`verify`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.codestream import J2K_START, declared_size
from lvm_med_monai.slices.store.png import Size, decode_png, encode_png

JXL_EFFORT = 1
"""Lossless at the least effort is faster than PNG and 30 % smaller; more effort costs far more than it saves."""
BLOSC_LEVEL = 5
BLOSC_HEADER = struct.Struct("<4B3i")
"""Start of a blosc2 chunk: two versions, flags, item size, then bytes of the content, of a block, of the chunk."""


@dataclass(frozen=True)
class Codec:
    """How pixels become bytes and come back.

    Attributes:
        suffix: of the file in the shard.
        encode: from (H, W) uint16 or uint8, or (H, W, 3) uint8, C-contiguous, to bytes.
        decode: from bytes, the shape and the type, which the manifest knows, to such an array; raises ValueError, or an
            error of imagecodecs, if the bytes say something else or are damaged.
        needs: name of the codec in imagecodecs, empty for none.
    """

    suffix: str
    encode: Callable[[NDArray[Any]], bytes]
    decode: Callable[[bytes, Size, np.dtype[Any]], NDArray[Any]]
    needs: str = ""


def codec(name: str) -> Codec:
    """A codec by its name in the manifest, ready to be used.

    Raises:
        ValueError: there is no such codec.
        ImportError: the package that it needs is not installed.
    """
    if name not in CODECS:
        raise ValueError(f"there is no codec {name}; choose {', '.join(CODECS)}")
    if (needs := CODECS[name].needs) and not _available(needs):
        raise ImportError(f"codec {name} needs imagecodecs: pip install lvm-med-monai[codecs]")
    return CODECS[name]


def _available(needs: str) -> bool:
    try:
        import imagecodecs
    except ImportError:
        return False
    return bool(getattr(imagecodecs, needs).available)


def _package() -> Any:
    """The package, whose types are wrong for arrays."""
    import imagecodecs

    return imagecodecs


def _encode_jxl(pixels: NDArray[Any]) -> bytes:
    imagecodecs = _package()
    return imagecodecs.jpegxl_encode(pixels, lossless=True, effort=JXL_EFFORT, numthreads=1)


def _decode_jxl(data: bytes, shape: Size, dtype: np.dtype[Any]) -> NDArray[Any]:
    imagecodecs = _package()
    # Given an output, the decoder compares the size that the file declares with it before it decodes.
    return imagecodecs.jpegxl_decode(data, numthreads=1, out=np.empty(shape, dtype))


def _encode_htj2k(pixels: NDArray[Any]) -> bytes:
    imagecodecs = _package()
    return imagecodecs.htj2k_encode(pixels, reversible=True)


def _decode_htj2k(data: bytes, shape: Size, dtype: np.dtype[Any]) -> NDArray[Any]:
    imagecodecs = _package()
    if not data.startswith(J2K_START) or declared_size(data) != shape[:2]:
        raise ValueError("its HTJ2K stream has another size")
    # The decoder keeps some errors of damaged streams to itself and leaves the rest of its output as it was
    return imagecodecs.htj2k_decode(data, out=np.zeros(shape, dtype))


def _encode_blosc2(pixels: NDArray[Any]) -> bytes:
    imagecodecs = _package()
    options = {"compressor": "lz4", "shuffle": "bitshuffle", "typesize": pixels.itemsize, "numthreads": 1}
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return imagecodecs.blosc2_encode(little, BLOSC_LEVEL, **options)


def _decode_blosc2(data: bytes, shape: Size, dtype: np.dtype[Any]) -> NDArray[Any]:
    imagecodecs = _package()
    expected = int(np.prod(shape)) * dtype.itemsize
    if len(data) < BLOSC_HEADER.size or BLOSC_HEADER.unpack_from(data)[4] != expected:
        raise ValueError(f"its blosc2 chunk does not hold {expected} bytes")
    raw = imagecodecs.blosc2_decode(data, numthreads=1)
    return np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype).reshape(shape)


CODECS = {
    "png": Codec("png", encode_png, decode_png),
    "jxl": Codec("jxl", _encode_jxl, _decode_jxl, "JPEGXL"),
    "htj2k": Codec("j2c", _encode_htj2k, _decode_htj2k, "HTJ2K"),
    "blosc2": Codec("blosc2", _encode_blosc2, _decode_blosc2, "BLOSC2"),
}
"""Name in the manifest -> codec."""
