"""Starting MONAI Label: everything it would fetch or share is switched off."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lvm_med_monai.apps.label.studies import EXTENSIONS
from lvm_med_monai.apps.label.workspace import RECEIVED

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches."""
SERVER = "lvm_med_monai.apps.label.server.asgi:app"


@dataclass(frozen=True)
class Settings:
    """How a server runs.

    Attributes:
        app: folder made by `stage`; its neighbours hold uploads, sessions and what was fetched from a DICOMweb server.
        studies: folder or address of a DICOMweb server.
        bundles: names of the staged bundles.
        host: address to listen on.
        port: port to listen on.
        modality: series that a DICOMweb server is asked for.
    """

    app: Path
    studies: str
    bundles: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8000
    modality: str = "CT"


def check_port(host: str, port: int) -> None:
    """Raises OSError if the port cannot be listened on, and ValueError if the host is no address."""
    if not host:
        raise ValueError("--host is empty: give an address of this machine, such as 127.0.0.1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            unknown = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            cure = "give an address of this machine as --host" if unknown else "give another --port"
            raise OSError(f"cannot listen on {host}:{port} ({error.strerror or error}): {cure}") from error


def check_server() -> None:
    """Raises ImportError if this environment has no MONAI Label."""
    if importlib.util.find_spec("monailabel") is None:
        raise ImportError(
            "this environment has no MONAI Label, which needs one of its own: see requirements/label.txt and "
            "docs/apps_label.md"
        )


def environment(settings: Settings) -> dict[str, str]:
    """Variables that MONAI Label reads, all files inside the workspace."""
    workspace = settings.app.parent
    return {
        "TMPDIR": str(workspace / RECEIVED),
        "MONAI_LABEL_SESSION_PATH": str(workspace / "sessions"),
        "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(workspace / "dicomweb"),
        "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": settings.modality}),
        "MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps([f"*{end}" for end in EXTENSIONS]),
        "MONAI_LABEL_TRACKING_ENABLED": "false",
        "MONAI_ZOO_SOURCE": "local",
        "LVM_MED_MONAI_LABEL_HOST": settings.host,
    }


def command(settings: Settings) -> list[str]:
    """Arguments of MONAI Label's own command line."""
    return [
        "start_server",
        *("--app", str(settings.app), "--studies", settings.studies),
        *("--host", settings.host, "--port", str(settings.port), "--uvicorn_app", SERVER),
        *("--conf", "models", ",".join(settings.bundles)),
        *("--conf", "zoo_source", "local", "--conf", "sam2", "false"),
    ]


def serve(settings: Settings) -> int:
    """Run the server until it is stopped; what single requests left in the workspace is removed before and after.

    Returns:
        0 when it was stopped; MONAI Label's own status if it could not start.
    """
    variables = environment(settings)
    shutil.rmtree(variables["TMPDIR"], ignore_errors=True)
    for name in ("TMPDIR", "MONAI_LABEL_SESSION_PATH", "MONAI_LABEL_DICOMWEB_CACHE_PATH"):
        Path(variables[name]).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.update({name: value for name, value in variables.items() if name == "TMPDIR" or name not in os.environ})
    os.environ.setdefault("PYTHONPATH", "")
    # programs of this environment (itkimage2segimage) are found although it may not be activated
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    tempfile.tempdir = None  # forget the folder that was chosen before TMPDIR was set
    from monailabel.main import Main

    from lvm_med_monai.apps.label.server.stopping import stop_workers

    label = Main()
    try:
        label.action_start_server(label.args_parser().parse_args(command(settings)))
    finally:
        stop_workers()
        shutil.rmtree(variables["TMPDIR"], ignore_errors=True)
    return 0
