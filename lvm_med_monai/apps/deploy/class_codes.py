"""Coded concepts for the class names of bundles, as DICOM SEG and SR ask for them."""

from __future__ import annotations

import re
from hashlib import sha256

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SCHEME = "99LVMMED"
"""Designator of our own codes; PS3.3 section 8.2 has private ones begin with 99."""
CODE_LENGTH = 16
"""Characters of a code value."""
ANATOMY = {
    "aorta": "Aorta",
    "ascending aorta": "AscendingAorta",
    "brain": "Brain",
    "breast": "Breast",
    "clavicle": "Clavicle",
    "gallbladder": "Gallbladder",
    "heart": "Heart",
    "left atrium": "LeftAtrium",
    "left ventricle": "LeftVentricle",
    "left ventricle myocardium": "LeftVentricleMyocardium",
    "liver": "Liver",
    "lung": "Lung",
    "myocardium": "LeftVentricleMyocardium",
    "optic disc": "OpticDiscStructure",
    "pancreas": "Pancreas",
    "prostate": "Prostate",
    "pulmonary artery": "PulmonaryArtery",
    "right atrium": "RightAtrium",
    "right ventricle": "RightVentricle",
    "spleen": "Spleen",
    "stomach": "Stomach",
    "vessel": "BloodVessel",
}
"""Class name -> keyword of pydicom's SNOMED CT dictionary."""
FINDINGS = {
    "breast lesion": "Lesion",
    "edema": "Edema",
    "lesion": "Lesion",
    "necrosis": "Necrosis",
    "nodule": "Nodule",
    "polyp": "PolypOfColon",
    "skin lesion": "SkinLesion",
    "tumor": "Neoplasm",
    "tumour": "Neoplasm",
    "whole tumor": "Neoplasm",
}
"""The same for what is not normal."""
ABNORMAL_WORDS = re.compile(
    r"tumou?r|lesion|edema|oedema|necro|polyp|nodul|mass|cancer|carcinoma|benign|malignant|lump"
)


def words(name: str) -> str:
    """A class name in plain words: lower case, spaces for underscores and hyphens."""
    return " ".join(re.split(r"[\s_-]+", name.strip().lower()))


def concept(name: str) -> CodedConcept:
    """Code of a class: SNOMED CT where the name is known, else a private one with the name as its meaning."""
    plain = words(name)
    keyword = ANATOMY.get(plain) or FINDINGS.get(plain)
    if keyword:
        return CodedConcept.from_code(getattr(codes.SCT, keyword))
    return private_concept(plain)


def private_concept(meaning: str) -> CodedConcept:
    """A code of our own, made of the words; a longer one than DICOM's SH takes ends in a digest, so it stays unique."""
    value = re.sub(r"[^A-Z0-9]+", "_", meaning.upper()).strip("_") or "UNNAMED"
    if len(value) > CODE_LENGTH:
        value = f"{value[: CODE_LENGTH - 5]}_{sha256(meaning.encode()).hexdigest()[:4].upper()}"
    return CodedConcept(value, SCHEME, meaning[:64])


def category(name: str) -> Code:
    """SEG's property category of a class: an abnormal structure or an anatomical one."""
    plain = words(name)
    abnormal = plain in FINDINGS or (plain not in ANATOMY and ABNORMAL_WORDS.search(plain))
    return codes.SCT.MorphologicallyAbnormalStructure if abnormal else codes.SCT.AnatomicalStructure
