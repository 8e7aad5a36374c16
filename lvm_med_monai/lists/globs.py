"""Globs over paths below a root, and the files that there are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_PARTS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|\{[^{}]*\}|.", re.DOTALL)


@lru_cache(maxsize=512)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """Regular expression of a glob, for the whole of a path with forward slashes.

    ``*`` and ``?`` stay within a name, ``**/`` stands for any number of folders and a final ``**`` for all below,
    ``[..]`` for one of some characters, ``{a,b}`` for one of some texts. Letters count as they are written.

    Example:
        >>> bool(glob_pattern("**/images/*.{jpg,png}").fullmatch("a/b/images/7.png"))
        True
        >>> bool(glob_pattern("images/*.png").fullmatch("images/a/7.png"))
        False
    """
    return re.compile("".join(_translate(part) for part in _PARTS.findall(glob)))


def _translate(part: str) -> str:
    fixed = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in fixed:
        return fixed[part]
    if part[0] == "[" and len(part) > 1:
        return f"(?!/)[{'^' if part[1] == '!' else ''}{re.escape(part[2 if part[1] == '!' else 1 : -1])}]".replace(
            r"\-", "-"
        )
    if part[0] == "{" and len(part) > 1:
        inner = ("".join(_translate(p) for p in _PARTS.findall(text)) for text in part[1:-1].split(","))
        return f"(?:{'|'.join(inner)})"
    return re.escape(part)


def alternatives(glob: str) -> list[str]:
    """The globs that a glob with ``{a,b}`` in its folders stands for; braces in the name of a file stay.

    Example:
        >>> alternatives("{train,val}/images/*.{jpg,png}")
        ['train/images/*.{jpg,png}', 'val/images/*.{jpg,png}']
    """
    folders, slash, name = glob.rpartition("/")
    begin, brace, rest = folders.partition("{")
    if not brace:
        return [glob]
    inner, _, end = rest.partition("}")
    return [g for text in inner.split(",") for g in alternatives(f"{begin}{text}{end}{slash}{name}")]


def matching(paths: Iterable[str], glob: str) -> list[str]:
    """The paths that a glob matches, in their order."""
    match = glob_pattern(glob).fullmatch
    return [path for path in paths if match(path)]


def files_below(root: Path) -> list[str]:
    """Paths of all files below ``root``, with forward slashes, sorted; without hidden ones.

    Links to folders are not followed. The order does not depend on the file system.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder that the download was unpacked into")
    found: list[str] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        below = Path(folder).relative_to(root).as_posix()
        prefix = "" if below == "." else below + "/"
        found += [prefix + name for name in names if not name.startswith(".")]
    return sorted(found)
