"""The README's table says what the bundles' metadata say."""

from __future__ import annotations

import json

import pytest

from lvm_med_monai.bundles import markdown_table
from lvm_med_monai.bundles.__main__ import main
from lvm_med_monai.bundles.table import BEGIN, END, replace_table
from tests.bundles.conftest import BUNDLES, ROOT


def test_the_readme_is_current():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert replace_table(page, markdown_table(ROOT / "bundles")) == page, (
        "run python -m lvm_med_monai.bundles table --write README.md"
    )


def test_every_bundle_has_a_row():
    rows = markdown_table(ROOT / "bundles").splitlines()[2:]
    assert len(rows) == len(BUNDLES)
    for bundle, row in zip(BUNDLES, rows, strict=True):
        assert f"[`{bundle.name}`]" in row
        assert json.loads((bundle / "configs" / "metadata.json").read_text())["task"] in row


def test_a_page_without_a_place_is_refused(tmp_path, capsys):
    (tmp_path / "page.md").write_text("words")
    assert main(["table", "--root", str(ROOT), "--write", str(tmp_path / "page.md")]) == 2
    assert "no place for the table" in capsys.readouterr().err
    assert (tmp_path / "page.md").read_text() == "words"


def test_only_the_part_between_the_marks_changes():
    assert replace_table(f"a\n{BEGIN}\nold\n{END}\nb", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb"


def test_no_bundles_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no bundles in"):
        markdown_table(tmp_path)
