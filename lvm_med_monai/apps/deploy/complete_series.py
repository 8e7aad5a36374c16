"""Fills in identifiers that a de-identifier left empty.

Results refer to their source by UIDs; some de-identifiers blank them instead of replacing them. This writes a copy of a
folder that holds one series, with a new study and series, and with the SOP class and instance of the file meta
information: ``python -m lvm_med_monai.apps.deploy.complete_series IN OUT``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

from lvm_med_monai.apps.deploy.problems import DeployError
from lvm_med_monai.slices.inputs.detect import first_bytes, kind_of
from lvm_med_monai.slices.inputs.walk import list_files


def complete_series(source: Path, output: Path) -> list[Path]:
    """Copy DICOM files, with new identifiers where they are empty; what has a value keeps it.

    Args:
        source: folder with one series.
        output: a new folder.

    Returns:
        The files written.

    Raises:
        DeployError: no DICOM files, or the output exists.
    """
    if output.exists():
        raise DeployError(f"{output} exists; give a new folder")
    try:
        files = [file for file in list_files(source)[0] if kind_of(file, first_bytes(file)) == "dicom"]
    except (FileNotFoundError, ValueError):
        files = []
    if not files:
        raise DeployError(f"{source} holds no DICOM files")
    new = {
        keyword: generate_uid(prefix=None)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    }
    output.mkdir(parents=True)
    return [_complete(file, output / f"{number:05d}.dcm", new) for number, file in enumerate(files, 1)]


def _complete(file: Path, target: Path, new: dict[str, str]) -> Path:
    dataset = pydicom.dcmread(file, force=True)
    meta = dataset.file_meta
    known = {
        "SOPClassUID": meta.get("MediaStorageSOPClassUID"),
        "SOPInstanceUID": meta.get("MediaStorageSOPInstanceUID") or generate_uid(prefix=None),
    }
    placed = "ImagePositionPatient" in dataset
    for keyword, value in {**known, **new}.items():
        needed = keyword != "FrameOfReferenceUID" or placed
        if value and needed and not dataset.get(keyword):
            setattr(dataset, keyword, value)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target, enforce_file_format=True)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Copy a DICOM series and fill in identifiers that are empty.")
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    try:
        written = complete_series(options.source, options.output)
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{len(written)} files in {options.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
