"""Fills in identifiers that a de-identifier left empty.

Results refer to their source by UIDs; some de-identifiers blank them instead of replacing them. This writes a copy of a
folder that holds one series, with a new study and series, and with the SOP class and instance of the file meta
information: ``python -m lvm_med_monai.apps.deploy.complete_series IN OUT``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from lvm_med_monai.apps.deploy.console import speaking
from lvm_med_monai.apps.deploy.folder import read_folder, without_twins
from lvm_med_monai.apps.deploy.problems import DeployError


def complete_series(source: Path, output: Path) -> list[Path]:
    """Copy DICOM images, with new identifiers where they are empty; what has a value keeps it.

    Args:
        source: folder with one series.
        output: a new folder.

    Returns:
        The files written.

    Raises:
        DeployError: no DICOM images, one that is damaged or does not say what kind of image it is, or an output that
            exists or lies in the source; nothing is left then.
    """
    if output.exists():
        raise DeployError(f"{output} exists; give a new folder")
    if output.resolve().is_relative_to(source.resolve()):
        raise DeployError(f"{output} lies in {source}, so that another run would copy the copies; give another folder")
    files = sorted({frame.image.path for frame in without_twins(read_folder(source)[0])[0]})
    if not files:
        raise DeployError(f"{source} holds no DICOM images")
    new = {
        keyword: generate_uid(prefix=None)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    }
    output.mkdir(parents=True)
    try:
        return [_complete(file, output / f"{number:05d}.dcm", new) for number, file in enumerate(files, 1)]
    except BaseException as error:
        shutil.rmtree(output)
        if isinstance(error, OSError):
            raise DeployError(f"{output} cannot be written ({type(error).__name__}); check the disk") from error
        raise


def _complete(file: Path, target: Path, new: dict[str, str]) -> Path:
    dataset = pydicom.dcmread(file, force=True)
    meta = dataset.file_meta
    known = {
        "SOPClassUID": meta.get("MediaStorageSOPClassUID"),
        "SOPInstanceUID": meta.get("MediaStorageSOPInstanceUID") or generate_uid(prefix=None),
    }
    placed = _has_positions(dataset)
    for keyword, value in {**known, **new}.items():
        needed = keyword != "FrameOfReferenceUID" or placed
        if value and needed and not dataset.get(keyword):
            setattr(dataset, keyword, value)
    if not dataset.get("SOPClassUID"):
        raise DeployError(
            f"{file.name} has no SOPClassUID, and the kind of image cannot be made up; have the sender export it again"
        )
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target, enforce_file_format=True)
    return target


def _has_positions(dataset: Dataset) -> bool:
    """Whether the file, or a functional group of it, says where a frame lies."""
    groups = [
        group
        for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
        for group in dataset.get(keyword) or ()
    ]
    planes = [plane for group in groups for plane in group.get("PlanePositionSequence") or ()]
    return any("ImagePositionPatient" in holder for holder in (dataset, *planes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Copy a DICOM series and fill in identifiers that are empty.")
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    try:
        with speaking():
            written = complete_series(options.source, options.output)
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{len(written)} files in {options.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
