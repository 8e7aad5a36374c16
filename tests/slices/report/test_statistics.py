from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.slices import SlicePolicy, Source, extract
from lvm_med_monai.slices.__main__ import main
from lvm_med_monai.slices.reason_meanings import REASON_MEANINGS
from lvm_med_monai.slices.report.charts import bars, bytes_text, histogram, number_text
from lvm_med_monai.slices.report.page import page
from lvm_med_monai.slices.report.statistics import BINS, collect, distribution
from lvm_med_monai.slices.stack import REASONS
from tests.slices.factories import dicom_slice, save, series

NAME = "<b>set & more"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five CT slices of one patient; a grey and a colour picture, a flat one, an ultrasound, and notes."""
    root = tmp_path_factory.mktemp("statistics")
    series(root / "ct", 5)
    pictures = root / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(pictures / "a.png")
    Image.fromarray(rng.integers(0, 255, (60, 50, 3), dtype=np.uint8)).save(pictures / "b.png")
    Image.fromarray(np.full((40, 50), 9, np.uint8)).save(pictures / "flat.png")
    save(dicom_slice(0, SeriesInstanceUID="1.7", Modality="US"), pictures / "us.dcm")
    (pictures / "notes.txt").write_text("x")
    sources = [Source(root / "ct", NAME, split="train"), Source(pictures, "b")]
    extract(sources, root / "out", SlicePolicy(every_mm=0), root / "key", progress=False)
    return root / "out"


@pytest.fixture(scope="module")
def found(out: Path) -> dict[str, Any]:
    return collect(out)


def test_totals(found: dict[str, Any], out: Path) -> None:
    totals = found["totals"]
    shard_bytes = sum(path.stat().st_size for path in out.rglob("*.tar"))
    assert totals["shard_bytes"] == shard_bytes > totals["image_bytes"] > 0
    names = ("slices", "files_in", "files_in_manifest", "files_in_rejects", "files_quarantined", "patients", "stacks")
    assert [totals[name] for name in names] == [7, 10, 7, 3, 1, 3, 3]


def test_counts(found: dict[str, Any]) -> None:
    assert found["counts"]["modality"] == {"CT": 5, "unknown": 2}
    assert found["counts"]["plane"] == {"axial": 5, "unknown": 2}
    assert found["counts"]["split"] == {"train": 5, "": 2}
    assert found["counts"]["codec"] == {"png": 7}
    assert found["sizes"] == {"48x40": 5, "50x40": 1, "50x60": 1}
    assert found["rejects"] == {"burned_in_risk": 1, "flat": 1, "unrecognised": 1}
    assert found["dropped"] == {"flat": 1}
    assert found["flags"] == {"no_geometry": 2, "no_spacing": 2}
    assert [(row["name"], row["slices"], row["patients"]) for row in found["datasets"]] == [(NAME, 5, 1), ("b", 2, 2)]
    assert [(row["name"], row["slices"], row["patients"]) for row in found["splits"]] == [("", 2, 2), ("train", 5, 1)]


def test_distributions(found: dict[str, Any]) -> None:
    spacing = found["distributions"]["spacing_x"]
    assert (spacing["n"], spacing["counts"], spacing["percentiles"]["50"]) == (5, [5], 0.5)
    assert found["distributions"]["height"]["n"] == 7
    assert json.loads(json.dumps(found)) == found


def test_intensities(found: dict[str, Any]) -> None:
    kinds = [(e["modality"], e["units"], e["channels"], e["slices"]) for e in found["intensities"]]
    assert kinds == [("CT", "HU", 1, 5), ("unknown", "display", 1, 1), ("unknown", "display", 3, 1)]
    ct = found["intensities"][0]
    assert ct["n"] == 5 * 40 * 48
    assert ct["window"] == [-160, 240]
    assert -1024 <= ct["percentiles"]["0.1"] < ct["percentiles"]["99.9"] <= 3071


def test_no_sample(out: Path) -> None:
    assert collect(out, 0)["intensities"] == []
    with pytest.raises(ValueError, match="number of slices"):
        collect(out, -1)


def test_outliers_enter_the_outer_bins() -> None:
    values = np.concatenate([np.arange(10000.0), [1e9, -1e9]])
    spread = distribution(values)
    assert len(spread["counts"]) == BINS
    assert sum(spread["counts"]) == spread["n"] == 10002
    assert spread["edges"][-1] < 10001


@pytest.mark.parametrize("value", [0.0, -1024.0, 1e12, 1e-12])
def test_equal_values(value: float) -> None:
    spread = distribution(np.full(3, value))
    assert spread["counts"] == [3]
    assert "<svg" in histogram(spread, "mm", (0, 1))


class Page(HTMLParser):
    """Collects tags and addresses, and sees that tags are closed in order."""

    VOID = ("meta", "rect", "line")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_else(found: dict[str, Any]) -> None:
    html = page(found)
    parser = Page()
    parser.feed(html)
    assert parser.open == []
    assert not parser.tags & {"script", "link", "img", "iframe", "object"}
    assert parser.addresses == []
    assert not re.search(r"https?:|url\(|@import", html)
    assert "&lt;b&gt;set &amp; more" in html
    assert NAME not in html
    assert REASON_MEANINGS["burned_in_risk"].replace("`", "").split(";")[0] in html


def test_every_reason_has_a_meaning() -> None:
    assert sorted(REASON_MEANINGS) == sorted(REASONS)


def test_bars_sum_up_the_rest() -> None:
    html = bars({"a": 5, "": 3, "c": 1, "d": 1}, most=2)
    assert "2 others" in html
    assert "undecided" in html
    assert bars({}) == '<p class="none">none</p>'


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-1024, "-1,024"), (0.12345, "0.123"), (1234.5, "1,234"), (1e12, "1e+12"), (0.5, "0.5")],
)
def test_numbers(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (13_200_000, "13.2 MB"), (10**15, "1e+03 TB")]
)
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_command(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stats.html"
    assert main(["stats", str(out), "-o", str(path)]) == 0
    assert path.read_text().startswith("<!doctype html>")
    capsys.readouterr()
    assert main(["stats", str(out), "--json", "--sample", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["slices"] == 7
    assert main(["stats", str(out)]) == 2
    assert "-o stats.html" in capsys.readouterr().err
    assert main(["stats", str(tmp_path), "--json"]) == 2


def test_nothing_was_extracted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("x")
    extract([tmp_path / "in"], tmp_path / "out", progress=False)
    found = collect(tmp_path / "out")
    assert (found["totals"]["slices"], found["distributions"], found["intensities"]) == (0, {}, [])
    assert "unrecognised" in page(found)
