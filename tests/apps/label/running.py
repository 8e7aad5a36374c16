"""Programs that run while a test asks them: MONAI Label, Orthanc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "demo_data"
ORTHANC = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
PATIENCE = 180
"""Seconds until a program must answer."""
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost"}
"""Nothing listens there: whatever is asked of another machine fails at once."""


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def running(
    arguments: Sequence[str],
    address: str,
    log: Path,
    cwd: Path = ROOT,
    temporary: Path | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[str]:
    """Start a program, wait until its address answers, stop it by a signal at the end.

    With a folder for its temporary files it must stop with status 0 and leave none there.
    """
    variables = {**os.environ, **OFFLINE, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if temporary is not None:
        temporary.mkdir()
        variables["TMPDIR"] = str(temporary)
    with log.open("w") as output:
        program = subprocess.Popen(arguments, cwd=cwd, env=variables, stdout=output, stderr=subprocess.STDOUT)
        try:
            _await(address, program, log)
            yield address
        finally:
            program.send_signal(stop)
            program.wait(timeout=60)
    if temporary is not None:
        assert program.returncode == 0, log.read_text()[-3000:]
        assert not [path for path in temporary.rglob("*") if path.is_file() or path.name.startswith("monailabel-")]


@contextmanager
def label_server(
    arguments: Sequence[str], log: Path, port: int | None = None, stop: signal.Signals = signal.SIGTERM
) -> Iterator[str]:
    """Start our MONAI Label; yields its address. It must stop in order and leave nothing behind."""
    port = port or free_port()
    command = [sys.executable, "-m", "lvm_med_monai.apps.label", "--port", str(port), *arguments]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/info/", log, temporary=log.parent / f"tmp-{port}", stop=stop):
        yield address


@contextmanager
def orthanc_server(folder: Path) -> Iterator[str]:
    """Start an empty Orthanc on loopback, its files in a folder; yields its address, below which is ``dicom-web``."""
    port = free_port()
    settings = {
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    address = f"http://127.0.0.1:{port}"
    with running([ORTHANC, str(folder / "orthanc.json")], f"{address}/system", folder / "log.txt"):
        yield address


def _await(address: str, program: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if program.poll() is not None:
            break
        try:
            urllib.request.urlopen(address, timeout=60).read()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(f"{address} does not answer:\n{log.read_text()[-3000:]}")
