"""Entry of the command, and of a MONAI Application Package, which runs this folder."""

from __future__ import annotations

import sys

from lvm_med_monai.apps.deploy.command import main

if __name__ == "__main__":
    sys.exit(main("classification"))
