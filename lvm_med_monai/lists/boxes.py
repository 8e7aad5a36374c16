"""Boxes of images, from COCO files and from tables."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.samples import Contents, Sample, stem_of

CORNERS = (("x_min", "y_min", "x_max", "y_max"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
SIZED = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
IMAGE_COLUMNS = ("image_id", "patientid", "image", "image_name", "filename", "file_name", "imageid")
CLASS_COLUMNS = ("class_id", "class_name", "class", "label", "category_id", "target")


@dataclass(frozen=True)
class Box:
    """A box in pixels: left, top, right and bottom edge, and its class as the file writes it."""

    edges: tuple[float, float, float, float]
    name: str


def boxes_of(card: Card, root: Path, contents: Contents, samples: Sequence[Sample]) -> dict[str, list[Box]]:
    """Boxes by the name of the sample; images without boxes have an empty list.

    Images are found by the tail of the path that the file writes, or by their name without suffixes.

    Raises:
        ValueError: a file holds no boxes, or names images that are not there.
    """
    found: dict[str, list[Box]] = {sample.name: [] for sample in samples}
    by_name: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        by_name[stem_of(sample.name)].append(sample.name)
    absent: set[str] = set()
    for path in contents.of_role("boxes"):
        rows = _json(root / path) if path.lower().endswith(".json") else _table(root / path)
        for name, box in rows:
            owners = _owners(by_name, name, path)
            if not owners:
                absent.add(name)
            elif box is not None:
                found[owners[0]].append(box)
    if absent:
        raise ValueError(
            f"the boxes of {card.id} speak of {len(absent):,} images that are not there, such as {min(absent)}; "
            "run `lists check`"
        )
    return found


def _owners(by_name: Mapping[str, Sequence[str]], name: str, file: str) -> list[str]:
    """Samples that a name may mean; of several of one name, those that share the most of the path."""
    candidates = by_name.get(stem_of(name), ())
    tail = PurePosixPath(name.replace("\\", "/")).parts
    exact = [c for c in candidates if PurePosixPath(c).parts[-len(tail) :] == tail]
    candidates = exact or candidates
    if len(candidates) < 2:
        return list(candidates)
    near = [len(set(PurePosixPath(c).parts) & set(PurePosixPath(file).parts)) for c in candidates]
    return [c for c, n in sorted(zip(candidates, near, strict=True), key=lambda item: -item[1])]


def _json(path: Path) -> Iterator[tuple[str, Box | None]]:
    """COCO, or an object that has a list ``bbox`` for the name of each image, as Kvasir-SEG's."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        yield from _coco(content)
    elif isinstance(content, dict) and all(isinstance(v, dict) and "bbox" in v for v in content.values()):
        for name, image in content.items():
            yield name, None
            for box in image["bbox"]:
                yield name, Box((box["xmin"], box["ymin"], box["xmax"], box["ymax"]), str(box["label"]))
    else:
        raise ValueError(f"{path.name} holds no boxes: it is neither COCO nor an object with a bbox for each image")


def _coco(content: Mapping[str, Any]) -> Iterator[tuple[str, Box | None]]:
    names = {image["id"]: image["file_name"] for image in content["images"]}
    classes = {category["id"]: str(category["name"]) for category in content.get("categories", [])}
    annotations = content["annotations"]
    for name in names.values():
        yield name, None
    for annotation in annotations.values() if isinstance(annotations, dict) else annotations:
        left, top, width, height = annotation["bbox"]
        kind = annotation.get("category_id")
        box = Box((left, top, left + width, top + height), classes.get(kind, str(kind)))
        yield names[annotation["image_id"]], box


def _table(path: Path) -> Iterator[tuple[str, Box | None]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = {name.strip().lower().replace(" ", "_"): name for name in reader.fieldnames or ()}
        image = _first(columns, IMAGE_COLUMNS)
        corners = _first_all(columns, CORNERS)
        sized = None if corners else _first_all(columns, SIZED)
        if image is None or not (corners or sized):
            raise ValueError(f"{path.name} is no table of boxes: its columns are {', '.join(reader.fieldnames or ())}")
        kind = _first(columns, CLASS_COLUMNS)
        for row in reader:
            yield (
                row[image],
                _row_box([row[name] for name in corners or sized or ()], bool(sized), row[kind] if kind else "1"),
            )


def _row_box(texts: Sequence[str], sized: bool, name: str) -> Box | None:
    """A row without numbers is an image without boxes."""
    if any(not (text or "").strip() for text in texts):
        return None
    a, b, c, d = (float(text) for text in texts)
    if any(map(math.isnan, (a, b, c, d))):
        return None
    return Box((a, b, a + c, b + d) if sized else (a, b, c, d), name)


def _first(columns: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _first_all(columns: Mapping[str, str], choices: Iterable[tuple[str, ...]]) -> list[str] | None:
    return next(([columns[n] for n in names] for names in choices if set(names) <= columns.keys()), None)


def class_numbers(card: Card, names: Iterable[str]) -> dict[str, int]:
    """Class as files write it -> label number.

    The keys of the card's ``labels`` are its classes, by value or by meaning; whole numbers are the label, other keys
    have their position, from 0.

    Raises:
        ValueError: the card has no labels, or does not know a class.
    """
    numbers: dict[str, int] = {}
    for position, (value, meaning) in enumerate(card.labels.items()):
        number = int(value) if value.lstrip("-").isdigit() else position
        numbers.setdefault(_plain(value), number)
        numbers.setdefault(_plain(str(meaning)), number)
    wanted = sorted(set(names))
    if unknown := [name for name in wanted if _plain(name) not in numbers]:
        raise ValueError(
            f"the card {card.id} does not know the class {unknown[0]}: it has {', '.join(card.labels) or 'none'}"
        )
    return {name: numbers[_plain(name)] for name in wanted}


def _plain(text: Any) -> str:
    return "".join(sign for sign in str(text).lower() if sign.isalnum())
