"""Images as annotators have them, small packages of every bundle, and servers that share them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.bundles.samples.segmentation import scans

sys.path.insert(0, str(Path(__file__).parent))
HAS_LABEL = importlib.util.find_spec("monailabel") is not None
DATA = Path(__file__).resolve().parents[3] / "demo_data"
NEED_LABEL = [
    "test_server.py",
    "test_stock_app.py",
    "test_dicomweb.py",
    "test_dicomweb_series.py",
    "test_requests.py",
    "test_uploads.py",
    "test_stopping.py",
    "test_strategy.py",
    "test_training.py",
]
"""They use MONAI Label; test_environment.py says so when they are left out."""
collect_ignore = [] if HAS_LABEL else NEED_LABEL


def flipped(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """The same anatomy with its first axis stored the other way round."""
    turn = np.diag([-1.0, 1.0, 1.0, 1.0])
    turn[0, 3] = image.shape[0] - 1
    return nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine @ turn)


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures grey and coloured, a CT volume and one slice of it, both also stored flipped, and a link outside.

    ``volume`` is CT with the lower end of a heart and the top of a liver, ``brain`` MR with a tumour: something to find
    for every segmenter.
    """
    folder = tmp_path_factory.mktemp("studies")
    grey = np.asarray(Image.open(DATA / "cell_nuclei" / "image.tif"), dtype=np.float64)[:160:2, :200:2]
    grey = (255 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1)).save(folder / "colour.png")
    Image.fromarray(grey).save(folder / "lossy.jpg", quality=95)
    volume = nibabel.load(DATA / "chest_ct" / "ct.nii.gz").slicer[::2, ::2, 37:49:2]
    brain = nibabel.load(scans("prostate_mri_segmentation", tmp_path_factory.mktemp("mr") / "scans") / "scan_0.nii.gz")
    for name, image in (("volume", volume), ("slice", volume.slicer[:, :, 3:4]), ("brain", brain)):
        small = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.int16), image.affine)
        nibabel.save(small, folder / f"{name}.nii.gz")
        nibabel.save(flipped(small), folder / f"{name}_flipped.nii.gz")
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    Image.fromarray(grey).save(outside)
    (folder / "linked.png").symlink_to(outside)
    return folder


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every bundle that annotators may be given, with the weights of a short training of its own."""
    from packages import BUNDLES, trained_package

    folder = tmp_path_factory.mktemp("packaged")
    for name in BUNDLES:
        trained_package(name, folder / name, tmp_path_factory.mktemp(name))
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, studies: Path, packaged: Path) -> Iterator[str]:
    """One server, offline, with every bundle."""
    from packages import BUNDLES
    from running import label_server

    folder = tmp_path_factory.mktemp("server")
    arguments = ["--studies", str(studies), "--collection", str(packaged), "--bundles", ",".join(BUNDLES)]
    with label_server([*arguments, "--workspace", str(folder / "workspace")], folder / "log.txt") as address:
        yield address
