from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, EnsureTyped

from lvm_med_monai.slices import CT_WINDOWS
from lvm_med_monai.transforms import AsPictured, EachSliced, SliceWindowd


def stored(shape, name="/x/scan.nii.gz", **meta):
    return MetaTensor(torch.arange(float(np.prod(shape))).reshape(shape), meta={"filename_or_obj": name, **meta})


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 1)], ids=["picture", "one slice"])
def test_pictures_and_single_slices_become_rows_first_without_metadata(shape):
    image = stored(shape)
    out = AsPictured("image")({"image": image, "name": "scan"})
    assert out["image"].shape == (3, 5, 4)
    assert type(out["image"]) is torch.Tensor
    assert torch.equal(out["image"], image.as_tensor().reshape(3, 4, 5).mT)
    assert out["name"] == "scan"


def test_volumes_are_refused_with_their_name_and_a_cure():
    with pytest.raises(ValueError, match=r"scan.nii.gz holds 7 slices, .* extract its slices first"):
        AsPictured("image")({"image": stored((1, 4, 5, 7))})
    with pytest.raises(ValueError, match=r"named has shape \(4, 5\): expected channels, a picture"):
        AsPictured("image")({"image": torch.zeros(4, 5), "name": "named"})
    with pytest.raises(KeyError):
        AsPictured("image")({"label": 1})


def test_each_slice_of_a_volume_becomes_an_item():
    volume = stored((1, 2, 3, 5))
    items = EachSliced(every=2)({"image": volume, "name": "ct"})
    assert [item["slice_id"] for item in items] == ["ct[0]", "ct[2]", "ct[4]"]
    for item, index in zip(items, (0, 2, 4), strict=True):
        assert torch.equal(item["image"], volume.as_tensor()[..., index].mT)


@pytest.mark.parametrize("shape", [(1, 2, 3), (1, 2, 3, 1)])
def test_one_slice_stays_one_item(shape):
    item = EachSliced()({"image": stored(shape)})
    assert item["slice_id"] == "scan.nii.gz"
    assert item["image"].shape == (1, 3, 2)


def test_slices_that_have_an_id_keep_it():
    assert EachSliced()({"image": torch.zeros(1, 2, 3), "slice_id": "s1", "name": "n"})["slice_id"] == "s1"


def test_a_loader_makes_one_batch_of_a_volume():
    transform = Compose([EachSliced(), EnsureTyped("image", track_meta=False)])
    dataset = Dataset([{"image": torch.zeros(1, 4, 6, 3), "name": "a"}], transform)
    (batch,) = DataLoader(dataset, batch_size=1)
    assert batch["image"].shape == (3, 1, 6, 4)
    assert batch["slice_id"] == ["a[0]", "a[1]", "a[2]"]


@pytest.mark.parametrize("every", [0, -1])
def test_a_step_below_1_is_refused(every):
    with pytest.raises(ValueError, match="at least 1"):
        EachSliced(every=every)


def test_images_without_slices_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        EachSliced()({"image": torch.zeros(1, 2)})


def windowed(values, **meta):
    image = MetaTensor(torch.tensor(values, dtype=torch.float32)[None, None], meta=meta)
    return SliceWindowd("image")({"image": image})["image"][0, 0].tolist()


def test_ct_is_windowed_in_hu():
    assert windowed([-1000, -160, 40, 240, 3000], units="HU") == [0, 0, 0.5, 1, 1]
    lung = SliceWindowd("image", ct_window="lung")({"image": stored((1, 2, 2), units="HU")})["image"]
    expected = (torch.arange(4.0).reshape(1, 2, 2) - CT_WINDOWS["lung"].lower) / 1500
    torch.testing.assert_close(lung.as_tensor(), expected)


def test_eight_bit_pictures_keep_their_range():
    assert windowed([0, 51, 102], units="display") == pytest.approx([0, 0.2, 0.4])


def test_other_values_are_scaled_by_percentiles_of_the_foreground():
    values = [0.0] * 500 + list(range(1, 1001))
    out = windowed(values, units="raw")
    assert out[0] == 0
    assert out[500 + 499] == pytest.approx((500 - 5) / (995 - 5), abs=2e-3)  # 0.5 % and 99.5 % of 1 to 1000
    assert out[-1] == 1


def test_images_without_metadata_and_of_one_value_work():
    out = SliceWindowd("image")({"image": torch.full((1, 3, 3), 7.0)})["image"]
    assert torch.isfinite(out).all()
    assert out.unique().numel() == 1
    with pytest.raises(ValueError, match="there is no window liver; choose soft"):
        SliceWindowd("image", ct_window="liver")
