"""What the commands say on standard error besides errors."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

OURS = "lvm_med_monai.apps.deploy"
QUOTING = ("highdicom", "pydicom")
"""Libraries whose messages quote values of files, such as names and birth dates."""


@contextmanager
def speaking() -> Iterator[None]:
    """Notes of the applications are printed; warnings of libraries, which may quote a patient, are not."""
    ours, quoting = logging.getLogger(OURS), [logging.getLogger(name) for name in QUOTING]
    levels, propagated = [logger.level for logger in quoting], ours.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("note: %(message)s"))
    ours.addHandler(handler)
    ours.propagate = False  # the App SDK prints whatever reaches the root
    for logger in quoting:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ours.removeHandler(handler)
        ours.propagate = propagated
        for logger, level in zip(quoting, levels, strict=True):
            logger.setLevel(level)
