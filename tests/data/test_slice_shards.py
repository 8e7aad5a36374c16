from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from lvm_med_monai.data import SliceShardDataset
from lvm_med_monai.slices import SlicePolicy, Source, extract

HU = np.linspace(-1000, 1000, 16 * 12).reshape(16, 12)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A CT of 9 slices 4 mm apart, an MR of 3, and a colour picture."""
    root = tmp_path_factory.mktemp("shards")
    ct = np.stack([HU + index for index in range(9)], axis=-1).astype(np.int16)
    nib.save(nib.Nifti1Image(ct, np.diag([1, 1, 4, 1])), root / "ct.nii.gz")
    nib.save(nib.Nifti1Image(ct[..., :3] + 1000, np.diag([1, 1, 8, 1])), root / "mr.nii.gz")
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(colour).save(root / "skin.png")
    sources = [
        Source(root / "ct.nii.gz", dataset="ct", modality="CT", split="train"),
        Source(root / "mr.nii.gz", dataset="mr", modality="MR", split="train"),
        Source(root / "skin.png", dataset="skin", split="test"),
    ]
    policy = SlicePolicy(every_mm=0, min_foreground=0, min_size=8)
    extract(sources, root / "out", policy=policy, key_file=root / "key")
    return root / "out", colour


def test_grey_slices_go_through_their_window(shards):
    dataset = SliceShardDataset(shards[0], where={"dataset": ["ct"]})
    assert len(dataset) == 9
    item = dataset[0]
    lower, upper = item["window_lower"], item["window_upper"]
    stored = np.sort(HU.astype(np.int16).ravel())
    wanted = np.clip((stored - lower) / (upper - lower), 0, 1)
    assert item["image"].dtype == torch.float32
    assert item["image"].shape[0] == 1
    np.testing.assert_allclose(np.sort(item["image"].numpy().ravel()), wanted, atol=1e-6)


def test_colour_comes_back_in_three_channels(shards):
    root, colour = shards
    item = SliceShardDataset(root, where={"split": ["test"]})[0]
    torch.testing.assert_close(item["image"], torch.from_numpy(colour).permute(2, 0, 1).float() / 255)


@pytest.mark.parametrize(("every_mm", "count"), [(None, 9), (4, 9), (8, 5), (10, 3), (1000, 1)])
def test_slices_can_be_spaced(shards, every_mm, count):
    rows = SliceShardDataset(shards[0], where={"dataset": ["ct"]}, every_mm=every_mm).rows
    assert len(rows) == count
    if every_mm and count > 1:
        assert min(np.diff(sorted(row["position_mm"] for row in rows))) >= every_mm - 1e-3


def test_spacing_is_judged_in_each_stack(shards):
    assert len(SliceShardDataset(shards[0], where={"split": ["train"]}, every_mm=8).rows) == 5 + 3


def test_transforms_see_the_item(shards):
    assert SliceShardDataset(shards[0], transform=lambda item: item["modality"])[0] in {"CT", "MR", "unknown"}


def test_bad_requests_are_named(shards, tmp_path):
    with pytest.raises(ValueError, match=r"has no field \['colour'\]: see docs/slices.md"):
        SliceShardDataset(shards[0], where={"colour": ["red"]})
    with pytest.raises(ValueError, match=r"no slice of out \(of 13\) has {'split': \['validation'\]}"):
        SliceShardDataset(shards[0], where={"split": ["validation"]})
    with pytest.raises(FileNotFoundError, match="manifest"):
        SliceShardDataset(tmp_path)
