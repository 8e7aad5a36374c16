"""Each layout from the download to slices and a datalist: check, extract and datalist with its card."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lvm_med_monai.lists.card_files import load_cards, read_card
from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.completeness import Check, check
from lvm_med_monai.lists.datalists import make_datalist
from lvm_med_monai.lists.extraction import extract_card
from lvm_med_monai.slices import SlicePolicy, read_manifest, read_rejects, verify
from tests.lists.layouts import LAYOUTS, LayoutCase, files

ALL = SlicePolicy(every_mm=0, min_size=16)


CASES = [(name, "stand_in") for name in LAYOUTS] + [(name, "real") for name in LAYOUTS if LAYOUTS[name].real]


@pytest.fixture(params=CASES, ids="-".join)
def case(request, tmp_path) -> tuple[LayoutCase, Card, Path]:
    """A copy of a layout, with a card made for it or with the card of the set that has it."""
    name, kind = request.param
    layout = LAYOUTS[name]
    root = tmp_path / "download"
    root.mkdir()
    layout.build(root)
    card = written(layout.card(name), tmp_path) if kind == "stand_in" else load_cards()[layout.real]
    return layout, card, root


def missing(found: Check) -> list[str]:
    """What is missing, but for the images that a small copy lacks of the published ones."""
    unit = re.compile(r"[0-9,]+ of [0-9,]+ [a-z]+")
    return [text for text in found.missing if not unit.fullmatch(text)]


def written(raw: dict, folder: Path) -> Card:
    """The card, after a way through its file."""
    path = folder / "downstream" / f"{raw['id']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(raw), encoding="utf-8")
    return read_card(path)


def test_a_whole_download_is_complete(case):
    layout, card, root = case
    found = check(card, root)
    assert missing(found) == []
    assert found.counts["samples"] == layout.expected.samples
    assert found.counts.get("patients", found.counts["samples"]) == layout.expected.patients
    assert all(entry["found"] for entry in found.files if entry["required"])


def test_what_is_missing_and_what_is_left_over_is_named(case):
    layout, card, root = case
    before = check(card, root).leftover
    (root / "notes.docx").write_text("not of the data set")
    (root / ".DS_Store").write_text("hidden")
    assert check(card, root).leftover == before + 1
    if layout.expected.label is None:
        for image in root.rglob("*.*"):
            if image.is_file():
                image.unlink()
        found = check(card, root)
        assert not found.complete
        assert found.counts["images"] == 0
        return
    removed = layout.expected.label
    (root / removed).unlink()
    found = check(card, root)
    assert missing(found)
    stem = re.sub(r"(_seg|_Hipp_Labels)?(\.nii\.gz|\.[a-z]+)$", "", Path(removed).name)
    named = any(stem in text or Path(removed).parent.as_posix() in text for text in missing(found))
    assert named, found.missing


def test_images_alone_are_extracted(case, tmp_path):
    layout, card, root = case
    summary = extract_card(card, root, tmp_path / "slices", split="train", policy=ALL, progress=False)
    manifest = read_manifest(tmp_path / "slices")
    assert summary.slices == layout.expected.slices
    assert summary.files_in_rejects == 0, read_rejects(tmp_path / "slices").to_pylist()
    assert set(manifest["dataset"].to_pylist()) == {card.id}
    assert set(manifest["split"].to_pylist()) == {"train"}
    assert len(set(manifest["patient_h"].to_pylist())) == layout.expected.patients
    if card.slices.get("modality"):
        assert set(manifest["modality"].to_pylist()) == {card.slices["modality"]}
    assert verify(tmp_path / "slices", progress=False).ok


def test_the_datalist_pairs_images_with_what_they_are_labelled_by(case):
    layout, card, root = case
    made = make_datalist(card, root)
    entries = [entry for section in made.sections.values() for entry in section]
    assert len(entries) == (layout.expected.entries or layout.expected.samples)
    assert made.unlabelled == ()
    assert made.partition.separated == ()
    assert made.partition.unassigned == ()
    names = {name for entry in entries for name in as_list(entry["image"])}
    assert all((root / name).exists() for name in names)
    for entry in entries:
        CHECKS[layout.expected.labelled](card, root, entry)


def as_list(value):
    return value if isinstance(value, list) else [value]


def has_no_label(card, root, entry):
    assert entry.keys() == {"image"}


def has_mask(card, root, entry):
    assert (root / entry["label"]).is_file()
    keys = {card.layout.pair.search(name)[1] for name in (*as_list(entry["image"]), entry["label"])}
    assert len(keys) == 1


def has_class(card, root, entry):
    assert entry["label"] == list(card.labels).index(entry["image"].split("/")[0])


def has_boxes(card, root, entry):
    assert len(entry["box"]) == len(entry["label"])
    for left, top, right, bottom in entry["box"]:
        assert 0 < left < right
        assert 0 < top < bottom
    assert set(entry["label"]) <= set(range(len(card.labels)))


CHECKS = {"none": has_no_label, "mask": has_mask, "class": has_class, "box": has_boxes}


def test_boxes_have_the_numbers_of_their_file(tmp_path):
    root = tmp_path / "download"
    for name, image, box, label in (
        ("coco_boxes", "stenosis/val/images/2.png", [2, 4, 12, 24.5], 0),
        ("box_table", f"train/{4:032x}.png", [1.5, 2, 14, 20], 0),
    ):
        LAYOUTS[name].build(root / name)
        made = make_datalist(written(LAYOUTS[name].card(name), tmp_path), root / name)
        entry = next(e for section in made.sections.values() for e in section if e["image"] == image)
        assert entry == {"image": image, "box": [box], "label": [label]}


def test_sequences_of_a_case_are_in_the_order_of_the_card(tmp_path):
    LAYOUTS["brats_cases"].build(tmp_path / "download")
    made = make_datalist(written(LAYOUTS["brats_cases"].card("brats_cases"), tmp_path), tmp_path / "download")
    for entry in made.sections["training"]:
        assert [name.rsplit("_", 1)[1] for name in entry["image"]] == [
            "flair.nii.gz",
            "t1.nii.gz",
            "t1ce.nii.gz",
            "t2.nii.gz",
        ]


def test_several_masks_of_an_image_are_a_list(tmp_path):
    LAYOUTS["image_mask_pairs"].build(tmp_path / "download")
    raw = LAYOUTS["image_mask_pairs"].card("image_mask_pairs")
    raw["layout"]["pair"] = r"/([a-z0-9]+)(?:_1)?\.jpg$"
    more = tmp_path / "download" / "masks"
    (more / "cju0qkwl35piu0993l0dewe04_1.jpg").write_bytes((more / "cju0qkwl35piu0993l0dewe04.jpg").read_bytes())
    made = make_datalist(written(raw, tmp_path), tmp_path / "download")
    several = [e["label"] for section in made.sections.values() for e in section if isinstance(e["label"], list)]
    assert several == [["masks/cju0qkwl35piu0993l0dewe04.jpg", "masks/cju0qkwl35piu0993l0dewe04_1.jpg"]]


def test_an_image_without_a_mask_is_left_out_and_told(tmp_path):
    LAYOUTS["image_mask_pairs"].build(tmp_path / "download")
    (tmp_path / "download" / "masks" / "cju0qkwl35piu0993l0dewe05.jpg").unlink()
    made = make_datalist(written(LAYOUTS["image_mask_pairs"].card("image_mask_pairs"), tmp_path), tmp_path / "download")
    assert made.unlabelled == ("images/cju0qkwl35piu0993l0dewe05.jpg",)
    assert sum(map(len, made.sections.values())) == 9


def test_samples_that_were_seen_are_neither_listed_nor_extracted(tmp_path):
    LAYOUTS["tcia_dicom"].build(tmp_path / "download")
    card = written(LAYOUTS["tcia_dicom"].card("tcia_dicom"), tmp_path)
    seen = frozenset({"OPC-00015/12-15-2003-Head-99125/1.000000-Axial-0114"})
    made = make_datalist(card, tmp_path / "download", unseen=seen)
    assert sum(map(len, made.sections.values())) == 3
    whole = make_datalist(card, tmp_path / "download").sections
    assert all(entry in whole[name] for name, section in made.sections.items() for entry in section)
    summary = extract_card(card, tmp_path / "download", tmp_path / "slices", leave_out=seen, policy=ALL, progress=False)
    assert summary.slices == 9


def test_an_extraction_goes_on_where_it_stopped_and_cards_share_a_folder(tmp_path):
    for name in ("msd_nifti", "class_folders"):
        LAYOUTS[name].build(tmp_path / name)
        card = written(LAYOUTS[name].card(name), tmp_path)
        extract_card(card, tmp_path / name, tmp_path / "slices", policy=ALL, progress=False)
    again = extract_card(card, tmp_path / name, tmp_path / "slices", policy=ALL, progress=False)
    assert again.parts_done == 0
    assert again.slices == 16 + 12
    assert verify(tmp_path / "slices", progress=False).ok


def test_a_folder_too_high_is_told(tmp_path):
    LAYOUTS["luna_metaimage"].build(tmp_path / "above" / "luna16")
    found = check(written(LAYOUTS["luna_metaimage"].card("luna_metaimage"), tmp_path), tmp_path / "above")
    assert "luna16" in found.hints[0]
    assert not found.complete


def test_archives_that_are_still_packed_are_told(tmp_path):
    LAYOUTS["luna_metaimage"].build(tmp_path / "luna16")
    (tmp_path / "luna16" / "subset3.zip").write_bytes(b"PK")
    found = check(written(LAYOUTS["luna_metaimage"].card("luna_metaimage"), tmp_path), tmp_path / "luna16")
    assert found.complete
    assert found.hints == ("unpack subset3.zip",)


@pytest.mark.parametrize(
    ("unit", "published", "missing"),
    [
        ("volumes", 3, False),
        ("volumes", 4, True),
        ("patients", 888, True),
        ("slices", 49386, False),
        (None, 888, False),
    ],
    ids=["as_many", "one_less", "patients", "not_comparable", "no_unit"],
)
def test_published_sizes_are_compared_where_they_count_the_same(tmp_path, unit, published, missing):
    LAYOUTS["luna_metaimage"].build(tmp_path / "luna16")
    raw = {**LAYOUTS["luna_metaimage"].card("luna_metaimage"), "size": {"published": published, "unit": unit}}
    found = check(written(raw, tmp_path), tmp_path / "luna16")
    assert found.complete != missing
    if missing:
        assert found.missing == (f"{published - 3:,} of {published:,} {unit}",)


def test_dicom_files_say_whose_they_are_where_paths_do_not(tmp_path):
    LAYOUTS["tcia_dicom"].build(tmp_path / "download")
    raw = {**LAYOUTS["tcia_dicom"].card("tcia_dicom"), "patient": {"pattern": None, "space": None}}
    made = make_datalist(written(raw, tmp_path), tmp_path / "download")
    patients = [{entry["image"].split("/")[0] for entry in section} for section in made.sections.values()]
    assert sorted(map(len, patients)) == [1, 1]
    assert patients[0] != patients[1]
    (tmp_path / "download" / "OPC-00015/12-15-2003-Head-99125/1.000000-Axial-0114/1-00.dcm").write_bytes(b"x" * 200)
    with pytest.raises(ValueError, match="no DICOM file"):
        make_datalist(written(raw, tmp_path), tmp_path / "download")


def test_images_that_need_no_mask_are_told_but_not_missed(tmp_path):
    LAYOUTS["msd_nifti"].build(tmp_path / "download")
    card = written(LAYOUTS["msd_nifti"].card("msd_nifti"), tmp_path)
    assert check(card, tmp_path / "download").complete
    made = make_datalist(card, tmp_path / "download")
    assert made.unlabelled == ()
    assert sum(map(len, made.sections.values())) == 3
    assert "1 images without a mask, which the card does not require" in made.notes[-1]


def test_boxes_by_the_name_of_the_image_are_read_as_coco_is(tmp_path):
    LAYOUTS["image_mask_pairs"].build(tmp_path / "download")
    raw = {**LAYOUTS["image_mask_pairs"].card("image_mask_pairs"), "labels": {"1": "polyp"}}
    raw["layout"] = {
        **raw["layout"], "family": "csv_boxes", "pair": None,
        "files": files("images/*.jpg", boxes="*.json"),
    }  # fmt: skip
    name = "cju0qkwl35piu0993l0dewe03"
    boxes = {
        name: {"height": 48, "width": 48, "bbox": [{"label": "polyp", "xmin": 3, "ymin": 4, "xmax": 9, "ymax": 8}]}
    }
    (tmp_path / "download" / "kavsir_bboxes.json").write_text(json.dumps(boxes))
    made = make_datalist(written(raw, tmp_path), tmp_path / "download")
    entries = {e["image"]: e for section in made.sections.values() for e in section}
    assert entries[f"images/{name}.jpg"] == {"image": f"images/{name}.jpg", "box": [[3, 4, 9, 8]], "label": [1]}
    assert sum(len(e["box"]) for e in entries.values()) == 1
    for content, message in (({"x": 1}, "holds no boxes"), ({"absent": {"bbox": []}}, "not there, such as absent")):
        (tmp_path / "download" / "kavsir_bboxes.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            make_datalist(written(raw, tmp_path), tmp_path / "download")
