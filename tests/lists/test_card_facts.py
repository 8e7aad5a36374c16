"""What single cards state: published splits, flaws, corrections, and names of files of real downloads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lvm_med_monai.lists.globs import glob_pattern

ROOT = Path(__file__).resolve().parents[2] / "dataset_lists"
CARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("*/*.json"))}
PUBLISHED = {
    "kvasir_seg": (640, 160, 200),
    "busi": (413, 104, 130),
    "mmwhs_ct_segmentation": (13, 3, 4),
    "mmwhs_mr_segmentation": (13, 3, 4),
    "fgadr": (1500, 341, 341),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_of_the_downstream_splits(name) -> None:
    split = CARDS[name]["split"]
    assert tuple(split["published_sizes"][part] for part in ("train", "validation", "test")) == PUBLISHED[name]


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_whole_hearts_are_split_by_number(modality) -> None:
    parts = CARDS[f"mmwhs_{modality}_segmentation"]["split"]["parts"]
    assert parts["validation"] == ["1004", "1007", "1013"]
    assert parts["test"] == ["1002", "1010", "1012", "1019"]
    assert sorted(name for part in parts.values() for name in part) == [str(n) for n in range(1001, 1021)]


def test_flaws_have_a_way_around_where_the_files_allow_one() -> None:
    flawed = {name: card["split"]["safe"] for name, card in CARDS.items() if card["split"]["flaws"]}
    assert {name for name, way in flawed.items() if way is not None} == {"fgadr", "vindr_cxr"}
    assert {name for name, way in flawed.items() if way is None} == {"brain_tumour_mri", "rsna_pneumonia"}
    assert CARDS["fgadr"]["split"]["parts"]["validation"] == {"same_as": "test"}
    assert flawed["vindr_cxr"]["parts"]["test"] == "test/*"


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        *((f"msd_{task}", "MRI", ["CT"]) for task in (
            "task03_liver", "task06_lung", "task07_pancreas", "task08_hepaticvessel", "task09_spleen", "task10_colon",
        )),
        ("tcga_cesc", "Color images", ["MR"]),
        ("tcga_coad", "Color images", ["CT"]),
        ("tcga_kirc", "Color images", ["CT", "MR"]),
        ("mitoem", "MRI/CT", ["EM"]),
        ("covidx_ct", "X-ray", ["CT"]),
    ],
)  # fmt: skip
def test_the_papers_table_is_kept_as_printed_and_corrected(name, wrong, right) -> None:
    card = CARDS[name]
    assert card["paper"]["table_13"]["modality"] == wrong
    assert card["modalities"] == right
    assert card["corrections"]


@pytest.mark.parametrize(
    ("name", "path", "role", "patient"),
    [
        ("msd_task09_spleen", "imagesTr/spleen_10.nii.gz", "image", "spleen_10"),
        ("msd_task09_spleen", "labelsTr/spleen_10.nii.gz", "label", "spleen_10"),
        ("tcga_coad", "TCGA-AY-6197A/03-07-2001-CT-1/2.000000-B31s-2/1-30.dcm", "image", "TCGA-AY-6197"),
        ("luna16", "subset0/1.3.6.1.4.1.14519.5.2.1.6279.6001.1004.mhd", "image",
         "1.3.6.1.4.1.14519.5.2.1.6279.6001.1004"),
        ("brats2018", "HGG/Brats18_2013_2_1/Brats18_2013_2_1_t1ce.nii.gz", "image", "Brats18_2013_2_1"),
        ("brats2018", "LGG/Brats18_2013_0_1/Brats18_2013_0_1_seg.nii.gz", "label", "Brats18_2013_0_1"),
        ("hippseg2011", "HFH_025.hdr", "image", "HFH_025"),
        ("hippseg2011", "HFH_025_Hipp_Labels.hdr", "label", "HFH_025"),
        ("cbis_ddsm", "Mass-Training_P_00001_LEFT_CC/1.3.6/1.3.6/1-1.dcm", "image", "P_00001"),
        ("cbis_ddsm", "Mass-Training_P_00001_LEFT_CC_1/1.3.6/1.3.6/1-2.dcm", "label", "P_00001"),
        ("eyepacs", "train/10_left.jpeg", "image", "10"),
        ("hc18", "training_set/010_2HC.png", "image", "training_set/010"),
        ("hc18", "training_set/010_2HC_Annotation.png", "label", "training_set/010"),
        ("c_nmc", "C-NMC_training_data/fold_0/hem/UID_H48_7_2_hem.bmp", "image", "H48"),
        ("malaria_lhncbc", "cell_images/Parasitized/C100P61ThinF_IMG_20150918_144104_cell_166.png", "image", "C100P61"),
        ("busi", "benign/benign (1).png", "image", None),
        ("busi", "benign/benign (1)_mask_1.png", "label", None),
        ("busi", "normal/normal (1)_mask.png", None, None),
        ("drive", "test/images/01_test.tif", "image", "01"),
        ("jsrt", "JPCLN001.IMG", "image", "JPCLN001"),
        ("prostate_multisite", "BMC/Case05_Segmentation.nii.gz", "label", "BMC/Case05"),
        ("prostate_multisite", "BMC/Case05.nii.gz", "image", "BMC/Case05"),
        ("chexpert", "train/patient00001/study1/view1_frontal.jpg", "image", "patient00001"),
        ("livecell", "images/livecell_test_images/A172/A172_Phase_C7_1_02d16h00m_2.tif", "image", "A172_Phase_C7"),
        ("adni1_3t", "ADNI/002_S_0413/MPR/2006-05-02/I14437/a.nii", "image", "002_S_0413"),
    ],
)  # fmt: skip
def test_names_of_real_downloads_are_understood(name, path, role, patient) -> None:
    card = CARDS[name]
    roles = [file["role"] for file in card["layout"]["files"] if glob_pattern(file["glob"]).fullmatch(path)]
    pattern = card["patient"]["pattern"]
    found = re.search(pattern, path) if pattern else None
    assert (roles[0] if roles else None) == role
    assert (found.group(1) if found else None) == patient
