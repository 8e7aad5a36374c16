"""The cards of dataset_lists: valid, complete, sourced, consistent with each other and with the paper's table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lvm_med_monai.lists.card_files import load_cards
from lvm_med_monai.lists.globs import glob_pattern
from lvm_med_monai.lists.table import make_table, with_table

ROOT = Path(__file__).resolve().parents[2] / "dataset_lists"
SCHEMA = json.loads((ROOT / "list.schema.json").read_text(encoding="utf-8"))
PATHS = sorted(ROOT.glob("*/*.json"))
CARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in PATHS}
PRETRAINING = [CARDS[path.stem] for path in PATHS if path.parent.name == "pretraining"]
DOWNSTREAM = [CARDS[path.stem] for path in PATHS if path.parent.name == "downstream"]
EACH = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)

TABLE_13 = [
    "0_SSL_HyperKvasir_Color_Colon", "0_SSL_PatchCamelyon_Color_Cells", "0_SSL_BraTS2018_Brain",
    "0_SSL_HNSCC_Mixed_HeadNeck", "0_SSL_LiTS2017_Liver", "MSD", "MSD", "MSD", "MSD", "MSD", "MSD", "MSD",
    "0_SSL_OPC-Radiomics_CT_Oropharynx", "0_SSL_Osteosarcoma-UT_Color_Cells", "0_SSL_Pancreas-CT_CT_Pancreas",
    "0_SSL_Pelvic-Reference-Data_CT_Pelvic", "0_SSL_PROSTATEx_MRI_Prostate", "0_SSL_TCGA-CESC_MRI_Cervix",
    "0_SSL_TCGA-COAD_CT_Colon", "0_SSL_TCGA-ESCA_CT_Esophagus", "0_SSL_TCGA-KICH_Mixed_Kidney",
    "0_SSL_TCGA-KIRC_Mixed_Multi", "0_SSL_TCGA-READ_Mixed_Rectum", "0_SSL_TCGA-SARC_Mixed_Multi",
    "0_SSL_TCGA-THCA_CT_Thyroid", "0_SSL_VinBigData_X-ray_Lung", "0_SSL_LUNA2016_Lung",
    "BCCD-Dataset_Color_Bloodcells", "C-NMC_Leukemia_Color_Cells", "CBIS-DDSM_Mammography_Breast", "COVIDx_CT_Lung",
    "Heidelberg_OCT_Eye", "m2caiSeg_Color_Laparoscopic", "NuCLS_Color_Nucleus", "SARAS-MESAD_Color_Surgery",
    "X-ray_Shoulder", "Shenzhen_X-ray_Lung", "ADNI1_MRI_Brain_1.5T", "ADNI1_MRI_Brain_3T",
    "AML-Cytomorphology_Color_Cells", "APTOS2019_Color_Retinopathy", "BCSS_Color_Cells",
    "DentalPanoramicXrays_X-ray_Tooth", "HC18_Ultrasound_Fetus", "Hippseg2011_MRI_Brain", "ISIC2019_Color_Skin",
    "KiTS19_CT_Kidney", "Kvasir_Color_Colon", "LHNCBC-Malaria_Color_Blood-Smear", "MitoEM_SEM_Cells",
    "MLL_Color_BoneMarrow", "MMWHS_CT_Heart", "MMWHS_MR_Heart", "RSNA-Bone-Age_X-ray_Bone",
    "EyePACS_Color_Retinopathy",
]  # fmt: skip
"""Folders of the lists of files, by row of the paper's Table 13."""
DOWNSTREAM_IDS = {
    "arcade_segments", "arcade_stenosis", "arcade_vessels", "brain_tumour_mri", "brats2018_segmentation", "busi",
    "chexpert", "drive", "fgadr", "isic2018", "jsrt", "kvasir_detection", "kvasir_seg", "livecell", "medfmc_chestdr",
    "mmwhs_ct_segmentation", "mmwhs_mr_segmentation", "prostate_multisite", "rsna_pneumonia", "vindr_cxr", "xcav",
}  # fmt: skip
SUM_OF_TOTALS = 1_294_015
"""The paper's 1.3 million: the sum of the column Total."""
NULL_IF_UNKNOWN = (
    "home_page", "licence.name", "paper.listed_entries", "task.metric", "patient.pattern", "split.parts",
    "size.published",
)  # fmt: skip
"""Fields that are null only because nobody knows them."""


