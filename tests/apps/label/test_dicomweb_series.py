"""Series that are no single volume, asked for through a DICOMweb server: each is refused with its reason."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import requests
from dicom_series import complete_series
from running import DATA, ORTHANC, label_server, orthanc_server

from tests.apps.label.known import brighter_than_half

MODEL = "abdominal_organ_ct_segmentation"
ROOT_UID = "1.2.826.0.1.3680043.8.498.77"
PATIENT = "Roe-4711"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(ORTHANC).exists(), reason="needs Orthanc: apt-get install orthanc orthanc-dicomweb"),
]
CASES = ("whole", "sizes", "planes", "cut", "report", "magnetic")


def made(slices: list[pydicom.Dataset], case: str) -> list[pydicom.Dataset]:
    """Four slices as a series of their own, with what the case is about."""
    for number, item in enumerate(slices):
        item.SeriesInstanceUID = uid_of(case)
        item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = f"{uid_of(case)}.{number}"
    last = slices[-1]
    if case == "sizes":
        last.PixelData = last.PixelData[: len(last.PixelData) // 2]
        last.Rows //= 2
    if case == "planes":
        last.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    if case == "cut":
        last.PixelData = last.PixelData[: len(last.PixelData) // 4 * 2]
    if case == "report":
        slices = slices[:1]
        del slices[0].PixelData
        slices[0].SOPClassUID = slices[0].file_meta.MediaStorageSOPClassUID = REPORT
    if case == "magnetic":
        for item in slices:
            item.Modality = "MR"
    return slices


def uid_of(case: str) -> str:
    return f"{ROOT_UID}.{CASES.index(case) + 1}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("orthanc")


@pytest.fixture(scope="module")
def annotating(folder: Path) -> Iterator[str]:
    """MONAI Label on an Orthanc that holds one series a case."""
    files = complete_series(DATA / "abdomen_ct_dicom" / "series", folder / "series", PATIENT)[:4]
    bundle = brighter_than_half(folder, MODEL)
    with orthanc_server(folder) as address:
        for case in CASES:
            for item in made([pydicom.dcmread(file) for file in files], case):
                item.save_as(folder / "one.dcm", write_like_original=False)
                sent = requests.post(f"{address}/instances", data=(folder / "one.dcm").read_bytes(), timeout=60)
                sent.raise_for_status()
        arguments = ["--studies", f"{address}/dicom-web", "--bundles", str(bundle)]
        with label_server(arguments, folder / "label.txt") as label:
            yield label
        assert PATIENT not in (folder / "label.txt").read_text()


def remaining(folder: Path) -> list[str]:
    """Images that stay among the temporary files of a running server, which removes them after its answer."""
    ends = (".dcm", ".nii.gz", ".nrrd", ".png")
    end = time.monotonic() + 10
    while True:
        found = [path.name for path in folder.glob("tmp-*/monailabel-*/received/**/*") if path.name.endswith(ends)]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def ask(server: str, case: str) -> requests.Response:
    return requests.post(f"{server}/infer/{MODEL}?image={uid_of(case)}&output=image", timeout=120)


def test_a_whole_series_is_answered(annotating: str, tmp_path: Path) -> None:
    answer = ask(annotating, "whole")
    assert answer.status_code == 200, answer.text
    (tmp_path / "mask.nii.gz").write_bytes(answer.content)
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    assert mask.shape[2] == 4
    assert 0 < (np.asarray(mask.dataobj) == 1).mean() < 1


@pytest.mark.parametrize(
    ("case", "status", "reason"),
    [
        ("sizes", 422, "several sizes (Rows)"),
        ("planes", 422, "several planes"),
        ("cut", 422, "cut off"),
        ("report", 422, "holds no pictures: Basic Text SR Storage"),
        ("magnetic", 404, "there is no image"),
    ],
)
def test_other_series_are_refused(annotating: str, case: str, status: int, reason: str) -> None:
    answer = ask(annotating, case)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("names", "status"),
    [
        ([{"name": "liver", "idx": 1}], 200),
        ([{"name": "spleen", "idx": 2}], 422),
        ([5], 422),
        ([{"name": "liver", "idx": 1, "color": 5}], 422),
    ],
    ids=["named", "not named", "no objects", "no colour"],
)
def test_no_copy_is_left_behind(annotating: str, folder: Path, tmp_path: Path, names: list[Any], status: int) -> None:
    answer = requests.post(
        f"{annotating}/infer/{MODEL}?image={uid_of('whole')}&output=dicom_seg",
        data={"params": json.dumps({"label_info": names})},
        timeout=120,
    )
    assert answer.status_code == status, answer.text
    if status == 200:
        (tmp_path / "seg.dcm").write_bytes(answer.content)
        assert pydicom.dcmread(tmp_path / "seg.dcm").Modality == "SEG"
    assert remaining(folder) == []


def test_what_is_sent_and_refused_is_not_kept(annotating: str, folder: Path) -> None:
    answer = requests.post(f"{annotating}/infer/{MODEL}", files={"file": ("a.nii.gz", b"junk")}, timeout=120)
    assert answer.status_code == 422, answer.text
    sent = requests.put(f"{annotating}/datastore/image?image=a", files={"file": ("a.nii.gz", b"junk")}, timeout=60)
    assert (sent.status_code, "send them there" in sent.text) == (404, True)
    assert remaining(folder) == []


def test_clients_and_the_log_are_not_told_the_patient(annotating: str) -> None:
    chosen = requests.post(f"{annotating}/activelearning/first", json={}, timeout=120)
    assert chosen.status_code == 200, chosen.text
    assert PATIENT not in chosen.text
    noted = requests.get(f"{annotating}/datastore/?output=all", timeout=60)
    assert PATIENT not in noted.text
