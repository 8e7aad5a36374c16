"""Downloads that are whole, of a bounded size, and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lvm_med_monai.whole_file import whole_file

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30.0

Show = Callable[[int, int | None], None]


class DownloadError(Exception):
    """A file could not be downloaded, or is not what was asked for."""


class _SafeRedirects(HTTPRedirectHandler):
    """Follows a server to other https addresses alone."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.startswith("https://"):
            raise DownloadError(f"{req.full_url} leads to {newurl}, which is no https address: not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = build_opener(_SafeRedirects)


def file_hash(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(url: str, path: Path, limit: int, sha256: str | None = None, show: Show | None = None) -> str:
    """Download a file; it appears whole or not at all.

    Args:
        url: https address (or file:, for files at hand); it may lead to others.
        path: where it goes.
        limit: largest size in bytes; more ends the download.
        sha256: expected hash; None for none.
        show: takes the bytes so far and the bytes in all, None where the server does not say.

    Returns:
        SHA-256 of the file.

    Raises:
        DownloadError: the server cannot be reached, refuses or leads away from https, or the file is too large or has
            another hash.
    """
    if not url.startswith(("https://", "file:")):
        raise DownloadError(f"{url} is no https address")
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        with _opener.open(url, timeout=_TIMEOUT_SECONDS) as answer, whole_file(path) as partial:
            length = answer.headers.get("Content-Length")
            total = int(length) if length is not None else None
            with partial.open("wb") as sink:
                while chunk := answer.read(_CHUNK):
                    size += len(chunk)
                    if size > limit or (total or 0) > limit:
                        raise DownloadError(f"{url} has more than {limit} bytes, which its entry allows: not kept")
                    sink.write(chunk)
                    digest.update(chunk)
                    if show is not None:
                        show(size, total)
            if total is not None and size != total:
                raise DownloadError(f"{url} ended after {size} of {total} bytes: try again")
            if sha256 is not None and digest.hexdigest() != sha256.lower():
                raise DownloadError(f"{url} has the SHA-256 {digest.hexdigest()}, not {sha256}: not kept")
    except DownloadError:
        path.with_name(path.name + ".partial").unlink(missing_ok=True)
        raise
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"cannot download {url} ({reason}): without a network, get the file elsewhere and give it by --file"
        ) from error
    return digest.hexdigest()
