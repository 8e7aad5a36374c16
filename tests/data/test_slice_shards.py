from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fsspec
import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lvm_med_monai.data import SliceShardDataset
from lvm_med_monai.slices import (
    CT_WINDOWS,
    SlicePolicy,
    Source,
    Window,
    apply_window,
    extract,
    read_manifest,
    read_slice,
)
from tests.data.large_manifest import write_large_manifest

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


@pytest.mark.parametrize("where", [None, {"dataset": ["ct"]}, {"modality": {"CT", "MR"}, "split": ["train"]}])
def test_rows_are_those_of_the_manifest(shards, where):
    table = read_manifest(shards[0]).to_pylist()
    wanted = [row for row in table if all(row[name] in allowed for name, allowed in (where or {}).items())]
    rows = SliceShardDataset(shards[0], where=where).rows
    assert list(rows) == wanted
    assert rows[-1] == wanted[-1]
    assert list(rows[1:3]) == wanted[1:3]
    with pytest.raises(IndexError):
        rows[len(wanted)]


@pytest.mark.parametrize("name", ["position_mm", "sha256_pixels", "slice_id", "flags", "origin", "tile_row", "units"])
def test_any_field_can_choose(shards, name):
    table = read_manifest(shards[0]).to_pylist()
    value = table[4][name]
    wanted = [row["slice_id"] for row in table if row[name] == value]
    assert [row["slice_id"] for row in SliceShardDataset(shards[0], where={name: [value]}).rows] == wanted


def test_groups(shards):
    dataset = SliceShardDataset(shards[0])
    groups = dataset.groups("modality", "dataset")
    assert groups == [(row["modality"], row["dataset"]) for row in dataset.rows]
    assert Counter(groups) == {("CT", "ct"): 9, ("MR", "mr"): 3, ("unknown", "skin"): 1}


WINDOWS = {
    "window": (Window(-500, 500), Window(-500, 500)),
    "name": ("lung", CT_WINDOWS["lung"]),
    "function": (lambda row: Window(-100, 100 + row["slice_index"]), Window(-100, 104)),
}


@pytest.mark.parametrize("choice", WINDOWS)
def test_windows_can_be_chosen(shards, choice):
    asked, expected = WINDOWS[choice]
    item = SliceShardDataset(shards[0], where={"dataset": ["ct"]}, window=asked)[4]
    (row,) = [row for row in read_manifest(shards[0]).to_pylist() if row["slice_id"] == item["slice_id"]]
    assert (item["window_lower"], item["window_upper"]) == (expected.lower, expected.upper)
    assert np.array_equal(item["image"][0].numpy(), apply_window(read_slice(shards[0], row), expected))


def test_colour_has_no_window(shards):
    root, colour = shards
    item = SliceShardDataset(root, where={"dataset": ["skin"]}, window=Window(3, 4))[0]
    assert item["window_upper"] == 255
    assert np.array_equal(item["image"].permute(1, 2, 0).numpy(), colour / np.float32(255))


@pytest.mark.parametrize(
    ("window", "message"),
    [("liver", "there is no window liver; choose soft, lung"), ("lung", "is in HU, but some slices have units raw")],
)
def test_windows_that_do_not_fit(shards, window, message):
    with pytest.raises(ValueError, match=message):
        SliceShardDataset(shards[0], window=window)


@pytest.fixture
def remote(shards):
    """The same folder in an object store."""
    files = fsspec.filesystem("memory")
    files.put(str(shards[0]) + "/", "/bucket/slices/", recursive=True)
    yield "memory://bucket/slices"
    files.rm("/bucket", recursive=True)


def test_object_stores_give_the_same(shards, remote, monkeypatch):
    local, far = SliceShardDataset(shards[0]), SliceShardDataset(remote)
    requests = []
    files = fsspec.filesystem("memory")
    read = files.cat_file
    monkeypatch.setattr(files, "cat_file", lambda *arguments: requests.append(arguments) or read(*arguments))
    assert list(far.rows) == list(local.rows)
    for index in (0, 9, 12):
        assert torch.equal(far[index]["image"], local[index]["image"])
    assert [stop - start for _, start, stop in requests] == [local.rows[i]["nbytes"] for i in (0, 9, 12)]


def test_file_urls_are_paths(shards):
    assert torch.equal(SliceShardDataset(f"file://{shards[0]}")[3]["image"], SliceShardDataset(shards[0])[3]["image"])


def test_missing_folder_of_a_store(remote):
    with pytest.raises(FileNotFoundError, match=r"memory://bucket/other holds no manifest"):
        SliceShardDataset("memory://bucket/other")


def test_copies_in_workers(shards):
    dataset = SliceShardDataset(shards[0], where={"dataset": ["ct"]}, window="bone")
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[2]["image"], dataset[2]["image"])
    images = [item["image"] for item in DataLoader(dataset, batch_size=None, num_workers=2)]
    assert all(torch.equal(image, dataset[i]["image"]) for i, image in enumerate(images))


def test_splits_share_the_columns(shards):
    train, test = (SliceShardDataset(shards[0], where={"split": [name]}) for name in ("train", "test"))
    assert train.rows._columns is SliceShardDataset(shards[0]).rows._columns
    assert len(test) == 1


REHEARSAL = """
import sys, time
import torch
from lvm_med_monai.data import ResumableDistributedSampler, SliceShardDataset

def resident(name):
    (line,) = [line for line in open("/proc/self/status") if line.startswith(name)]
    return int(line.split()[1]) * 1024

imported = resident("VmHWM")
start = time.process_time()
parts = {name: SliceShardDataset(sys.argv[1], where={"split": [name]}) for name in ("train", "validation", "test")}
sampler = ResumableDistributedSampler(parts["train"], seed=1, rank=3, world_size=8)
first = next(iter(sampler))
opened, peak = time.process_time() - start, resident("VmHWM")
assert sum(map(len, parts.values())) == int(sys.argv[2])
row = parts["train"].rows[first]
assert row["split"] == "train" and row["sha256_pixels"].endswith(row["slice_id"][:16])
start = time.process_time()
spaced = SliceShardDataset(sys.argv[1], where={"split": ["train"]}, every_mm=4)
assert len(spaced) == len(parts["train"]) // 2
print(opened, time.process_time() - start, peak - imported)
"""


@pytest.mark.slow
def test_dress_rehearsal_with_1_3_million_slices(tmp_path: Path):
    """Opening, splitting and shuffling take 5 s and 600 MiB at most, besides what importing torch and MONAI takes."""
    rows = 1_300_000
    write_large_manifest(tmp_path, rows)
    command = [sys.executable, "-c", REHEARSAL, str(tmp_path), str(rows)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    opened, spaced, peak = map(float, run.stdout.split())
    print(f"{opened:.2f} s, {spaced:.2f} s, {peak / 2**20:.0f} MiB")
    assert opened <= 5
    assert spaced <= 5
    assert peak <= 600 << 20
