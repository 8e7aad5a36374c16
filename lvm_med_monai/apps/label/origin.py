"""What the copies in a workspace were made from, so that one is never taken for the copy of something else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def fingerprint(bundle: Path, weights: Path, overlays: Sequence[str]) -> str:
    """SHA-256 of what a copy is made from: configurations, weights, and the names of overlays in their order."""
    digest = hashlib.sha256("\n".join(overlays).encode())
    configs = [file for file in sorted((bundle / "configs").iterdir()) if file.is_file()]
    for file in [*configs, weights]:
        digest.update(file.name.encode() if file in configs else b"weights")
        digest.update(_digest_of(file))
    return digest.hexdigest()


def note_origin(copy: Path, origin: str) -> None:
    """Keep the fingerprint of a copy beside it."""
    _file(copy).write_text(origin, encoding="utf-8")


def check_origin(copy: Path, origin: str) -> None:
    """Raises ValueError if a copy was made from something else than what has the fingerprint ``origin``."""
    if not _file(copy).is_file() or _file(copy).read_text(encoding="utf-8") != origin:
        raise ValueError(
            f"the workspace holds a copy of {copy.name} that was made from another bundle, other --weights or another "
            "--overlay: give those again to go on with what it has learnt, --fresh to forget that, or another "
            "--workspace"
        )


def _digest_of(file: Path) -> bytes:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)
    return digest.digest()


def _file(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.sha256")
