"""Which decoder takes each compressed transfer syntax.

pydicom tries its decoders in an order that is not that of speed: up to 17 times slower. Where several are exact, the
fastest is named here. imagecodecs is optional; whatever it decodes faster has the same result without it.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lvm_med_monai.slices.dicom.contents import NATIVE, RLE

if TYPE_CHECKING:
    from lvm_med_monai.slices.dicom.image import Image

_JPEG = "1.2.840.10008.1.2.4."
JPEG_BASELINE, JPEG_EXTENDED = _JPEG + "50", _JPEG + "51"
PLUGINS = {
    JPEG_BASELINE: "pillow",
    JPEG_EXTENDED: "gdcm",  # of 8 bits
    _JPEG + "57": "gdcm",  # JPEG lossless
    _JPEG + "70": "gdcm",  # JPEG lossless, first-order prediction
    _JPEG + "80": "pyjpegls",  # JPEG-LS
    _JPEG + "81": "pyjpegls",  # JPEG-LS near-lossless
    _JPEG + "90": "pylibjpeg",  # JPEG 2000 lossless
    _JPEG + "91": "pylibjpeg",  # JPEG 2000
    _JPEG + "201": "pylibjpeg",  # HTJ2K lossless
    _JPEG + "202": "pylibjpeg",  # HTJ2K lossless, RPCL
    _JPEG + "203": "pylibjpeg",  # HTJ2K
    RLE: "pylibjpeg",
}
"""pydicom's plugin of each syntax."""
JPEG_XL = frozenset(_JPEG + n for n in ("110", "111", "112"))
"""Lossless, recompressed JPEG, and lossy; pydicom has no decoder for them."""
_FASTER = {
    JPEG_BASELINE: "jpeg8_decode",
    _JPEG + "57": "jpeg8_decode",
    _JPEG + "70": "jpeg8_decode",
    _JPEG + "80": "jpegls_decode",
    _JPEG + "90": "jpeg2k_decode",
    _JPEG + "201": "htj2k_decode",
    _JPEG + "202": "htj2k_decode",
}
"""Functions of imagecodecs with the same result for grey frames, 1.1 to 3.4 times as fast.

Of the lossy syntaxes only baseline JPEG is here, whose decoders agree to the bit."""
BIT_PATTERNS = frozenset([*NATIVE, RLE, *JPEG_XL, *(_JPEG + n for n in ("50", "51", "57", "70", "80", "81"))])
"""Syntaxes that know no sign: the stored bits come back as they are, and the sign is extended afterwards."""
_ONLY = {JPEG_EXTENDED: "jpeg8_decode", **dict.fromkeys(JPEG_XL, "jpegxl_decode")}
"""Functions of imagecodecs for what pydicom's plugins cannot decode."""
CURE = "install the extra codecs: pip install lvm-med-monai[codecs]"


@cache
def has_imagecodecs() -> bool:
    """Whether the optional package is installed."""
    return importlib.util.find_spec("imagecodecs") is not None


def decoder_fault(syntax: str, bits: int, colour: bool) -> str | None:
    """Why a compressed syntax cannot be decoded, with the cure, or None.

    Args:
        syntax: transfer syntax UID.
        bits: significant bits of a sample.
        colour: whether there are three samples a pixel.
    """
    if syntax not in PLUGINS and syntax not in JPEG_XL:
        known = syntax if syntax.startswith("1.2.840.10008.") else "(private)"
        return f"no decoder for transfer syntax {known}; transcode the file"
    only = syntax in JPEG_XL or (syntax == JPEG_EXTENDED and bits > 8)
    if only and colour:
        return "colour in a codec that is read for grey images only; transcode the file"
    if only and not has_imagecodecs():
        return f"needs an optional decoder; {CURE}"
    return None


def decode_grey(image: Image, data: bytes) -> NDArray[Any] | None:
    """A compressed grey frame without pydicom, or None where its decoder has to do it.

    Args:
        image: the file.
        data: the compressed frame.

    Returns:
        (rows * columns,) or (rows, columns) of the stored type, writable.

    Raises:
        Exception: whatever the decoder raises for a damaged frame.
    """
    stored = np.dtype(f"{'i' if image.signed else 'u'}{image.bits_allocated // 8}")
    if image.syntax == RLE:
        from rle.utils import decode_frame

        rows, columns = image.stored_shape
        decoded = decode_frame(data, rows * columns, image.bits_allocated, "<")
        return np.frombuffer(decoded, stored.newbyteorder("<")).astype(stored, copy=False)
    only = image.syntax in JPEG_XL or (image.syntax == JPEG_EXTENDED and image.bits > 8)
    name = _ONLY[image.syntax] if only else _FASTER.get(image.syntax)
    if name is None or not has_imagecodecs():
        return None
    import imagecodecs

    array = np.asarray(getattr(imagecodecs, name)(data))
    plain = array.ndim == 2 and array.dtype.itemsize <= stored.itemsize
    if plain and (image.syntax in BIT_PATTERNS or (array.dtype.kind == "i") == image.signed):
        return array.astype(stored, copy=False)
    if only:
        raise ValueError("the compressed frame has other samples than the header declares")
    return None  # pydicom knows what writers mean by that
