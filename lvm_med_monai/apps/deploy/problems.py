"""What a run can be refused for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom.dataset import Dataset


class DeployError(ValueError):
    """An input, a bundle or a result that cannot be served; the message names it, the reason and the cure."""


def refused_header(result: str, error: Exception, headers: Iterable[Dataset]) -> DeployError:
    """What to raise where the library that writes results refuses the source's header.

    Args:
        result: what was to be written, such as "a SEG".
        error: of the library; its text may hold values of the patient.
        headers: of the source.

    Returns:
        An error that names the attributes whose keyword or value is in the text, and no value.
    """
    text = str(error)
    elements = [element for header in headers for element in header]
    named = {element.keyword for element in elements if _is_in(element.keyword, text) or _is_in(element.value, text)}
    where = f", at {', '.join(sorted(named))}" if named else ""
    return DeployError(
        f"{result} cannot refer to this series: highdicom refuses its header ({type(error).__name__}{where}); have the "
        "sender or a de-identifier correct it"
    )


def _is_in(value: object, text: str) -> bool:
    word = str(value or "")
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None
