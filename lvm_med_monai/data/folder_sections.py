"""Sections of a datalist by folder, such as one for each site, so that each is evaluated alone."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from lvm_med_monai.data.datalist import paths_in
from lvm_med_monai.data.sections import read_content, read_sections
from lvm_med_monai.whole_file import whole_file


def add_folder_sections(datalist: str | Path, section: str = "test") -> dict[str, int]:
    """Write a section for each first folder of a section's images into a datalist, in place.

    ``test`` with ``RUNMC/Case00.nii.gz`` and ``HK/Case00.nii.gz`` gives ``test_HK`` and ``test_RUNMC`` besides; it
    stays itself. ``--val_section test_HK`` evaluates one of them. A section that is there already is written anew.

    Args:
        datalist: ``dataset.json`` whose entries have ``image``.
        section: key of the list that is divided.

    Returns:
        Number of entries by new section.

    Raises:
        FileNotFoundError: there is no datalist.
        ValueError: the section is absent or empty, or an image lies in no folder below the datalist's.
    """
    path = Path(datalist)
    entries = read_sections(path.parent, section, path.name)[section]
    parts: dict[str, list[dict[str, Any]]] = {}
    for number, entry in enumerate(entries):
        image = PurePosixPath(next(iter(paths_in(entry, "image")), ""))
        if image.is_absolute() or len(image.parts) < 2:
            raise ValueError(
                f"entry {number} of section {section!r} of {path.name} has the image {entry.get('image')!r}, in no "
                "folder of the data set: sections by folder need images such as SITE/case.nii.gz"
            )
        parts.setdefault(f"{section}_{image.parts[0]}", []).append(entry)
    ordered = dict(sorted(parts.items()))
    with whole_file(path) as partial:
        partial.write_text(json.dumps(read_content(path) | ordered, indent=1) + "\n", encoding="utf-8")
    return {name: len(part) for name, part in ordered.items()}
