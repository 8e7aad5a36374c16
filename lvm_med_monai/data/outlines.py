"""Masks drawn from the outlines of COCO annotations, for data sets that publish no masks.

``python -m lvm_med_monai.data.outlines ROOT -o OUT`` takes ``ROOT/{train,val,test}/annotations/*.json`` with pictures
in ``ROOT/{train,val,test}/images``, as ARCADE has them, and writes ``OUT/{train,val,test}/masks/**.png`` of 0 and 255,
in the folders that the annotations name, and a datalist ``OUT/dataset.json`` with the sections training, validation and
test.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageDraw
from tqdm import tqdm

from lvm_med_monai.whole_file import whole_file

SECTIONS = {"training": "train", "validation": "val", "test": "test"}
_FOREGROUND = 255
_CORNERS = 3


def draw_outlines(size: tuple[int, int], polygons: Sequence[Sequence[float]]) -> Image.Image:
    """Union of polygons as a mask of 0 and 255.

    Args:
        size: width and height in pixels.
        polygons: each x1, y1, x2, y2, ... in pixels, with at least three corners; its edge belongs to it.

    Raises:
        ValueError: a polygon has too few corners or an odd number of coordinates.
    """
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    for polygon in polygons:
        if len(polygon) % 2 or len(polygon) < 2 * _CORNERS:
            raise ValueError(f"an outline has {len(polygon)} coordinates, expected x and y of three corners or more")
        pen.polygon(list(map(float, polygon)), fill=_FOREGROUND, outline=_FOREGROUND)
    return mask


def write_masks(root: Path, out: Path, classes: Collection[str] = (), progress: bool = True) -> dict[str, int]:
    """Draw the masks of all pictures below ``root`` and write the datalist; see the module.

    Args:
        root: folder with the parts train, val and test.
        out: folder of masks and datalist.
        classes: names of the categories to draw; all if none is named.
        progress: whether to show bars.

    Returns:
        Pictures of each section.

    Raises:
        FileNotFoundError: a part has no annotations, or a picture is not there.
        ValueError: a class is unknown, an outline is no polygon, two pictures would have one mask, or a picture lies
            outside of its part.
    """
    sections = {}
    for section, part in SECTIONS.items():
        tables = sorted((root / part / "annotations").glob("*.json"))
        if len(tables) != 1:
            raise FileNotFoundError(f"{root / part / 'annotations'} holds {len(tables)} JSON files, expected one")
        coco = json.loads(tables[0].read_text(encoding="utf-8"))
        sections[section] = _write_part(coco, root / part / "images", out, part, set(classes), progress)
    with whole_file(out / "dataset.json") as partial:
        partial.write_text(json.dumps(sections, indent=1) + "\n", encoding="utf-8")
    return {section: len(entries) for section, entries in sections.items()}


def _write_part(
    coco: Mapping[str, Any], images: Path, out: Path, part: str, classes: set[str], progress: bool
) -> list[dict[str, str]]:
    names = {category["id"]: category["name"] for category in coco["categories"]}
    if unknown := classes - set(names.values()):
        raise ValueError(f"no category is called {', '.join(sorted(unknown))}: there are {sorted(names.values())}")
    outlines: dict[Any, list[Sequence[float]]] = defaultdict(list)
    for annotation in coco["annotations"]:
        if not classes or names[annotation["category_id"]] in classes:
            if not isinstance(annotation["segmentation"], list):
                raise ValueError(
                    f"annotation {annotation['id']} of {part} is no polygon: run-length masks are not read"
                )
            outlines[annotation["image_id"]] += annotation["segmentation"]
    masks = _masks([image["file_name"] for image in coco["images"]], part)
    entries = []
    for image in tqdm(coco["images"], desc=f"masks of {part}", unit="", disable=not progress):
        path = images / image["file_name"]
        if not path.is_file():
            raise FileNotFoundError(f"the annotations of {part} name {path.name}, which is not in {images}")
        mask = out / part / "masks" / masks[image["file_name"]]
        mask.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(mask) as partial:
            draw_outlines((image["width"], image["height"]), outlines[image["id"]]).save(partial, format="PNG")
        entries.append(
            {key: os.path.relpath(p, out).replace(os.sep, "/") for key, p in (("image", path), ("label", mask))}
        )
    return entries


def _masks(names: Sequence[str], part: str) -> dict[str, PurePosixPath]:
    """Path of the mask of each picture, below the folder of masks."""
    owners: dict[PurePosixPath, str] = {}
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the annotations of {part} name {name}, which lies outside of its images: move it there")
        mask = path.with_suffix(".png")
        if mask in owners:
            raise ValueError(
                f"{owners[mask]} and {name} of {part} would have one mask, {mask}: name each picture once, by a name "
                "of its own"
            )
        owners[mask] = name
    return {name: mask for mask, name in owners.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m lvm_med_monai.data.outlines", description=__doc__)
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder with train, val and test")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="folder of masks and datalist")
    parser.add_argument("--classes", nargs="*", default=(), metavar="NAME", help="categories to draw; all by default")
    parser.add_argument("--no-progress", action="store_true", help="show no bars")
    options = parser.parse_args(arguments)
    write_masks(options.root, options.out, options.classes, not options.no_progress)


if __name__ == "__main__":
    main()
