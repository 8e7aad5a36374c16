"""Sections of a datalist by folder."""

from __future__ import annotations

import json

import pytest

from lvm_med_monai.data import add_folder_sections

SITES = ["HK/Case01.nii.gz", "RUNMC/Case00.nii.gz", "HK/Case00.nii.gz"]


def write(folder, images):
    content = {"name": "SAML", "training": [{"image": "BMC/a.nii.gz"}], "test": [{"image": image} for image in images]}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder / "dataset.json"


def test_every_folder_becomes_a_section_and_nothing_else_changes(tmp_path):
    path = write(tmp_path, SITES)
    before = json.loads(path.read_text())
    assert add_folder_sections(path) == {"test_HK": 2, "test_RUNMC": 1}
    after = json.loads(path.read_text())
    assert [entry["image"] for entry in after.pop("test_HK")] == ["HK/Case01.nii.gz", "HK/Case00.nii.gz"]
    assert [entry["image"] for entry in after.pop("test_RUNMC")] == ["RUNMC/Case00.nii.gz"]
    assert after == before
    assert add_folder_sections(path) == {"test_HK": 2, "test_RUNMC": 1}


@pytest.mark.parametrize("image", ["Case00.nii.gz", "/data/HK/Case00.nii.gz", 3])
def test_images_without_a_folder_are_refused(image, tmp_path):
    path = write(tmp_path, [*SITES, image])
    before = path.read_text()
    with pytest.raises(ValueError, match=r"entry 3 of section 'test' of dataset\.json"):
        add_folder_sections(path)
    assert path.read_text() == before


def test_an_absent_section_is_told(tmp_path):
    with pytest.raises(ValueError, match="no section 'held_out'"):
        add_folder_sections(write(tmp_path, SITES), "held_out")
