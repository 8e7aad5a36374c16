"""Pixel files that a header names, for formats that keep the two apart."""

from __future__ import annotations

from pathlib import Path

from lvm_med_monai.slices.stack import Reject

HEADER_BYTES = 1 << 16
"""How far a text header is searched for the name of its pixel file."""
INSIDE = ("", "local")
"""What MetaImage writes in place of a name when the pixels follow the header."""


def companions(path: Path) -> tuple[Path, ...] | Reject:
    """Pixel files of a header.

    A header may name any path, and its reader would open it; so only a plain name in the header's own folder is let
    through.

    Args:
        path: a NIfTI, Analyze, MetaImage or NRRD file.

    Returns:
        Empty for single files; else the pixel file, or the reason why there is none to be read.
    """
    name = path.name.lower()
    if name.endswith((".hdr", ".hdr.gz")):
        return _image_of_header(path)
    if name.endswith((".mhd", ".mha")):
        return _named(path, _value(path, "elementdatafile", "="))
    if name.endswith((".nhdr", ".nrrd")):
        return _named(path, _value(path, "data file", ":") or _value(path, "datafile", ":"))
    return ()


def _image_of_header(path: Path) -> tuple[Path, ...] | Reject:
    stem = path.name[: -len(".hdr.gz" if path.name.lower().endswith(".gz") else ".hdr")]
    for suffix in (".img", ".img.gz", ".IMG"):
        image = path.with_name(stem + suffix)
        if image.is_file() and not image.is_symlink():
            return (image,)
    return Reject(path, "missing_data", "the header has no .img file beside it; copy that file too")


def _value(path: Path, key: str, sign: str) -> str:
    """Value of a key in a text header, or an empty string. The last line that MetaImage allows is this one."""
    with path.open("rb") as file:
        text = file.read(HEADER_BYTES).decode("latin-1")
    for line in text.splitlines():
        if not line.strip() and sign == ":":
            break  # an NRRD header ends with an empty line
        name, found, value = line.partition(sign)
        if found and name.strip().lower() == key:
            return value.lstrip("=").strip()
    return ""


def _named(path: Path, name: str) -> tuple[Path, ...] | Reject:
    if name.lower() in INSIDE:
        return ()
    if name.split()[0].upper() == "LIST" or "%" in name:
        return Reject(path, "unsupported", "the pixels are spread over a list of files; store one volume a file")
    if Path(name).name != name or "\\" in name:
        return Reject(path, "unsupported", "the header names pixels outside of its own folder; put them beside it")
    data = path.with_name(name)
    if not data.is_file() or data.is_symlink():
        return Reject(path, "missing_data", "the pixel file that the header names is not beside it; copy it too")
    return (data,)
