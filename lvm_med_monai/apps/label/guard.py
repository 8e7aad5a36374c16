"""What a request may name: images of the studies folder, files that the server itself received, and its own models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NAMING = ("image", "id", "label", "tag", "session_id", "client_id")
"""Parameters of an address that name something in the datastore."""
LONGEST_NAME = 200
"""Bytes of a name, so that an end fits behind it in what file systems take."""
_PLAIN = re.compile(r"[^/\\\x00-\x1f]+")


class RefusedError(ValueError):
    """A request names what it may not; the message says what."""


class TakenError(RefusedError):
    """A new image has the name of one that is there."""


def check_name(what: str, name: str) -> None:
    """Refuse a name that could lead out of the folder it is looked up in.

    Raises:
        RefusedError: it is ``.`` or ``..``, holds a slash, a backslash or a control character, or is longer than
            `LONGEST_NAME`.
    """
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        raise RefusedError(f"{what} must be a name of at most {LONGEST_NAME} bytes")
    if not _PLAIN.fullmatch(name) or name in {".", ".."}:
        raise RefusedError(f"{what} must be a plain name, without folders")


def check_address(path: str, queries: Iterable[tuple[str, str]]) -> None:
    """Refuse an address that climbs out of its folder.

    Args:
        path: decoded path.
        queries: decoded parameters.

    Raises:
        RefusedError: a part of the path is ``..``, a parameter of `NAMING` is no plain name, or an archive is to be
            unpacked, whose own paths could lead anywhere.
    """
    if "\\" in path or "\x00" in path or ".." in path.split("/"):
        raise RefusedError("the address leads out of its folder")
    for name, value in queries:
        if name in NAMING and value:
            check_name(name, value)
        if name == "uncompress" and value.lower() not in {"", "0", "false", "no", "off"}:
            raise RefusedError("archives are not unpacked: send the image itself")


def is_own_page(origin: str | None, host: str, pages: Iterable[str]) -> bool:
    """Whether a request comes from a page of the server itself, or from a program, which names no page.

    Browsers send some requests of any page to any server (forms; ``fetch`` of plain text) and keep only the answer from
    it. They name the page in ``Origin``.

    Args:
        origin: the header ``Origin``; None if there is none.
        host: the header ``Host``, which is the server's own name as the page knows it.
        pages: other names of the server.
    """
    return origin is None or origin in {f"http://{host}", f"https://{host}", *pages}


def lies_inside(path: str | Path, folders: Iterable[str | Path]) -> bool:
    """Whether the file that a path leads to, links followed, lies in one of the folders."""
    real = Path(path).resolve()
    return any(real.is_relative_to(Path(folder).resolve()) for folder in folders)


def check_inside(path: str | Path, folders: Iterable[str | Path]) -> Path:
    """The file that a path leads to, links followed.

    Raises:
        RefusedError: it lies in none of the folders.
    """
    if not lies_inside(path, folders):
        raise RefusedError("the file lies outside the studies folder")
    return Path(path).resolve()


def check_known(what: str, name: Any, known: Iterable[str]) -> None:
    """Refuse a name that is not on a list.

    Raises:
        RefusedError: the message holds the list.
    """
    names = sorted(known)
    if name not in names:
        raise RefusedError(f"there is no {what} {name!r}; there are: {', '.join(names) or 'none'}")
