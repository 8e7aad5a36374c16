"""A CT series in Orthanc: the model's DICOM SEG is sound and lies on the liver, and OHIF shows its mask."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import requests
import SimpleITK
from dicom_series import SERIES, STUDY, complete_series
from monai.bundle import run
from nibabel.processing import resample_from_to
from running import DATA, ORTHANC, ROOT, label_server, orthanc_server

from lvm_med_monai.bundles.package import package

MODEL = "abdominal_organ_ct_segmentation"
NAMES = ("liver", "spleen", "stomach", "aorta")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(ORTHANC).exists(), reason="needs Orthanc: apt-get install orthanc orthanc-dicomweb"),
]


@pytest.fixture(scope="module")
def liver_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute's training on the very scan: what is tested is where masks lie, not what a network can learn."""
    folder = tmp_path_factory.mktemp("liver")
    files = complete_series(DATA / "abdomen_ct_dicom" / "series", folder / "series")
    scan = SimpleITK.ReadImage([str(file) for file in files])
    SimpleITK.WriteImage(scan, str(folder / "ct.nii.gz"))
    entry = {"image": str(folder / "ct.nii.gz"), "label": str(DATA / "abdomen_ct_dicom" / "organs.nii.gz")}
    (folder / "dataset.json").write_text(json.dumps({"training": [entry], "validation": [entry]}))
    bundle = ROOT / "bundles" / MODEL
    sizes = {"depth": 18, "width": 32, "pixel_mm": 4.0, "image_size": [96, 96]}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    run(
        config_file=[str(bundle / "configs" / "train.json"), str(folder / "sizes.json")],
        logging_file=str(bundle / "configs" / "logging.conf"),
        bundle_root=str(bundle),
        dataset_dir=str(folder),
        run_dir=str(folder / "run"),
        epochs=1,
        epoch_length=40,
        val_interval=1,
        warmup_steps=5,
        learning_rate=0.002,
        progress=False,
    )
    shutil.copytree(bundle, folder / "copy" / MODEL, ignore=shutil.ignore_patterns("runs", "models"))
    shutil.copyfile(folder / "sizes.json", folder / "copy" / MODEL / "configs" / "sizes.json")
    return package(folder / "copy" / MODEL, folder / MODEL, folder / "run" / "model.pt", ["sizes.json"])


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Orthanc on loopback, holding the demo's CT series."""
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc_server(folder) as address:
        for file in complete_series(DATA / "abdomen_ct_dicom" / "series", folder / "series"):
            requests.post(f"{address}/instances", data=file.read_bytes(), timeout=60).raise_for_status()
        yield f"{address}/dicom-web"


@pytest.fixture(scope="module")
def annotating(tmp_path_factory: pytest.TempPathFactory, orthanc: str, liver_model: Path) -> Iterator[str]:
    log = tmp_path_factory.mktemp("label") / "log.txt"
    with label_server(["--studies", orthanc, "--bundles", str(liver_model)], log, port=8000) as address:
        yield address


def liver_of(grid: nibabel.Nifti1Image) -> np.ndarray:
    known = nibabel.load(DATA / "abdomen_ct_dicom" / "organs.nii.gz")
    return np.asarray(resample_from_to(known, grid, order=0).dataobj) == 5


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def test_the_mask_lies_on_the_liver(annotating: str, tmp_path: Path) -> None:
    answer = requests.post(f"{annotating}/infer/{MODEL}?image={SERIES}&output=image", timeout=300)
    assert answer.status_code == 200, answer.text
    (tmp_path / "mask.nii.gz").write_bytes(answer.content)
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    assert dice(np.asarray(mask.dataobj) == 1, liver_of(mask)) > 0.5


def test_the_dicom_seg_is_sound_and_lies_on_the_liver(annotating: str, tmp_path: Path) -> None:
    info = [{"name": name, "idx": value} for value, name in enumerate(NAMES, start=1)]
    answer = requests.post(
        f"{annotating}/infer/{MODEL}?image={SERIES}&output=dicom_seg",
        data={"params": json.dumps({"label_info": info})},
        timeout=300,
    )
    assert answer.status_code == 200, answer.text
    file = tmp_path / "seg.dcm"
    file.write_bytes(answer.content)
    report = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr
    assert "Error" not in report, report
    item = pydicom.dcmread(file)
    segments = {segment.SegmentLabel: segment.SegmentNumber for segment in item.SegmentSequence}
    assert "liver" in segments
    codes = {segment.SegmentLabel: segment.SegmentedPropertyTypeCodeSequence[0] for segment in item.SegmentSequence}
    assert codes["liver"].CodeValue == "10200004"
    assert item.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    assert (item.PatientID, item.StudyInstanceUID) == ("DEMO", STUDY)
    assert dice(*frames_and_truth(item, segments["liver"])) > 0.5


def frames_and_truth(item: pydicom.Dataset, segment: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of one segment, and the known liver on the same pixels."""
    known = nibabel.load(DATA / "abdomen_ct_dicom" / "organs.nii.gz")
    to_ras = np.diag([-1, -1, 1, 1])
    shared = item.SharedFunctionalGroupsSequence[0]
    rows, columns = shared.PixelMeasuresSequence[0].PixelSpacing
    along_row, along_column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    marked, truth = [], []
    for frame, group in zip(item.pixel_array, item.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber != segment:
            continue
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = along_row * columns, along_column * rows
        affine[:3, 2] = np.cross(along_row, along_column)
        affine[:3, 3] = position
        grid = ((*frame.T.shape, 1), to_ras @ affine)
        marked.append(frame.T > 0)
        truth.append(np.asarray(resample_from_to(known, grid, order=0).dataobj)[..., 0] == 5)
    return np.array(marked), np.array(truth)


def test_an_empty_answer_makes_no_dicom_seg_under_a_wrong_name(annotating: str) -> None:
    answer = requests.post(
        f"{annotating}/infer/{MODEL}?image={SERIES}&output=dicom_seg",
        data={"params": json.dumps({"label_info": [{"name": "spleen", "idx": 2}]})},
        timeout=300,
    )
    assert answer.status_code == 422
    assert "label_info" in answer.text


def test_a_series_that_orthanc_does_not_hold_is_refused(annotating: str) -> None:
    assert requests.post(f"{annotating}/infer/{MODEL}?image=1.2.3&output=json", timeout=60).status_code == 404


def test_ohif_shows_the_mask(annotating: str, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="needs playwright: pip install playwright")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    script = ROOT / "tools" / "ohif_screenshot.py"
    output = tmp_path / "ohif.png"
    command = [sys.executable, script, "--study", STUDY, "--model", MODEL, "--output", output]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert output.stat().st_size > 20_000
