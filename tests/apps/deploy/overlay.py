"""Draws docs/deploy_overlay.png: ``python -m tests.apps.deploy.overlay PICTURE``, where the App SDK is installed.

The application is run on the demo's CT series with a bundle that marks what is brighter than 180 HU, so that bone and
contrast are right to see. The picture is drawn from the SEG alone: which slice it lies on is what the SEG says.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pydicom
from highdicom.seg import segread

from lvm_med_monai.apps.deploy.command import main
from lvm_med_monai.apps.deploy.complete_series import complete_series
from lvm_med_monai.slices import CT_WINDOWS, apply_window
from tests.apps.deploy.known import threshold_bundle
from tests.slices.factories import DEMO

LEVEL = 180.0
"""HU."""


def draw(picture: Path) -> None:
    """Run the application and draw the slice with most marked pixels, without and with them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        complete_series(DEMO / "abdomen_ct_dicom" / "series", folder / "series")
        bundle = threshold_bundle(folder / "bundle", level=LEVEL, resample=False)
        if main("segmentation", ["-i", str(folder / "series"), "-m", str(bundle), "-o", str(folder / "out")]):
            raise SystemExit("the application failed")
        (path,) = (folder / "out").iterdir()
        seg = segread(path)
        sources = {item.SOPInstanceUID: item for item in map(pydicom.dcmread, (folder / "series").iterdir())}
        masks = seg.get_pixels_by_source_instance(list(sources), assert_missing_frames_are_empty=True)[..., 0]
        best = int(masks.sum(axis=(1, 2)).argmax())
        source = list(sources.values())[best]
        _figure(source.pixel_array * 1.0 - 1024, masks[best] > 0, picture)


def _figure(values: np.ndarray, mask: np.ndarray, picture: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(8, 4.2))
    for axis, title in zip(axes, ("CT slice", f"DICOM SEG on it: above {LEVEL:.0f} HU"), strict=True):
        axis.imshow(apply_window(values, CT_WINDOWS["soft"]), cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    coloured = np.zeros((*mask.shape, 4))
    coloured[mask] = (1, 0.35, 0, 0.75)
    axes[1].imshow(coloured)
    figure.tight_layout()
    figure.savefig(picture, dpi=75)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
