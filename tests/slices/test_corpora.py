"""Every file of pydicom and pydicom-data: equal to what pydicom decodes, or a known reject."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_testdata_file

from lvm_med_monai.slices.dicom import tags
from lvm_med_monai.slices.dicom.file import read_by_pydicom
from lvm_med_monai.slices.dicom.scanner import HEAD_BYTES, UnusualError, scan
from tests.slices.corpora import files, read, reason, reference

data_store = pytest.importorskip("data_store")

PYDICOM = Path(pydicom.__file__).parent / "data" / "test_files"
PYDICOM_DATA = Path(data_store.__file__).parent / "data"
REJECTS = {
    r"dicomdirtests/(.*/)?DICOMDIR[^/]*": "dicomdir",
    r"dicomdirtests/TINY_ALPHA/PT000000/.*": "not_image",
    r"dicomdirtests/98892001/CT2N/(6293|6924)": "localizer",
    r"(liver|liver_expb)(_1frame)?\.dcm": "not_image",
    r"(rtdose.*|rtplan.*|rtstruct|test-SR|reportsi.*|waveform_ecg|badVR)\.dcm": "not_image",
    r"(ExplVR_(Big|Lit)EndNoMeta|UN_sequence|priv_SQ|empty_charset_LEI|no_meta_group_length)\.dcm": "not_image",
    r"(meta_missing_tsyntax|nested_priv_SQ)\.dcm": "corrupt",
    r"MR_truncated\.dcm": "truncated",
    r"JPEG2000-embedded-sequence-delimiter\.dcm": "corrupt",
    r"(.*/)?(README(\.txt)?|.*\.dump|.*\.json|.*\.icc|zipMR\.gz|no_meta\.dcm)": "unrecognised",
}
"""Files of pydicom and pydicom-data that give no slice, and the reason."""
SAME_AS = {
    "emri_small_jpeg_2k_lossless_too_short.dcm": "emri_small.dcm",
    "OBXXXX1A_expb.dcm": "OBXXXX1A.dcm",
    "OBXXXX1A_expb_2frame.dcm": "OBXXXX1A_2frame.dcm",
}
"""Files that the reference cannot read (the first), or whose palette it reads in the wrong byte order."""
BY_ITK = ("JPEG-lossy.dcm", "JPGExtended.dcm")
"""JPEG of 12 bits, which pydicom's decoders cannot read."""
EQUAL = [
    ("RG1_UNCR", "RG1_J2KR"),
    ("RG1_UNCI", "RG1_J2KI"),
    ("RG3_UNCR", "RG3_J2KR"),
    ("MR2_UNCR", "MR2_J2KR"),
    ("US1_UNCR", "US1_J2KR"),
    ("693_UNCR", "693_J2KR"),
    ("OBXXXX1A", "OBXXXX1A_rle", "OBXXXX1A_expb"),
    ("gdcm-US-ALOKA-16", "gdcm-US-ALOKA-16_big"),
    (
        "emri_small",
        "emri_small_RLE",
        "emri_small_big_endian",
        "emri_small_jpeg_ls_lossless",
        "emri_small_jpeg_2k_lossless",
    ),
    (
        "MR_small",
        "MR_small_RLE",
        "MR_small_bigendian",
        "MR_small_expb",
        "MR_small_implicit",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "MR_small_padded",
    ),
]
"""Groups of files that hold the same pixels in several encodings."""


CASES = [(root, name) for root in (PYDICOM, PYDICOM_DATA) for name in files(root)]


def multiset(frames: Any, dtype: Any) -> list[bytes]:
    """Frames without their order, which other tests check."""
    return sorted(np.ascontiguousarray(np.asarray(frame).astype(dtype)).tobytes() for frame in frames)


@cache
def decoded(name: str) -> np.ndarray:
    path = get_testdata_file(f"{name}.dcm", download=False)
    assert path is not None, f"{name} is in neither pydicom nor pydicom-data"
    (stack,), rejects = read(Path(path))
    assert not rejects
    return stack.array()


@pytest.mark.parametrize(("root", "name"), CASES, ids=[f"{root.parent.name}-{name}" for root, name in CASES])
def test_dicom_file(root: Path, name: str) -> None:
    path = root / name
    expected = next((reason for pattern, reason in REJECTS.items() if re.fullmatch(pattern, name)), None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert reason(path) == expected
    assert not caught, "pydicom's warnings quote values"
    if expected is not None:
        return
    stacks, _ = read(path)
    assert {source for stack in stacks for source in stack.sources} == {path}
    frames = [frame for stack in stacks for frame in stack.array()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in BY_ITK:
            truth = list(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
        else:
            truth = list(reference(root / SAME_AS.get(name, name)))
    assert multiset(frames, stacks[0].dtype) == multiset(truth, stacks[0].dtype)


@pytest.mark.parametrize("names", EQUAL, ids=lambda names: names[0])
def test_equal_pixels_in_several_encodings(names: tuple[str, ...]) -> None:
    first = decoded(names[0])
    assert first.std() > 0
    for name in names[1:]:
        assert np.array_equal(first, decoded(name)), name


def test_every_reject_is_there() -> None:
    """No pattern is left over from files that are gone."""
    names = [name for _, name in CASES]
    assert len(names) >= 150
    assert all(any(re.fullmatch(pattern, name) for name in names) for pattern in REJECTS)


def test_scanner_agrees_with_pydicom() -> None:
    """The fast pass over headers finds the values, and the place of the pixels, that pydicom finds."""
    scanned = 0
    for root, name in CASES:
        path = root / name
        with path.open("rb", buffering=0) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fast = scan(file, file.read(HEAD_BYTES))
            except UnusualError:
                continue
            scanned += 1
            slow = read_by_pydicom(path, tags.WANTED)
            assert (fast.syntax, fast.media_class, fast.size) == (slow.syntax, slow.media_class, slow.size), name
            assert fast.pixels is not None
            assert slow.pixels is not None
            assert (fast.pixels.tag, fast.pixels.offset) == (slow.pixels.tag, slow.pixels.offset), name
            for tag in tags.WANTED:
                assert fast.attributes.value(tag) == slow.attributes.value(tag), (name, hex(tag))
    assert scanned > 80
