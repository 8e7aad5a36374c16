"""Values of DICOM attributes, converted when they are asked for.

pydicom converts every value into objects of its own, which costs more than reading the file. Plain ASCII text and
numbers are converted here; whatever is unusual is left to pydicom, so that it means the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lvm_med_monai.slices.dicom import tags

_INTEGERS = {"US": (2, False), "UL": (4, False), "SS": (2, True), "SL": (4, True), "US or SS": (2, False)}
"""Bytes and sign of the binary integers (PS3.5 section 6.2)."""
_NUMBERS = frozenset(["DS", "IS"])
_BINARY = frozenset([*_INTEGERS, "AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UN", "UV"])


class Raw(NamedTuple):
    """A value as it lies in the file."""

    vr: str | None
    value: bytes | None


class Attributes:
    """Attributes of a data set or of an item of a sequence.

    Args:
        elements: from tag number to `Raw`, or to a value that pydicom has converted.
        little_endian: byte order of the raw values.
    """

    __slots__ = ("_elements", "_items", "_little")

    def __init__(self, elements: Mapping[int, Any], little_endian: bool) -> None:
        self._elements, self._little = elements, little_endian
        self._items: dict[int, list[Attributes]] = {}

    @classmethod
    def of_dataset(cls, dataset: Any) -> Attributes:
        """Attributes of a pydicom Dataset; nothing is converted."""
        elements = {
            int(element.tag): Raw(element.VR, element.value) if element.is_raw else element.value
            for element in dataset.elements()
        }
        return cls(elements, dataset.original_encoding[1] is not False)

    @property
    def little_endian(self) -> bool:
        """Byte order of raw values."""
        return self._little

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def __len__(self) -> int:
        return len(self._elements)

    def has(self, tag: int) -> bool:
        """Whether there is a value that is not empty."""
        raw = self._elements.get(tag)
        return bool(raw.value) if isinstance(raw, Raw) else raw is not None and raw != ""

    def text(self, tag: int) -> str:
        """The value as text without padding; empty if it is absent."""
        raw: Any = self._elements.get(tag)
        if raw is None:
            return ""
        if _is_ascii(tag, raw) and b"\\" not in raw.value:
            return str(raw.value.decode().rstrip("\0 "))
        value = self.value(tag)
        return "" if value is None else str(value)

    def texts(self, tag: int) -> tuple[str, ...]:
        """All values as text; empty if there are none."""
        raw: Any = self._elements.get(tag)
        if _is_ascii(tag, raw):
            text = raw.value.decode().rstrip("\0 ")
            return tuple(part.strip() for part in text.split("\\")) if text else ()
        value = self.value(tag)
        if value is None or value == "":
            return ()
        return (value,) if isinstance(value, str) else tuple(str(part) for part in value)

    def integer(self, tag: int) -> int | None:
        """The value as an integer, or None if it is absent or empty. Raises what pydicom raises for other values."""
        raw = self._elements.get(tag)
        if raw is None:
            return None
        if isinstance(raw, Raw) and raw.value:
            size, signed = _INTEGERS.get(_vr(tag, raw), (0, False))
            if size and len(raw.value) == size:
                return int.from_bytes(raw.value, "little" if self._little else "big", signed=signed)
            if not size and (text := raw.value.strip(b"\0 ")).isdigit():
                return int(text)
        value = self.value(tag)
        return None if value is None or value == "" else int(value)

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """The first ``count`` numbers, or None if there are fewer, or one is not finite."""
        raw = self._elements.get(tag)
        if raw is None:
            return None
        if isinstance(raw, Raw) and raw.value is not None and _vr(tag, raw) in _NUMBERS:
            text = raw.value.rstrip(b"\0 ")
            values = [float(part) for part in text.split(b"\\")] if text else []
        else:
            value = self.value(tag)
            if value is None or value == "":
                return None
            many = hasattr(value, "__len__") and not isinstance(value, str)
            values = [float(part) for part in (value if many else [value])]
        return tuple(values[:count]) if len(values) >= count and all(map(math.isfinite, values[:count])) else None

    def number(self, tag: int) -> float | None:
        """The first number, or None."""
        values = self.numbers(tag, 1)
        return values[0] if values else None

    def items(self, tag: int) -> list[Attributes]:
        """Items of a sequence; empty if it is absent."""
        if tag not in self._items:
            self._items[tag] = [Attributes.of_dataset(item) for item in self.value(tag) or ()]
        return self._items[tag]

    def first(self, tag: int) -> Attributes | None:
        """First item of a sequence, or None."""
        items = self.items(tag)
        return items[0] if items else None

    def value(self, tag: int) -> Any:
        """The value as pydicom converts it, or None if it is absent. Raises what pydicom raises for damaged values."""
        raw = self._elements.get(tag)
        if not isinstance(raw, Raw):
            return raw
        if raw.value is None:
            return None
        from pydicom.charset import convert_encodings
        from pydicom.dataelem import RawDataElement, convert_raw_data_element
        from pydicom.tag import BaseTag

        names = None if tag == tags.CHARACTER_SET else self.value(tags.CHARACTER_SET)
        # Where the encoding leaves open which of several a value is, they have the same bytes: words, unsigned.
        vr = {"US or SS": "US", "US or SS or OW": "OW", "OB or OW": "OW"}.get(_vr(tag, raw), raw.vr)
        element = RawDataElement(
            BaseTag(tag), vr, len(raw.value), raw.value, 0, raw.vr is None, self._little, is_raw=True
        )
        return convert_raw_data_element(element, encoding=convert_encodings(names) if names else None).value


def _is_ascii(tag: int, raw: Any) -> bool:
    """Whether a value is raw text that means the same in every character set."""
    return isinstance(raw, Raw) and raw.value is not None and raw.value.isascii() and _vr(tag, raw) not in _BINARY


def _vr(tag: int, raw: Raw) -> str:
    """Value representation: the file's own, or the dictionary's where the encoding leaves it out."""
    if raw.vr is not None:
        return raw.vr
    from pydicom.datadict import dictionary_VR

    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"
