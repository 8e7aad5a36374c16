"""What is known of a DICOM file before its pixels are decoded."""

from __future__ import annotations

from dataclasses import dataclass

from lvm_med_monai.slices.dicom.attributes import Attributes

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
"""Transfer syntaxes that leave pixels as they are."""
RLE = "1.2.840.10008.1.2.5"
UNDEFINED = 0xFFFFFFFF
"""Length of an element that ends with a delimiter."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Where the pixel data element lies.

    Attributes:
        tag: one of `dicom_tags.PIXEL_TAGS`.
        offset: first byte of its value; in the inflated stream where the syntax is deflated.
        length: declared bytes, or `UNDEFINED`.
        bytewise: in bytes instead of words, which matters if the byte order is big endian (PS3.5 section 8.1.2).
    """

    tag: int
    offset: int
    length: int
    bytewise: bool = False


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds.

    Attributes:
        attributes: up to the pixels.
        syntax: transfer syntax UID; where the file names none, the one its bytes agree with.
        media_class: SOP class of the file meta information, or empty.
        little_endian: byte order of the data set.
        pixels: None if the file ends before them.
        size: bytes of the file; of a deflated one as far as it was inflated.
        cut: no pixels were found, and the last element is declared longer than the file.
        empty: there is not one element, wanted or not.
    """

    attributes: Attributes
    syntax: str
    media_class: str
    little_endian: bool
    pixels: Pixels | None
    size: int
    cut: bool = False
    empty: bool = False
