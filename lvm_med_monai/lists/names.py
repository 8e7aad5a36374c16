"""Names of samples, brought to one form: what identifies a sample, and how surely."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lvm_med_monai.lists.samples import stem_of

STRONG = 7
"""Strength at which a name counts as one that two sets do not have by chance; see `strength`."""
WEAK = 6
"""Strength that a name needs to be told by what follows a class in it; less is a mere counter."""
LONG_NUMBER = 12
"""Digits that make a bare number an identifier."""
MAX_FOLDERS = 16
"""Parts of a path that are looked at, from its end."""
_WORDS = """
    image images img imgs imaging im picture photo file frame frames crop patch sample data dataset study series session
    case cases patient pat subject sub subj anon volume vol scan slice axial coronal sagittal left right
    label labels mask masks seg segmentation gt train training test testing val valid validation
    ct mr mri pet us xr cxr xray oct flair dwi adc normal abnormal benign malignant positive negative
    tumor tumour lesion nodule polyp cell brain heart liver lung chest pancreas prostate spleen colon kidney
    hepatic vessel hepaticvessel bone breast skin eye retina knee hip head neck abdomen pelvis spine hc"""
GENERIC = frozenset(_WORDS.split())
"""Words that say nothing of where a name comes from."""
_CLASS_PREFIX = re.compile(r"(?:[0-9]|[a-z][a-z-]{1,23})_(?=.)")
_CLASS_SUFFIX = re.compile(r"_(?:ad|cn|mci|lmci|emci|smc|nc)$")
_MARKS = (
    "downsampled|resized?|small|copy|dup(?:licate)?|aug(?:mented)?|flip(?:ped)?(?:lr|ud)?|[hv]flip|rot(?:ated?)?"
    "|crop(?:ped)?|noisy?|noise|blur(?:red)?|bright(?:ness)?|gamma|jitter|scaled?"
)
_AUGMENTED_SUFFIX = re.compile(rf"(?:[-_ .](?:{_MARKS})(?:[-_ ]?[0-9]{{1,3}})?|[ _]?\([0-9]{{1,2}}\))+$")
_AUGMENTED_PREFIX = re.compile(rf"^(?:(?:{_MARKS})(?:[-_ ]?[0-9]{{1,3}})?[-_ ])+(?=.)")
_AUGMENTED = re.compile(
    r"downsampl|resize|small|copy|dup|aug|flip|rot|crop|nois|blur|bright|gamma|jitter|scale|\([0-9]"
)
"""What every mark of augmentation holds; most names do not, and need no closer look."""
_YEAR_OF_CHALLENGE = re.compile(r"^(brats)(?:20)?[0-9]{2}_")
_ADNI_IMAGE = re.compile(r"^(?:adni_.*_)?(i[0-9]{4,})(?:_(?:ad|cn|mci))?$")
_TCGA = re.compile(r"tcga-[a-z0-9]{2}-[a-z0-9]{4}")
_HEX = re.compile(r"[0-9a-f]{8,}")


def strength(name: str) -> int:
    """How surely a name identifies: its digits, 3 for each word of its own, 1 for each generic word.

    Runs of at least eight hexadecimal signs count as digits. Bare numbers shorter than `LONG_NUMBER` have none, and
    barcodes of The Cancer Genome Atlas have enough.

    Example:
        >>> strength("isic_0024763"), strength("chncxr_0002_0"), strength("case_00154"), strength("100")
        (10, 8, 6, 0)
    """
    if _TCGA.match(name):
        return LONG_NUMBER
    if name.isdigit() and len(name) < LONG_NUMBER:
        return 0
    hexadecimal = [run for run in _HEX.findall(name) if any(sign.isdigit() for sign in run)]
    rest = _HEX.sub(" ", name) if hexadecimal else name
    words = re.findall(r"[a-z]+", rest)
    own = sum(3 for word in words if len(word) >= 3 and word not in GENERIC)
    return sum(map(len, hexadecimal)) + sum(sign.isdigit() for sign in rest) + own + sum(w in GENERIC for w in words)


def parts_of(path: str) -> list[str]:
    r"""Folders and name of a path in one form: lower case, forward slashes, no suffixes, no ``./``.

    Example:
        >>> parts_of("./Task09_Spleen\\imagesTr/Spleen_10.NII.gz")
        ['task09_spleen', 'imagestr', 'spleen_10']
    """
    parts = [part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".")][-MAX_FOLDERS:]
    if parts:
        parts[-1] = stem_of(parts[-1])
    return [part.strip().lower() for part in parts]


def variants(name: str) -> Iterator[tuple[str, str]]:
    """Other forms under which the same sample is known, each with its kind.

    Kinds: ``class_prefix`` (a class or grade in front), ``class_suffix`` (a diagnosis behind), ``augmented`` (marks of
    copies, crops, flips and resized versions), ``renamed`` (another year of BraTS, ADNI's long names).

    Args:
        name: in the form of `parts_of`.
    """
    if found := _ADNI_IMAGE.search(name):
        yield f"adni_{found[1]}", "renamed"
    if (other := _YEAR_OF_CHALLENGE.sub(r"\1_", name)) != name:
        yield other, "renamed"
    if (other := _CLASS_SUFFIX.sub("", name)) != name:
        yield other, "class_suffix"
    plain = _AUGMENTED_PREFIX.sub("", _AUGMENTED_SUFFIX.sub("", name)) if _AUGMENTED.search(name) else name
    if plain != name and any(sign.isdigit() for sign in plain):
        yield plain, "augmented"
    for text, kind in {plain: "augmented", name: "class_prefix"}.items():
        found = _CLASS_PREFIX.match(text)
        if found and strength(text[found.end() :]) >= WEAK:
            yield text[found.end() :], kind


def patient_in(name: str) -> str | None:
    """The patient's barcode in a name of The Cancer Genome Atlas; None in any other.

    Example:
        >>> patient_in("tcga-a1-a0sk-dx1_xmin45749")
        'tcga-a1-a0sk'
    """
    found = _TCGA.match(name)
    return found[0] if found else None
