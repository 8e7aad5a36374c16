"""Command line: ``python -m lvm_med_monai.apps.label --studies DIR --bundles NAME[,NAME]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lvm_med_monai.apps.label.launch import LOOPBACK, Settings, check_port, check_server, serve
from lvm_med_monai.apps.label.signals import stopped_by_signals
from lvm_med_monai.apps.label.staging import choose, stage, stage_afresh
from lvm_med_monai.apps.label.studies import check_studies
from lvm_med_monai.apps.label.workspace import workspace

DESCRIPTION = """\
Start MONAI Label on bundles of this collection, without a network, for this machine alone.

The bundles are copied, so that training here never changes the originals. Answers and labels go to the studies folder
(labels/, datastore_v2.json), as MONAI Label does it."""
EPILOG = """\
examples:
  python -m lvm_med_monai.apps.label --studies images --bundles packaged/skin_lesion_dermoscopy_segmentation
  python -m lvm_med_monai.apps.label --studies http://127.0.0.1:8042/dicom-web --workspace annotation \\
      --bundles abdominal_organ_ct_segmentation --weights abdominal_organ_ct_segmentation=runs/ct/model.pt

docs/apps_label.md has more. Exit status: 0; 2 for wrong input; 130 if interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check everything, copy the bundles, start the server.

    Returns:
        The exit status: 0 when the server was stopped; 2 for wrong input; 130 if interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        return _start(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _start(options: argparse.Namespace) -> int:
    studies = check_studies(options.studies)
    names = [name.strip() for name in options.bundles.split(",") if name.strip()]
    choices = choose(names, options.collection, dict(options.weights))
    overlays = [name for name in options.overlay.split(",") if name]
    if overlays and not options.weights:
        raise ValueError("--overlay tells how weights were trained: give --weights NAME=FILE too, or leave it out")
    check_port(options.host, options.port)
    check_server()
    with stopped_by_signals(), workspace(options.workspace) as folder:
        app = folder / "app"
        (stage_afresh if options.fresh else stage)(choices, app, overlays)
        if options.host not in LOOPBACK:
            print(f"warning: {options.host} can be reached from other machines, and the server asks for no password")
        if options.workspace is None:
            print("What is trained here is lost when the server stops; --workspace DIR keeps it.")
        return serve(
            Settings(app, studies, [choice.name for choice in choices], options.host, options.port, options.modality)
        )


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    program = "python -m lvm_med_monai.apps.label"
    parser = argparse.ArgumentParser(program, description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--studies", required=True, metavar="DIR|URL", help="folder of images, or a DICOMweb server")
    parser.add_argument(
        "--bundles", required=True, metavar="NAME[,NAME]", help="names in the collection, or folders (with a slash)"
    )
    parser.add_argument(
        "--collection", type=Path, default=Path("bundles"), metavar="DIR", help="folder of bundles (default: bundles)"
    )
    parser.add_argument(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="state dict to serve, for a bundle without models/model.pt; may be repeated",
    )
    parser.add_argument(
        "--overlay", default="", metavar="FILE[,FILE]", help="overlays that those weights were trained with (demo.json)"
    )
    parser.add_argument("--workspace", type=Path, metavar="DIR", help="keep copies, and what they learn, here")
    parser.add_argument("--fresh", action="store_true", help="forget what the workspace has learnt and copy again")
    parser.add_argument("--modality", default="CT", help="series that a DICOMweb server is asked for (default: CT)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="port (default: 8000, the one that OHIF in MONAI Label looks for)"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _weights(text: str) -> tuple[str, Path]:
    name, separator, file = text.partition("=")
    if not separator or not name or not file:
        raise argparse.ArgumentTypeError(f"give NAME=FILE, not {text!r}")
    return name, Path(file)


if __name__ == "__main__":
    sys.exit(main())
