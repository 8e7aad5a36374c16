"""Downloads: whole, checked, bounded, and by https alone."""

from __future__ import annotations

import hashlib
import io
from http.client import HTTPMessage
from urllib.request import BaseHandler, build_opener
from urllib.response import addinfourl

import pytest

from lvm_med_monai.weights.download import DownloadError, _SafeRedirects, download


def test_a_download_is_whole_checked_and_bounded(tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(b"weights" * 1000)
    digest, seen = hashlib.sha256(source.read_bytes()).hexdigest(), []
    out = tmp_path / "out" / "file.bin"
    assert download(source.as_uri(), out, 7000, digest, lambda size, total: seen.append((size, total))) == digest
    assert out.read_bytes() == source.read_bytes()
    assert seen == [(7000, 7000)]
    for limit, expected, message in ((6999, None, "more than 6999 bytes"), (7000, "0" * 64, "has the SHA-256")):
        with pytest.raises(DownloadError, match=message):
            download(source.as_uri(), tmp_path / "refused", limit, expected)
        assert not list(tmp_path.glob("refused*"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/a.pt", "is no https address"),
        ("https://127.0.0.1:1/a.pt", "without a network, get the file elsewhere and give it by --file"),
        ("file:///nothing/here.pt", "cannot download"),
    ],
)
def test_what_cannot_be_downloaded_is_one_clear_error(url, message, tmp_path):
    with pytest.raises(DownloadError, match=message):
        download(url, tmp_path / "a.pt", 1000)


class Redirects(BaseHandler):
    """A server that leads from one address to another."""

    handler_order = 1

    def __init__(self, **places):
        self.places = places

    def https_open(self, req):
        place = self.places[req.full_url.rpartition("/")[2]]
        headers, body = HTTPMessage(), io.BytesIO(b"weights" if place is None else b"")
        if place is not None:
            headers["Location"] = place
        answer = addinfourl(body, headers, req.full_url, 200 if place is None else 302)
        answer.msg = "found"
        return answer


def test_a_server_may_lead_to_https_and_nowhere_else(tmp_path, monkeypatch):
    server = Redirects(a="https://other.example/b", b=None, c="http://other.example/b", d="https://other.example/c")
    monkeypatch.setattr("lvm_med_monai.weights.download._opener", build_opener(_SafeRedirects, server))
    digest = download("https://example.org/a", tmp_path / "a", 100)
    assert digest == hashlib.sha256(b"weights").hexdigest()
    assert (tmp_path / "a").read_bytes() == b"weights"
    for name in "cd":
        message = "https://.*/c leads to http://other.example/b, which is no https address: not followed"
        with pytest.raises(DownloadError, match=message):
            download(f"https://example.org/{name}", tmp_path / "refused", 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
