"""The balanced list: its proportions, its copies, its batches, and an epoch of pretraining from it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from lvm_med_monai.lists.mix import NO_CROP, Mix, listed, make_mix
from lvm_med_monai.lists.mix_file import overlay, read_mix, write_mix
from lvm_med_monai.lists.mixed_slices import MixBatchSampler, MixedSlices, cropped, order_of_draws
from lvm_med_monai.lists.partition import largest_remainder
from lvm_med_monai.lists.shares import capped_shares, tempered_shares
from lvm_med_monai.slices.store.manifest import MANIFEST, write_table

SIZES = {"CT": 40_000, "MR": 20_000, "OP": 2_500, "US": 400}


def mix_of(sizes: dict[str, int], batch_size: int = 100, power: float = 0.5, items: int | None = None) -> Mix:
    """A mix without a manifest, by the same steps as `make_mix`."""
    shares, _ = capped_shares(tempered_shares(sizes, power), sizes, batch_size)
    length = items or math.ceil(max(sizes[name] / share for name, share in shares.items()))
    members = {name: [f"{name}-{n}" for n in range(count)] for name, count in sizes.items()}
    return listed(members, largest_remainder(shares, length), seed=0, settings={"shares": shares})


def manifest(folder, sizes, split="train"):
    rows = [
        {"slice_id": f"{name}{n:05d}", "modality": name, "dataset": "set", "split": split, "schema_version": 2}
        for name, count in sizes.items()
        for n in range(count)
    ]
    folder.mkdir(exist_ok=True)
    write_table(folder, MANIFEST, rows)
    return folder


def test_shares_are_those_of_the_square_root():
    shares = tempered_shares({"CT": 10_000, "MR": 400, "US": 100})
    assert shares == pytest.approx({"CT": 100 / 130, "MR": 20 / 130, "US": 10 / 130})
    assert tempered_shares({"CT": 3, "US": 1}, power=1) == {"CT": 0.75, "US": 0.25}
    assert tempered_shares({"CT": 3, "US": 1}, power=0) == {"CT": 0.5, "US": 0.5}


def test_100_000_draws_have_the_documented_proportions():
    mix = mix_of(SIZES)
    sampler = MixBatchSampler(mix, batch_size=100)
    wanted = tempered_shares(SIZES)
    drawn: Counter[str] = Counter()
    while drawn.total() < 100_000:
        for batch in sampler:
            drawn.update(mix.names[mix.groups[item]] for item in batch)
            if drawn.total() == 100_000:
                break
    for name, share in wanted.items():
        assert abs(drawn[name] / 100_000 - share) < 0.01
        assert abs(drawn[name] / 100_000 / share - 1) < 0.01


def test_every_batch_has_nearly_the_proportions_of_the_whole():
    mix = mix_of(SIZES)
    shares = tempered_shares(SIZES)
    for batch in MixBatchSampler(mix, batch_size=100):
        found = Counter(mix.names[mix.groups[item]] for item in batch)
        assert all(abs(found[name] - 100 * share) <= 3 for name, share in shares.items())


def test_every_slice_is_in_the_list_once_and_copies_are_crops():
    mix = mix_of({"CT": 900, "US": 100})
    assert {slice_id for slice_id, copy in zip(mix.slice_ids, mix.copies, strict=True) if copy == 0} == {
        *(f"CT-{n}" for n in range(900)),
        *(f"US-{n}" for n in range(100)),
    }
    assert [(row["slices"], row["items"]) for row in mix.table()] == [(900, 900), (100, 300)]
    assert ((mix.crop_seeds == NO_CROP) == (mix.copies == 0)).all()
    crops = mix.crop_seeds[mix.copies > 0]
    assert len(np.unique(crops)) == len(crops) == 200
    assert (crops >= 0).all()


groups = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 400), min_size=1)


@settings(deadline=None, max_examples=60)
@given(groups, st.integers(2, 60), st.floats(0, 1))
def test_no_slice_meets_its_own_copy_in_a_batch(sizes, batch_size, power):
    try:
        mix = mix_of(sizes, batch_size, power)
    except ValueError as error:
        if "too few" not in str(error):
            raise
        return
    sampler = MixBatchSampler(mix, batch_size)
    for _ in range(2):
        seen: set[int] = set()
        for batch in sampler:
            assert len({mix.slice_ids[item] for item in batch}) == batch_size
            assert seen.isdisjoint(batch)
            seen.update(batch)
    assert sorted(sampler.order(5).tolist()) == list(range(len(mix)))


@settings(deadline=None, max_examples=30)
@given(groups, st.integers(2, 60), st.floats(0, 1))
def test_shares_sum_to_1_and_no_group_fills_a_batch_with_copies(sizes, batch_size, power):
    wanted = tempered_shares(sizes, power)
    try:
        shares, capped = capped_shares(wanted, sizes, batch_size)
    except ValueError:
        assert sum(sizes.values()) < batch_size + 4 * len(sizes) + 2
        return
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert all(shares[name] < wanted[name] or name not in capped for name in sizes)


def test_two_processes_draw_the_batches_of_one_in_turn():
    mix = mix_of({"CT": 900, "US": 300})
    alone = list(MixBatchSampler(mix, batch_size=40))
    ranks = [list(MixBatchSampler(mix, batch_size=20, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [[*a, *b] for a, b in zip(*ranks, strict=True)] == alone


def test_epochs_differ_and_a_checkpoint_goes_on():
    mix = mix_of({"CT": 900, "US": 300})
    sampler = MixBatchSampler(mix, batch_size=50)
    first, second = list(sampler), list(sampler)
    assert first != second
    other = MixBatchSampler(mix, batch_size=50)
    next(iter(other))
    resumed = MixBatchSampler(mix, batch_size=50)
    resumed.load_state_dict(other.state_dict())
    assert list(resumed) == second


def test_a_mix_depends_on_its_seed_alone(tmp_path):
    folder = manifest(tmp_path / "a", {"CT": 300, "US": 60})
    shuffled = manifest(tmp_path / "b", {"US": 60, "CT": 300})
    one, two, three = (
        make_mix(root, batch_size=40, seed=seed) for root, seed in ((folder, 0), (shuffled, 0), (folder, 1))
    )
    assert one.slice_ids == two.slice_ids
    assert (one.crop_seeds == two.crop_seeds).all()
    assert one.slice_ids != three.slice_ids
    assert list(MixBatchSampler(one, 40)) == list(MixBatchSampler(two, 40))
    # on every machine and in every version
    assert one.slice_ids[:3] == ("CT00203", "CT00153", "CT00215")


def test_a_file_keeps_a_mix(tmp_path):
    mix = make_mix(manifest(tmp_path / "slices", {"CT": 300, "US": 60}), batch_size=40)
    write_mix(mix, tmp_path / "mix.parquet")
    again = read_mix(tmp_path / "mix.parquet")
    assert again.slice_ids == mix.slice_ids
    assert (again.groups == mix.groups).all()
    assert (again.crop_seeds == mix.crop_seeds).all()
    assert again.settings == mix.settings
    assert again.names == ("CT", "US")


def test_shares_by_hand_and_groups_of_several_fields(tmp_path):
    folder = manifest(tmp_path / "slices", {"CT": 300, "US": 200})
    mix = make_mix(folder, ("dataset", "modality"), shares={"set/CT": 1, "set/US": 3}, batch_size=20)
    assert [(row["group"], row["share"]) for row in mix.table()] == [("set/CT", 0.25), ("set/US", 0.75)]


def test_a_capped_group_is_told(tmp_path):
    mix = make_mix(manifest(tmp_path / "slices", {"CT": 3000, "US": 4}), batch_size=200)
    assert mix.settings["capped"] == ["US"]
    assert len(MixBatchSampler(mix, 200)) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"power": 1.5}, "lies in"),
        ({"by": ("patient_h",)}, "grouped by"),
        ({"by": ()}, "grouped by"),
        ({"split": ("test",)}, "choose another"),
        ({"shares": {"CT": 1.0}}, "the groups are CT, US"),
        ({"shares": {"CT": -1.0, "US": 2.0}}, "not be negative"),
        ({"batch_size": 400}, "too few"),
    ],
    ids=["power", "field", "no_field", "split", "groups", "negative", "batch"],
)
def test_what_cannot_be_mixed(tmp_path, change, message):
    folder = manifest(tmp_path / "slices", {"CT": 300, "US": 60})
    with pytest.raises(ValueError, match=message):
        make_mix(folder, **{"batch_size": 40, **change})


def test_no_file_and_other_files_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="lists mix"):
        read_mix(tmp_path / "mix.parquet")
    with pytest.raises(ValueError, match="is no mix"):
        read_mix(manifest(tmp_path / "slices", {"CT": 1}) / MANIFEST)


def test_a_sampler_refuses_batches_in_which_a_copy_would_meet_its_slice():
    mix = mix_of({"CT": 900, "US": 40}, batch_size=40)
    with pytest.raises(ValueError, match="40 slices of US"):
        MixBatchSampler(mix, 400)
    with pytest.raises(ValueError, match="do not fill"):
        MixBatchSampler(mix, 4000)


def test_crops_cover_85_to_95_percent_and_keep_size_and_place():
    ramp = torch.arange(200.0).expand(1, 100, 200) / 200
    image = torch.cat([ramp, torch.arange(100.0)[:, None].expand(1, 100, 200) / 100])
    for seed in range(50):
        crop = cropped(image, seed)
        assert crop.shape == image.shape
        assert torch.equal(crop, cropped(image, seed))
        # the range of a ramp within a crop is the length of its side
        sides = [float(crop[c].max() - crop[c].min()) for c in (0, 1)]
        assert 0.83 <= sides[0] * sides[1] <= 0.955
    assert len({float(cropped(image, seed).mean()) for seed in range(50)}) > 20


class Slices(torch.utils.data.Dataset):
    """Stands in for slices: the image holds the place."""

    def __init__(self, ids):
        self.ids, self.rows = ids, self

    def column(self, name):
        assert name == "slice_id"
        return self.ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {"image": torch.full((1, 8, 8), float(index)), "slice_id": self.ids[index]}


def test_items_are_the_slices_of_the_mix(tmp_path):
    mix = mix_of({"CT": 60, "US": 20}, batch_size=10)
    slices = Slices(sorted(set(mix.slice_ids)))
    data = MixedSlices(slices, mix, transform=lambda item: {**item, "transformed": True})
    assert len(data) == len(mix)
    for index in range(len(mix)):
        item = data[index]
        assert item["slice_id"] == mix.slice_ids[index]
        assert torch.allclose(item["image"], torch.full((1, 8, 8), float(slices.ids.index(item["slice_id"]))))
        assert item["transformed"]
    with pytest.raises(ValueError, match="lists mix"):
        MixedSlices(Slices(slices.ids[:-1]), mix)


def test_the_order_of_draws_spreads_groups_evenly():
    assert order_of_draws(np.repeat([0, 1], [4, 2])).tolist() == [0, 0, 1, 0, 0, 1]
    assert order_of_draws(np.array([0, 0, 0])).tolist() == [0, 0, 0]


@pytest.mark.slow
def test_a_mix_feeds_an_epoch_of_the_bundle(tmp_path):
    import json

    from lvm_med_monai.lists.__main__ import main
    from lvm_med_monai.slices import SlicePolicy, Source, extract
    from tests.bundles.conftest import DATA, PRETRAINING
    from tests.bundles.harness import succeed

    every = SlicePolicy(every_mm=0)
    sources = [
        Source(DATA / "brain_mr_dicom", dataset="brain", split="train"),
        Source(DATA / "chest_ct" / "ct.nii.gz", dataset="chest", modality="CT", split="train"),
    ]
    extract(sources, tmp_path / "slices", every, key_file=tmp_path / "key", progress=False)
    folder, out, config = (str(tmp_path / name) for name in ("slices", "mix.parquet", "mix.json"))
    assert main(["mix", folder, "-o", out, "--batch-size", "16", "--overlay", config, "--json"]) == 0
    mix = read_mix(tmp_path / "mix.parquet")
    assert json.loads((tmp_path / "mix.json").read_text()) == overlay(tmp_path / "mix.parquet", ["train"])
    options = {
        "depth": 18, "width": 8, "batch_size": 16, "recipe::graph_size": 16, "view_size": 32, "stored_size": 40,
        "epochs": 1, "epoch_length": len(MixBatchSampler(mix, 16)), "num_workers": 2,
        "dataset_dir": tmp_path / "slices", "run_dir": tmp_path / "run", "probes": "[]",
    }  # fmt: skip
    names = ["train.json", str(tmp_path / "mix.json")]
    said = succeed(PRETRAINING, names, options, tmp_path)
    assert "Epoch[1]" in said
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    assert record["iterations"] == len(mix) // 16
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["processes"][0]["objects"]["sampler"] == {"epoch": 1}