def at(card: dict[str, Any], field: str) -> Any:
    """The value at a path of fields; None if something above it is null. Raises KeyError for a field that is none."""
    value: Any = card
    for part in field.split("."):
        if value is None:
            return None
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def numbers(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all numbers."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, (int, float)):
        yield path
        return
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        yield from numbers(below, f"{path}.{key}" if path else str(key))


def parts_of(card: dict[str, Any]) -> Iterator[Any]:
    for split in (card["split"], card["split"]["safe"]):
        if split is not None and split["parts"] is not None:
            yield from split["parts"].values()


def globs_of(card: dict[str, Any]) -> Iterator[str]:
    yield from (file["glob"] for file in card["layout"]["files"])
    splits = [split for split in (card["split"], card["split"]["safe"]) if split is not None]
    yield from (split["pool"] for split in splits if split["pool"] is not None)
    yield from (part for part in parts_of(card) if isinstance(part, str))


def unknown(card: dict[str, Any]) -> set[str]:
    return {text.partition(": ")[0] for text in card["unknown"]}


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@EACH
def test_a_card_follows_the_schema(card) -> None:
    faults = [(list(e.absolute_path), e.message) for e in Draft202012Validator(SCHEMA).iter_errors(card)]
    assert not faults
    assert list(card) == SCHEMA["required"], "fields have one order"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "Upper-Case"},
        {"colour": "red"},
        {"access": "maybe"},
        {"modalities": []},
        {"modalities": ["X-ray"]},
        {"dimensions": 4},
        {"shares_patients_with": ["drive", "drive"]},
        {"size": {"published": 0, "unit": "images", "note": None}},
        {"sources": []},
        {"unknown": ["nobody knows the size"]},
        {"layout": {"family": "nifti", "files": [], "pair": None, "label_from": None}},
        {"patient": {"pattern": None, "space": "with blank"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_schema_refuses(change) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors({**CARDS["drive"], **change}))


@pytest.mark.parametrize("glob", ["/data/*.png", "../*.png", "a\\b.png", "a/../b.png", ""])
def test_the_schema_refuses_globs_that_leave_the_root(glob) -> None:
    schema = {"$ref": "#/$defs/glob", "$defs": SCHEMA["$defs"]}
    assert list(Draft202012Validator(schema).iter_errors(glob))


def test_ids_are_unique_and_name_the_files() -> None:
    assert len(CARDS) == len(PATHS)
    assert [CARDS[path.stem]["id"] for path in PATHS] == [path.stem for path in PATHS]


def test_every_row_of_the_papers_table_has_one_card() -> None:
    rows = {card["paper"]["table_13_number"]: card["paper"]["folder"] for card in PRETRAINING}
    assert len(PRETRAINING) == len(TABLE_13) == 55
    assert [rows[number] for number in range(1, 56)] == TABLE_13
    assert sum(card["paper"]["table_13"]["total"] for card in PRETRAINING) == SUM_OF_TOTALS
    assert len({card["title"] for card in PRETRAINING}) == 55


def test_every_downstream_set_has_a_card() -> None:
    assert {card["id"] for card in DOWNSTREAM} == DOWNSTREAM_IDS
    assert all(card["paper"] is None and card["task"] is not None for card in DOWNSTREAM)


@EACH
def test_every_number_has_a_source(card) -> None:
    facts = [source["fact"] for source in card["sources"]]
    for fact in facts:
        at(card, fact)
    bare = [
        path
        for path in numbers({key: value for key, value in card.items() if key not in ("schema_version", "dimensions")})
        if not any(path == fact or path.startswith(fact + ".") for fact in facts)
    ]
    assert not bare


@EACH
def test_what_is_known_has_a_source(card) -> None:
    facts = {source["fact"].split(".")[0] for source in card["sources"]}
    assert {"layout", "slices"} <= facts
    assert card["licence"]["name"] is None or "licence" in facts
    for field in ("labels", "task", "shares_patients_with"):
        assert not card[field] or field in facts, field


@EACH
def test_null_means_unknown_and_says_so(card) -> None:
    named = unknown(card)
    for field in named:
        at(card, field)
    for field in NULL_IF_UNKNOWN:
        if field == "patient.pattern" and card["layout"]["family"] == "dicom":
            continue
        if field == "split.parts" and card["split"]["rule"] == "none" and card["paper"] is not None:
            continue
        if field == "paper.listed_entries" and card["paper"] is None:
            continue
        if field == "task.metric" and card["task"] is None:
            continue
        assert at(card, field) is not None or field in named, field
    assert card["access"] != "unknown" or "access" in named or card["home_page"] is None
    assert "not known" not in (card["labels"] or {}).values() or "labels" in named


@EACH
def test_expressions_compile_with_one_group(card) -> None:
    for field in ("layout.pair", "layout.label_from", "patient.pattern"):
        if (text := at(card, field)) is not None:
            assert re.compile(text).groups == 1, field


@EACH
def test_globs_are_relative_and_compile(card) -> None:
    for glob in globs_of(card):
        assert not glob.startswith("/")
        assert ".." not in glob.split("/")
        glob_pattern(glob)


def test_shared_patients_are_shared_both_ways() -> None:
    for name, card in CARDS.items():
        for other in card["shares_patients_with"]:
            assert other != name
            assert name in CARDS[other]["shares_patients_with"], f"{other} does not name {name}"


def test_a_common_name_space_means_common_patients() -> None:
    """But for collections of The Cancer Genome Atlas, whose names are one space and whose patients differ."""
    spaces: dict[str, set[str]] = {}
    for name, card in CARDS.items():
        if (space := card["patient"]["space"]) is not None and space != "TCGA":
            spaces.setdefault(space, set()).add(name)
    for members in spaces.values():
        for name in members:
            assert members - {name} <= set(CARDS[name]["shares_patients_with"])


@EACH
def test_units_and_modality_agree(card) -> None:
    slices = card["slices"]["modality"]
    assert slices is None or slices in card["modalities"]
    assert (card["units"] == "HU") == (card["modalities"] == ["CT"] and card["dimensions"] == 3)
    assert slices != "CT" or card["units"] == "HU", "the modality CT makes the values HU"
    assert (card["layout"]["family"] == "dicom") <= (slices is None)


@EACH
def test_a_split_can_be_followed(card) -> None:
    for split in (card["split"], card["split"]["safe"]):
        if split is None:
            continue
        parts = split["parts"] or {}
        drawn = {name: part for name, part in parts.items() if isinstance(part, (int, float))}
        repeats = {name for name, part in parts.items() if isinstance(part, dict) and "same_as" in part}
        assert (split["seed"] is not None) == bool(drawn)
        assert (split["rule"] == "seeded") == (bool(drawn) and len(drawn) + len(repeats) == len(parts))
        if split["rule"] == "seeded":
            assert sum(drawn.values()) == pytest.approx(1)
        assert split["unit"] != "patient" or card["patient"]["pattern"] or split["rule"] == "none"
        assert not (split["published_sizes"] and parts) or set(split["published_sizes"]) <= set(parts)
    assert not card["split"]["flaws"] or card["split"]["note"]


@EACH
def test_named_units_are_in_one_part(card) -> None:
    for split in (card["split"], card["split"]["safe"] or {}):
        lists = [part for part in (split.get("parts") or {}).values() if isinstance(part, list)]
        names = [name for part in lists for name in part]
        assert len(names) == len(set(names))


def test_the_page_has_the_table_of_these_cards() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(page, make_table(load_cards(ROOT))) == page
