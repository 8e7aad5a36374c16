"""Values of source headers in the form that DICOM allows, as results repeat them.

Old and careless writers leave values that no result may carry: dates of ACR-NEMA, texts too long, wrong encodings.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import UID

SEXES = frozenset("MFO")
LENGTHS = {"SH": 16, "LO": 64, "PN": 64}
"""Characters of a text; of each component group of a name (PS3.5 section 6.2)."""
DATE = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)")
TIME = re.compile(r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(\.\d{1,6})?)?)?")
AGE = re.compile(r"\d{3}[DWMY]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([Ee][+-]?\d+)?")
NUMBER_LENGTH = 16
UNDECODED = "\N{REPLACEMENT CHARACTER}"


def date(text: str) -> str | None:
    """YYYYMMDD of a date, also of ACR-NEMA's YYYY.MM.DD; None if it is none.

    >>> date("2024.03.05"), date("19700231")
    ('20240305', None)
    """
    found = DATE.fullmatch(text)
    if found is None:
        return None
    year, _, month, day = found.groups()
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    return f"{year}{month}{day}"


def time(text: str) -> str | None:
    """HHMMSS.FFFFFF of a time or its beginning, also of ACR-NEMA's HH:MM:SS; None if it is none.

    >>> time("10:11:12.5"), time("1011"), time("251112")
    ('101112.5', '1011', None)
    """
    found = TIME.fullmatch(text)
    if found is None:
        return None
    hour, _, minute, second, fraction = (part or "" for part in found.groups())
    known = int(hour) < 24 and int(minute or 0) < 60 and int(second or 0) < 60
    return f"{hour}{minute}{second}{fraction}" if known else None


def knows_characters(source: Dataset) -> bool:
    """Whether the header's character sets are the standard's; a header without any is taken for Latin-1."""
    try:
        with config.strict_reading():
            convert_encodings(source.get("SpecificCharacterSet"))
    except (LookupError, TypeError, AttributeError):
        return False
    return True


def clean_value(source: Dataset, keyword: str, known_characters: bool) -> Any:
    """The value of an attribute as DICOM allows it.

    Args:
        source: header as pydicom reads it.
        keyword: of an attribute that it has.
        known_characters: what `knows_characters` says of the header.

    Returns:
        The value; "" if the attribute is empty; None if DICOM does not allow what it holds.
    """
    try:
        element = source[keyword]
        value = element.value
    except Exception:  # pydicom raises many types on values that cannot be converted
        return None
    if element.is_empty:
        return ""
    vr = dictionary_VR(keyword)
    if vr in ("DS", "IS"):
        return value if all(_is_number(number) for number in (value if element.VM > 1 else [value])) else None
    if keyword == "PatientSex" or vr in RULES:
        rule = _sex if keyword == "PatientSex" else RULES[vr]
        return rule(str(value)) if element.VM == 1 else None
    if vr in LENGTHS:
        return _text(str(value), vr, known_characters) if element.VM == 1 else None
    return value


def _text(text: str, vr: str, known_characters: bool) -> str | None:
    groups = text.split("=") if vr == "PN" else [text]
    fits = max(len(group) for group in groups) <= LENGTHS[vr]
    decoded = UNDECODED not in text and not any(unicodedata.category(character) == "Cc" for character in text)
    return text if fits and decoded and (known_characters or text.isascii()) else None


def _is_number(value: object) -> bool:
    return len(str(value)) <= NUMBER_LENGTH and NUMBER.fullmatch(str(value)) is not None


def _sex(text: str) -> str | None:
    return text.upper() if text.upper() in SEXES else None


def _age(text: str) -> str | None:
    return text if AGE.fullmatch(text) else None


def _uid(text: str) -> str | None:
    return text if UID(text).is_valid else None


RULES: dict[str, Callable[[str], str | None]] = {"DA": date, "TM": time, "AS": _age, "UI": _uid}
"""By value representation: the form that DICOM allows, or None."""
