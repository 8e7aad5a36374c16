"""Overlap with the official lists: every kind of identifier is found, and disjoint sets have none."""

from __future__ import annotations

import random
import time
import uuid

import pytest

from lvm_med_monai.lists.card_files import card_of as read_object
from lvm_med_monai.lists.names import parts_of, strength
from lvm_med_monai.lists.official import read_official
from lvm_med_monai.lists.overlap import find_overlap, related_folders
from tests.lists.layouts import card_of

TCIA = "OPC-00543/12-15-2003-Head and Neck RT Planning CT-99125/2.000000-08148"
UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.100530488926682752765845212286"
LISTS = {
    "0_SSL_OPC": [f"{TCIA}/1-{n:03d}.dcm" for n in range(20)],
    "0_SSL_LUNA": [f"{UID}.mhd", f"{UID}.raw"],
    "0_SSL_BraTS2018": ["Brats18_CBICA_ANZ_1", "Brats18_TCIA01_235_1"],
    "0_SSL_LiTS": ["volume-106", "volume-110"],
    "MSD": ["Task09_Spleen", "Task09_Spleen/imagesTr/spleen_10.nii.gz"],
    "KiTS19": [f"case_{n}/{name}.nii.gz" for n in ("00154", "00066") for name in ("imaging", "segmentation")],
    "ADNI": ["I119322_CN.nii"],
    "ISIC": ["MEL_ISIC_0024482.jpg", "NV_ISIC_0000030_downsampled.jpg"],
    "Kvasir": ["esophagitis_0339a2f7-65bb-41fb-8650-e119670b4e2e.jpg"],
    "EyePACS": ["0_10003_left.jpeg"],
    "APTOS": ["2_014508ccb9cb.png"],
    "Dental": ["100.png", "101.png"],
    "CBIS": ["1.3.6.1.4.1.9590.100.1.2.100682860911308271813943300011840547108"] * 2,
    "NuCLS": ["TCGA-A2-A04P-DX1_id-5ea4099addda5f839898164e_left-105249_top-48755_bottom-49046_right-105559.png"],
    "VinBig": ["9043e39c8e52843751e7cc9edc2c02e6.png"],
    "Camelyon": ["camelyonpatch_level_2_split_train_x.h5"],
    "OCT": ["Default split"],
}


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    root = tmp_path_factory.mktemp("clone")
    for folder, lines in LISTS.items():
        path = root / "lvm-med-training-data" / folder / ("file_list.txt.txt" if folder == "OCT" else "file_list.txt")
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines), encoding="utf-8")
    return read_official(root)


@pytest.mark.parametrize(
    ("name", "kind", "folder"),
    [
        (f"data/{TCIA}/1-007.dcm", "path", "0_SSL_OPC"),
        (f"D:\\data\\{TCIA}\\1-007.DCM".replace("/", "\\"), "path", "0_SSL_OPC"),
        ("OPC-00543/another study/series/1-1.dcm", "patient", "0_SSL_OPC"),
        (f"subset0/{UID}.mhd", "name", "0_SSL_LUNA"),
        (f"LIDC-IDRI-0001/{UID}/000001.dcm", "case", "0_SSL_LUNA"),
        ("HGG/Brats18_CBICA_ANZ_1/Brats18_CBICA_ANZ_1_flair.nii.gz", "case", "0_SSL_BraTS2018"),
        ("HGG/BraTS19_CBICA_ANZ_1/BraTS19_CBICA_ANZ_1_flair.nii.gz", "renamed", "0_SSL_BraTS2018"),
        ("imagesTr/Task09_Spleen/imagesTr/spleen_10.nii", "path", "MSD"),
        ("kits19/data/case_00154/imaging.nii.gz", "path", "KiTS19"),
        ("I119322_CN.nii.gz", "renamed", "ADNI"),
        ("ADNI_002_S_0413_MR_MPR_Br_2007_S13893_I119322.nii", "renamed", "ADNI"),
        ("ISIC_0024482.jpg", "class_prefix", "ISIC"),
        ("train/ISIC_0000030.png", "augmented", "ISIC"),
        ("crops/crop_2_ISIC_0024482.jpg", "augmented", "ISIC"),
        ("ISIC_0024482_flip.jpg", "augmented", "ISIC"),
        ("esophagitis/0339a2f7-65bb-41fb-8650-e119670b4e2e.jpg", "class_prefix", "Kvasir"),
        ("train/014508ccb9cb.png", "class_prefix", "APTOS"),
        ("4_014508ccb9cb.png", "class_prefix", "APTOS"),
        ("1.3.6.1.4.1.9590.100.1.2.100682860911308271813943300011840547108/1-1.dcm", "case", "CBIS"),
        ("BCSS/TCGA-A2-A04P-DX1_xmin45749_ymin25055_MPP-0.2500.png", "patient", "NuCLS"),
        ("test/9043e39c8e52843751e7cc9edc2c02e6.dicom", "name", "VinBig"),
    ],
)  # fmt: skip
def test_every_kind_of_identifier_is_found(official, name, kind, folder):
    found = find_overlap([name], official)
    assert [(m.kind, m.folder, m.sure) for m in found.matches] == [(kind, folder, True)]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("100.png", "Dental"),
        ("volume-106.nii", "0_SSL_LiTS"),
        ("imagesTr/spleen_10.nii.gz", "MSD"),
        ("train/10003_left.jpeg", "EyePACS"),
        ("images/case_00154.nii.gz", "KiTS19"),
        ("crop_101.png", "Dental"),
    ],
)
def test_short_names_are_unsure_unless_the_set_is_known(official, name, folder):
    unsure = find_overlap([name], official)
    assert unsure.seen == ()
    assert unsure.by_list(sure=False) == {folder: 1}
    assert find_overlap([name], official, frozenset({folder})).by_list() == {folder: 1}
    assert find_overlap([name], official, frozenset({"ISIC"})).seen == ()


