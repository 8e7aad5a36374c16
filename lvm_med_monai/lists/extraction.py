"""Slice extraction of downloads by their cards."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lvm_med_monai.lists.cards import Card
from lvm_med_monai.lists.globs import files_below
from lvm_med_monai.lists.samples import samples_of, sort_files
from lvm_med_monai.slices import SlicePolicy, Source, extract

if TYPE_CHECKING:
    from lvm_med_monai.slices import Summary
    from lvm_med_monai.slices.work.plan import Plan


def source_of(card: Card, root: Path, split: str = "") -> Source:
    """The source that stands for a download; paths below ``root`` name its files and patients."""
    planes = card.slices.get("planes")
    return Source(
        root,
        dataset=card.id,
        modality=card.slices.get("modality"),
        tile=card.slices.get("tile"),
        planes=tuple(planes) if planes else None,
        split=split,
        patient=card.patient.pattern if card.patient else None,
        patients=card.patient_space,
    )


def policy_of(card: Card, base: SlicePolicy | None = None) -> SlicePolicy:
    """The policy with what the card says of spacing and foreground."""
    wanted = {name: card.slices.get(name) for name in ("every_mm", "min_foreground")}
    return replace(base or SlicePolicy(), **{name: value for name, value in wanted.items() if value is not None})


def image_files(card: Card, root: Path, leave_out: Collection[str] = ()) -> list[str]:
    """Files of the images of a download: never masks, tables or files that the card does not speak of.

    Args:
        card: the card.
        root: the download.
        leave_out: names of samples that are left out.

    Raises:
        FileNotFoundError: no folder, or no image in it.
    """
    contents = sort_files(card, files_below(root))
    images = contents.of_role("image")
    if not images:
        raise FileNotFoundError(
            f"no image of {card.id} below {root}; `lists check {card.id} {root}` says what is missing"
        )
    if not leave_out:
        return images
    kept = {image for s in samples_of(card, contents) if s.name not in leave_out for image in s.images}
    return [path for path in images if path in kept or PurePosixPath(path).parent.as_posix() in kept]


def plan_of(card: Card, root: Path, split: str = "", leave_out: Collection[str] = ()) -> Plan:
    """Plan of the images of a download, which `slices.extract` takes.

    A unit, such as a DICOM series, is read if one of its files is an image of the card.

    Raises:
        FileNotFoundError: no folder, or no image in it.
    """
    import numpy as np
    import pyarrow as pa

    from lvm_med_monai.slices.work.plan import Plan, make_plan

    images = set(image_files(card, root, leave_out))
    plan = make_plan([source_of(card, root, split)])
    table = plan.table
    units = table["unit"].to_numpy()
    wanted = np.array([path.decode("utf-8", "surrogateescape") in images for path in table["path"].to_pylist()], bool)
    kept = table.filter(pa.array(np.isin(units, np.unique(units[wanted]))))
    # parts are numbered without gaps, so that a part is known by its number
    numbers = np.unique(kept["part"].to_numpy(), return_inverse=True)[1].astype(np.int32)
    place = kept.schema.get_field_index("part")
    return Plan(plan.sources, kept.set_column(place, kept.schema.field("part"), pa.array(numbers)))


def extract_card(
    card: Card,
    root: Path,
    out: Path,
    *,
    split: str = "",
    leave_out: Collection[str] = (),
    policy: SlicePolicy | None = None,
    **options: Any,
) -> Summary:
    """Extract the slices of one download into ``out``, or add them to what is there.

    Args:
        card: the card.
        root: the download.
        out: slice folder; several data sets may share one, and their patients are then known across them.
        split: of all its slices, such as train; empty leaves them undecided.
        leave_out: names of samples that are left out.
        policy: where the card says nothing.
        options: of `slices.extract`, such as ``key_file`` and ``workers``.

    Returns:
        Totals of all that is in ``out``.

    Raises:
        FileNotFoundError: no folder, or no image in it.
        ValueError: see `slices.extract`.
    """
    return extract(plan_of(card, root, split, leave_out), out, policy_of(card, policy), **options)


def downloads(cards: Mapping[str, Card], root: Path) -> dict[str, Path]:
    """Downloads below a folder: its folders that are named like cards, by id.

    Raises:
        FileNotFoundError: there is none.
    """
    found = {name: root / name for name in cards if (root / name).is_dir()}
    if not found:
        raise FileNotFoundError(
            f"{root} has no folder that is named like a card, such as {next(iter(cards))}; `lists show` names all cards"
        )
    return found
