"""What annotators are to work on: a folder of images, or a DICOMweb server."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Files of a studies folder that MONAI Label offers, by the end of the name; it tells formats by that alone."""
LOSSY = (".jpg", ".jpeg")
"""Formats in which a mask would not come back as it was."""
_SECONDS = 5


def is_dicomweb(studies: str) -> bool:
    """Whether studies lie on a server."""
    return studies.startswith(("http://", "https://"))


def check_studies(studies: str) -> str:
    """Check before the server starts: MONAI Label itself would make a folder that does not exist, and serve nothing.

    Args:
        studies: folder, or address of a DICOMweb server such as ``http://127.0.0.1:8042/dicom-web``.

    Returns:
        The address, or the folder's absolute path.

    Raises:
        FileNotFoundError: the folder does not exist or holds no image that MONAI Label offers.
        NotADirectoryError: it is a file.
        ValueError: two images have one id.
        ConnectionError: the server does not answer as DICOMweb.
    """
    if is_dicomweb(studies):
        _ask(studies.rstrip("/"))
        return studies.rstrip("/")
    folder = Path(studies)
    if not folder.exists():
        raise FileNotFoundError(f"the studies folder {studies} does not exist")
    if not folder.is_dir():
        raise NotADirectoryError(f"--studies {studies} is a file: give the folder that holds the images")
    names = [path.name for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(EXTENSIONS)]
    if not names:
        raise FileNotFoundError(
            f"the studies folder {studies} holds no image: files must end in {', '.join(EXTENSIONS)} and lie in it, "
            "not in folders below it. DICOM is served from a DICOMweb server such as Orthanc"
        )
    _check_ids(sorted(names))
    return str(folder.resolve())


def id_and_end(file: str) -> tuple[str, str]:
    """Id of an image, and the end of its file's name, which may be in capitals; no end if it is none of `EXTENSIONS`.

    Example:
        >>> id_and_end("J. Doe.NII.gz")
        ('J. Doe', '.NII.gz')
    """
    end = next((end for end in EXTENSIONS if file.lower().endswith(end)), "")
    return (file[: -len(end)], file[-len(end) :]) if end else (file, "")


def _check_ids(names: Sequence[str]) -> None:
    """MONAI Label offers one of several files with an id, and says nothing of the others."""
    by_id: dict[str, str] = {}
    for name in names:
        image, _ = id_and_end(name)
        other = by_id.setdefault(image, name)
        if other != name:
            raise ValueError(f"{other} and {name} have one id, {image!r}: rename one")


def _ask(server: str) -> None:
    request = urllib.request.Request(f"{server}/studies?limit=1", headers={"Accept": "application/dicom+json"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            answer.read()
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(f"{server} does not answer as a DICOMweb server ({reason})") from error
