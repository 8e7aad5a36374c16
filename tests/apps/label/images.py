"""Images of a folder of studies, good ones and others."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image


def write_images(folder: Path, elsewhere: Path) -> None:
    """Good images, and images that are damaged, deep, of four axes, or links to a folder elsewhere."""
    half = np.zeros((80, 100), dtype=np.uint8)
    half[:, 50:] = 255
    Image.fromarray(half).save(folder / "half.png")
    Image.fromarray(half).save(folder / "capital.PNG")
    Image.fromarray(half.astype(np.uint16) * 200).save(folder / "deep.png")
    Image.fromarray(np.float32(half) / 300).save(folder / "share.tif")
    noise = np.random.default_rng(0).integers(0, 256, (80, 100)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    whole = (folder / "noise.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    scan = np.full((64, 64, 4), -500, dtype=np.float32)
    scan[10:40, 20:50] = 200
    for name in ("scan", "holes"):
        nibabel.save(nibabel.Nifti1Image(scan, np.diag([1, 1, 3, 1])), folder / f"{name}.nii.gz")
        scan[20, 30] = np.nan
    cine = np.zeros((16, 16, 3, 2), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(cine, np.eye(4)), folder / "cine.nii.gz")
    secret = elsewhere / "secret.png"
    Image.fromarray(half).save(secret)
    (folder / "linked.png").symlink_to(secret)
    (folder / "labels" / "final").mkdir(parents=True)
    (folder / "labels" / "final" / "noise.png").symlink_to(secret)
    notes = {"image": {"ext": ".png", "info": {}}, "labels": {"final": {"ext": ".png", "info": {}}}}
    (folder / "datastore_v2.json").write_text(
        json.dumps({"name": "old", "description": "before the links", "objects": {"linked": notes, "noise": notes}})
    )