@pytest.mark.parametrize(
    "name",
    [
        "", "/", ".", "images", "Task09_Spleen/imagesTr/spleen_11.nii.gz", "ISIC_0024483.jpg", "OPC-00544/a/b/1-1.dcm",
        "1-007.dcm", "camelyonpatch_level_2_split_train_x.h5", "Default split", "imaging.nii.gz", f"{UID}7.mhd",
    ],
)  # fmt: skip
def test_what_was_not_seen_is_not_reported(official, name):
    assert find_overlap([name], official).matches == ()


def test_lists_without_names_are_told(official):
    assert official.nameless == ("Camelyon", "OCT")
    assert official.counts["CBIS"] == 1
    assert official.counts["MSD"] == 1


def disjoint_names(count: int, seed: int) -> list[str]:
    """Names of all kinds that public sets have, from one seed; those of two seeds share nothing."""
    rng = random.Random(seed)
    site = 10_000_000 * (seed + 1)
    kinds = (
        lambda n: f"{uuid.UUID(int=rng.getrandbits(128))}.jpg",
        lambda n: f"ISIC_{site + n}.jpg",
        lambda n: f"PAT-{site + n}/01-02-2003-CT-{n}/{n}.000000-AX-{seed}/1-{n % 300:03d}.dcm",
        lambda n: f"{rng.getrandbits(128):032x}.png",
        lambda n: f"class{n % 5}_{rng.getrandbits(64):016x}.png",
        lambda n: f"case_{site + n}/imaging.nii.gz",
        lambda n: f"1.3.6.1.4.1.{site}.{n}.{rng.getrandbits(90)}.mhd",
        lambda n: f"Brats18_SITE{seed}_{site + n}_1",
    )
    return [kinds[n % len(kinds)](n) for n in range(count)]


def test_disjoint_sets_of_100_000_names_have_nothing_in_common_within_seconds(tmp_path):
    folder = tmp_path / "lvm-med-training-data" / "set"
    folder.mkdir(parents=True)
    listed, others = disjoint_names(100_000, 0), disjoint_names(100_000, 1)
    (folder / "file_list.txt").write_text("\n".join(listed))
    start = time.process_time()
    official = read_official(tmp_path)
    found = find_overlap(others, official)
    assert found.matches == ()
    assert found.total == 100_000
    planted = find_overlap([*others[:1000], *listed[:500]], official)
    assert time.process_time() - start < 20
    assert len(planted.seen) == 500


@pytest.mark.parametrize(
    ("name", "least"),
    [("isic_0024763", 7), ("0339a2f7-65bb-41fb-8650-e119670b4e2e", 7), ("case_00154/imaging", 7), ("chncxr_0002_0", 7)],
)
def test_identifiers_are_strong(name, least):
    assert strength(name) >= least


@pytest.mark.parametrize("name", ["100", "spleen_10", "1-001", "im0400", "image_12", "10003_left", "", "mask"])
def test_counters_are_weak(name):
    assert strength(name) < 7


def test_parts_have_one_form():
    assert parts_of("C:\\Data\\A.B.nii.GZ ") == ["c:", "data", "a.b"]
    assert parts_of("./x//1.2.840.10008.dcm") == ["x", "1.2.840.10008"]


def test_related_lists_are_those_of_the_card_and_of_shared_patients():
    paper = {"folder": "0_SSL_LUNA"}
    cards = {
        "luna": read_object(card_of("luna", paper=paper, shares_patients_with=["lidc"]), "pretraining"),
        "lidc": read_object(card_of("lidc", shares_patients_with=["luna"]), "downstream"),
    }
    assert related_folders(cards["luna"], cards) == {"0_SSL_LUNA"}
    assert related_folders(cards["lidc"], cards) == {"0_SSL_LUNA"}


def test_a_folder_without_lists_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="clone of"):
        read_official(tmp_path)
