"""Rules for the strings of a configuration: an expression is a name or a call, never a program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

LONGEST = 110
CONDITION = "torch.cuda.is_available()"
"""The one call that may stand beside another: the condition of every bundle's device."""
_REFERENCE = re.compile(r"@\w+(::\w+)*")


def broken_rules(text: str) -> Iterator[str]:
    """What is wrong with one string of a configuration, as endings of a sentence that starts with it."""
    if "#" in text:
        yield "holds #, which MONAI turns into ::"
    if text.startswith("%"):
        yield "is looked for from the working folder, not from the bundle"
    if "../" in text:
        yield "leaves the bundle"
    if not text.startswith("$") or text.startswith(("$import ", "$from ")):
        return
    if len(text) >= LONGEST:
        yield f"is longer than {LONGEST} characters: make it a function"
    if calls_in(text) > 1:
        yield "makes more than one call: make it a function"


def calls_in(expression: str) -> int:
    """Number of calls in a ``$`` expression, the condition of a device not counted.

    Raises:
        ValueError: the expression is no Python.
    """
    plain = _REFERENCE.sub("reference", expression[1:])
    try:
        tree = ast.parse(plain, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"{expression} is no Python expression: {error.msg}") from error
    return sum(isinstance(node, ast.Call) and ast.unparse(node) != CONDITION for node in ast.walk(tree))
