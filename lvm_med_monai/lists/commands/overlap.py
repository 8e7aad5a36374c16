"""``overlap``: which samples were seen in the pretraining of LVM-Med."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_med_monai.lists.commands.output import add_command, answer

if TYPE_CHECKING:
    from lvm_med_monai.lists.overlap import Overlap

SHOWN = 20
DESCRIPTION = """\
Tell which samples of a set LVM-Med was pretrained on, by the lists in a clone of its repository
(git clone https://github.com/duyhominhnguyen/LVM-Med). X is a folder, a MONAI datalist, or a text file with a name or
path a line. Kinds of matches:

  path                      the end of the path, as in Task09_Spleen/imagesTr/spleen_10.nii.gz or a DICOM tree of TCIA
  name, case                the name without suffixes, or a folder of it, such as the case folders of BraTS
  class_prefix, _suffix     the name without the class, grade or diagnosis that the list adds, as MEL_ISIC_0024482
  augmented                 the name without marks of copies, crops, flips or another size
  renamed                   another year of BraTS, ADNI's long names
  patient                   not this image, but another of the same patient

Names such as 100.png or liver_10, which unrelated sets share by chance, are sure only with --card, for the list of that
card and of cards with the same patients; without it they are reported as unsure. Names cannot show that an image was
copied under another name: for that, see `duplicates`. Some lists name no samples; they are told."""
EPILOG = """\
exit status: 0 nothing was seen, 1 something was seen, 2 wrong input

examples:
  python -m lvm_med_monai.lists overlap downloads/vindr --clone clones/LVM-Med --card vindr_cxr
  python -m lvm_med_monai.lists overlap dataset.json --clone clones/LVM-Med
  python -m lvm_med_monai.lists overlap names.txt --clone clones/LVM-Med -o seen.json --json"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of ``overlap``."""
    parser = add_command(commands, "overlap", "what was seen in the pretraining", DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("names", type=Path, metavar="X", help="folder, datalist (.json) or text file with a name a line")
    add("--clone", type=Path, required=True, metavar="CLONE", help="clone of the LVM-Med repository")
    add("--card", metavar="CARD", help="the set that X is, so that short names count")
    add("-o", "--out", type=Path, metavar="FILE", help="write all matches, JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print what was seen; 1 if anything."""
    from lvm_med_monai.lists.card_files import find_card, load_cards
    from lvm_med_monai.lists.official import read_official
    from lvm_med_monai.lists.overlap import find_overlap, related_folders

    related: frozenset[str] = frozenset()
    if options.card:
        cards = load_cards(options.cards)
        related = related_folders(find_card(cards, options.card), cards)
    sections = read_names(options.names)
    names = list(dict.fromkeys(name for section in sections.values() for name in section))
    found = find_overlap(names, read_official(options.clone), related)
    if options.out:
        options.out.write_text(json.dumps([asdict(m) for m in found.matches], indent=1) + "\n", encoding="utf-8")
    seen = {match.name for match in found.seen}
    by_section = {name: sum(entry in seen for entry in entries) for name, entries in sections.items()}
    fields = {
        "names": found.total,
        "seen": len(found.seen),
        "by_kind": found.by_kind(),
        "by_list": found.by_list(),
        "by_section": by_section,
        "unsure": found.by_list(sure=False),
        "lists_without_names": list(found.nameless),
    }
    answer(fields, options.json, _lines(found, by_section, {n: len(e) for n, e in sections.items()}))
    return 1 if found.seen else 0


def read_names(path: Path) -> dict[str, list[str]]:
    """Names by section of a datalist; those of a folder or a text file are one section, without a name.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the datalist has other contents.
    """
    from lvm_med_monai.lists.globs import files_below

    if path.is_dir():
        return {"": [f"{path.resolve().name}/{name}" for name in files_below(path)]}
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    if path.suffix.lower() != ".json":
        return {"": [line.strip() for line in text.splitlines() if line.strip()]}
    content = json.loads(text)
    if not isinstance(content, dict):
        content = {"": content}
    sections = {name: entries for name, entries in content.items() if isinstance(entries, list) and entries}
    try:
        return {name: [image for entry in entries for image in _images(entry)] for name, entries in sections.items()}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no datalist: its entries need an image, a path or several") from error


def _images(entry: Any) -> Iterable[str]:
    image = entry if isinstance(entry, str) else entry["image"]
    return [image] if isinstance(image, str) else [str(part) for part in image]


def _lines(found: Overlap, by_section: Mapping[str, int], sizes: Mapping[str, int]) -> list[str]:
    lines = [f"{len(found.seen):,} of {found.total:,} names were seen in the pretraining"]
    lines += [f"  {kind}: {number:,}" for kind, number in found.by_kind().items()]
    lines += [f"  in {folder}: {number:,}" for folder, number in found.by_list().items()]
    lines += [f"  {name}: {number:,} of {sizes[name]:,}" for name, number in by_section.items() if name]
    lines += [f"  {m.name}  ({m.kind}: {m.entry})" for m in found.seen[:SHOWN]]
    if len(found.seen) > SHOWN:
        lines.append(f"  and {len(found.seen) - SHOWN:,} more; -o FILE writes all")
    for folder, number in found.by_list(sure=False).items():
        lines.append(
            f"unsure: {number:,} names that are short and may be another set's, in {folder}; --card says which"
        )
    if found.nameless:
        lines.append(f"not compared, because these lists name no samples: {', '.join(found.nameless)}")
    return lines
