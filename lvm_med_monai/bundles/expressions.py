"""Rules for the strings of a configuration: an expression takes one step, never two, so it is no program.

A step is a call, or one pass through a list. Names, attributes, arithmetic, choices and a function around the whole
expression (``lambda batch: ...``, which MONAI's handlers want) are no steps.
"""

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
    if steps_in(text) > 1:
        yield "takes more than one step (a call, a pass through a list): make it a function"


def steps_in(expression: str) -> int:
    """Number of steps in a ``$`` expression, the condition of a device not counted.

    A condition inside a pass, an assignment and a function inside the expression count as steps of their own.

    Raises:
        ValueError: the expression is no Python.
    """
    plain = _REFERENCE.sub("reference", expression[1:])
    try:
        tree = ast.parse(plain, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"{expression} is no Python expression: {error.msg}") from error
    whole: ast.AST = tree.body.body if isinstance(tree.body, ast.Lambda) else tree.body
    return sum(_steps_of(node) for node in ast.walk(whole))


def _steps_of(node: ast.AST) -> int:
    if isinstance(node, ast.Call):
        return int(ast.unparse(node) != CONDITION)
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return 2 * isinstance(node, (ast.Lambda, ast.NamedExpr))
