"""The command line that all applications share."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lvm_med_monai.apps.deploy.console import speaking
from lvm_med_monai.apps.deploy.problems import DeployError

STACK_BYTES = 32 << 20
"""What Holoscan asks for its threads."""


def parse(task: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options; those left out come from the environment that a MONAI Application Package sets."""
    parser = argparse.ArgumentParser(description=f"{task.capitalize()} of a DICOM series by a bundle.")
    environment = {"input": "HOLOSCAN_INPUT_PATH", "model": "HOLOSCAN_MODEL_PATH", "output": "HOLOSCAN_OUTPUT_PATH"}
    helps = {"input": "DICOM folder", "model": "folder of the bundle", "output": "folder for the results"}
    for name, variable in environment.items():
        default = os.environ.get(variable)
        parser.add_argument(
            f"-{name[0]}", f"--{name}", type=Path, default=default, required=default is None, help=helps[name]
        )
    parser.add_argument("--series", help="which series of several: its SeriesNumber or SeriesInstanceUID")
    parser.add_argument("--log-level", default="OFF", help="of Holoscan: OFF, ERROR, WARN, INFO, DEBUG")
    return parser.parse_args(arguments)


def main(task: str, arguments: Sequence[str] | None = None) -> int:
    """Run an application.

    Returns:
        0, or 1 if it was refused or failed; the reason is on standard error and no file is left.
    """
    options = parse(task, arguments)
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", options.log_level)
    _widen_stack()
    try:
        with speaking():
            written = _run(task, options)
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0


def _run(task: str, options: argparse.Namespace) -> list[Path]:
    if find_spec("holoscan") is None:
        raise DeployError(
            "MONAI Deploy's App SDK is not installed here; make an environment of its own with "
            "pip install -r requirements/deploy.txt"
        )
    from lvm_med_monai.apps.deploy.application import DeployApplication

    application = DeployApplication(task, options.input, options.model, options.output, options.series)
    application.run()
    return application.written


def _widen_stack() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    enough = soft == resource.RLIM_INFINITY or soft >= STACK_BYTES
    if not enough and (hard == resource.RLIM_INFINITY or hard >= STACK_BYTES):
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, hard))
