"""Keyed hashes in place of identifiers."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

KEY_BYTES = 32
DIGITS = 24
"""Hexadecimal digits of an identity: 96 bits, so no two of a billion patients collide."""


class Identities:
    """HMAC-SHA256 of identifiers: equal for equal input and key, and not to be undone or guessed without the key.

    Args:
        key: at least 16 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("a key needs at least 16 bytes; delete the file to have a new one made")
        self._key = key
        # neighbouring slices share their patient, study and series
        self._known = lru_cache(maxsize=1024)(self._compute)

    def hash(self, kind: str, *parts: str) -> str:
        """Identity of ``parts``; the same parts give different ones for different kinds."""
        return self._known(kind, *parts)

    def _compute(self, kind: str, *parts: str) -> str:
        message = "\0".join((kind, *parts)).encode("utf-8", "surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:DIGITS]


def load_key(path: Path, out: Path) -> bytes:
    """Read the key, or make one that only its owner can read.

    Args:
        path: file of the key, outside of ``out``: who has both can test guesses of a patient's id.
        out: output folder.

    Raises:
        ValueError: the key lies inside the output.
    """
    if path.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"the key file {path} lies inside of the output {out}; give a path elsewhere")
    if not path.exists():
        _make_key(path)
    return path.read_bytes()


def _make_key(path: Path) -> None:
    """Make a key that appears as a whole, and only if no other process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        os.link(temporary, path)
    except FileExistsError:
        pass  # made by another process in the meantime; that one counts
    finally:
        temporary.unlink()
