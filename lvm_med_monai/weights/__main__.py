"""Command line: ``python -m lvm_med_monai.weights list|fetch|convert``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lvm_med_monai.weights.known import KNOWN, MEGABYTE, known

_FORMS = ("resnet50", "vit_b", "rad_dino", "sam")
DESCRIPTION = """\
Published weights, brought to the networks of this package. A file that does not fit is an error, never a warning.

  list     shows what is known: form, tensors, licence, address
  fetch    downloads known weights, or takes the file that you have, and converts them
  convert  converts any file of a known form"""
EPILOG = """\
examples:
  python -m lvm_med_monai.weights list
  python -m lvm_med_monai.weights fetch sam_vit_b --to weights
  python -m lvm_med_monai.weights fetch lvm_med_vit_b --file lvmmed_vit.pth --to weights
  python -m lvm_med_monai.weights convert sam_vit_b_01ec64.pth --as sam --encoder lvmmed_vit.pth --to lvm_med_sam.pt

exit status: 0 written; 1 the file does not fit; 2 wrong input or no network; 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    program = "python -m lvm_med_monai.weights"
    parser = argparse.ArgumentParser(program, description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="show what is known")
    listing.set_defaults(run=_list)
    fetch = commands.add_parser("fetch", help="download known weights and convert them")
    fetch.add_argument("name", metavar="NAME", choices=[entry.name for entry in KNOWN])
    fetch.add_argument("--to", type=Path, default=Path("weights"), metavar="FOLDER", help="default: weights")
    fetch.add_argument("--file", type=Path, help="the published file, if you have it: nothing is downloaded")
    fetch.add_argument("--sha256", help="expected hash of the published file; the known one by default")
    fetch.set_defaults(run=_fetch)
    convert = commands.add_parser("convert", help="convert a file")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("--as", dest="form", required=True, choices=_FORMS, help="network that it is for")
    convert.add_argument("--to", type=Path, required=True, metavar="OUT", help="file to write; OUT.json goes beside it")
    convert.add_argument("--encoder", type=Path, metavar="FILE", help="with --as sam: another image encoder")
    convert.set_defaults(run=_convert)
    return parser


def _list(options: argparse.Namespace) -> int:
    for entry in KNOWN:
        print(f"{entry.name}  (--as {entry.form}, {entry.tensors} tensors, at most {entry.limit // MEGABYTE} MB)")
        print(f"    licence: {entry.licence}\n    from:    {entry.url or entry.page}\n    note:    {entry.note}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from lvm_med_monai.weights.download import DownloadError, download, file_hash

    entry = known(options.name)
    expected = options.sha256 or entry.sha256
    try:
        if options.file is not None:
            source = options.file
            found = file_hash(source)
            if expected is not None and found != expected.lower():
                raise DownloadError(
                    f"{source.name} has the SHA-256 {found}, not {expected}: get the published file, or bring this one "
                    "by convert"
                )
        elif entry.url is None:
            raise DownloadError(
                f"{entry.name} has no direct address: get the file from {entry.page} and give it by --file"
            )
        else:
            source = options.to / entry.url.rpartition("/")[2]
            download(entry.url, source, entry.limit, expected, _progress)
            print(file=sys.stderr)
    except (DownloadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"licence of {entry.name}: {entry.licence}")
    origin = {"name": entry.name, "licence": entry.licence, "page": entry.page, "url": entry.url}
    return _written(source, entry.form, options.to / f"{entry.name}.pt", origin, entry.tensors - entry.counters)


def _convert(options: argparse.Namespace) -> int:
    if options.encoder is not None and options.form != "sam":
        print("error: --encoder goes with --as sam", file=sys.stderr)
        return 2
    return _written(options.file, options.form, options.to, {}, encoder=options.encoder)


def _written(
    source: Path,
    form: str,
    out: Path,
    origin: dict[str, str | None],
    tensors: int | None = None,
    encoder: Path | None = None,
) -> int:
    """Convert and write; 1 if the file does not fit, 2 if there is none."""
    from lvm_med_monai.weights.files import convert_file

    try:
        record = convert_file(source, form, out, origin, tensors, encoder)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    left_out = record["left_out"]
    print(f"wrote {out}: {record['tensors']} tensors for {record['network']}, {record['renamed']} under other names")
    print(f"left out: {', '.join(left_out) if left_out else 'nothing'}")
    if record["settings"]:
        print(f"the network needs: {', '.join(f'{key}={value}' for key, value in record['settings'].items())}")
    return 0


def _progress(size: int, total: int | None) -> None:
    of = f" of {total / MEGABYTE:.0f}" if total else ""
    print(f"\r{size / MEGABYTE:.0f}{of} MB", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
