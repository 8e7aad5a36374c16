"""Results on disk: all of a run's files, each whole, or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from lvm_med_monai.apps.deploy.identifiers import check_identifiers
from lvm_med_monai.apps.deploy.problems import DeployError


def write_results(results: Sequence[Dataset], sources: Sequence[Dataset], folder: Path) -> list[Path]:
    """Check and write results.

    Nothing is written unless every result passes `check_identifiers`. Files get their names when all of them are
    complete; if that fails, those of this run are removed.

    Args:
        results: DICOM objects.
        sources: reduced headers of the files of the source series.
        folder: made if it is missing.

    Returns:
        Paths, ``<SOPInstanceUID>.dcm``.

    Raises:
        DeployError: a result names something else than its source, or the folder cannot be written.
    """
    for result in results:
        check_identifiers(result, sources)
    paths = [folder / f"{result.SOPInstanceUID}.dcm" for result in results]
    partial = [path.with_name(path.name + ".partial") for path in paths]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        for result, path in zip(results, partial, strict=True):
            result.save_as(path, enforce_file_format=True)
        for source, target in zip(partial, paths, strict=True):
            os.replace(source, target)
    except BaseException as error:
        for path in (*partial, *paths):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    return paths


def _unwritable(folder: Path, error: OSError) -> DeployError:
    return DeployError(f"{folder} cannot be written ({type(error).__name__}); check the disk and its rights")
