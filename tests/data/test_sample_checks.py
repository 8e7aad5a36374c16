from __future__ import annotations

from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from lvm_med_monai.data import balanced_epoch_length, check_picture, check_samples
from lvm_med_monai.transforms import MapLabelsd

HALF = MapLabelsd("label", [[0, 127, 0], [128, 255, 1]])
NAMES = ["background", "lesion"]


@pytest.fixture
def entry(tmp_path):
    """Writes a pair of picture and mask; returns its entry."""

    def make(name, mask, image=None):
        mask = np.asarray(mask, np.uint8)
        Image.fromarray(np.zeros(mask.shape, np.uint8) if image is None else image).save(tmp_path / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        return {"image": str(tmp_path / f"{name}.png"), "label": str(tmp_path / f"{name}_mask.png")}

    return make


def check(entries, label_map=HALF, names=NAMES, channels=2, **options):
    return check_samples(entries, label_map, names, channels, progress=False, **options)


def test_classes_are_counted_by_entry(entry):
    assert check([entry("a", [[0, 255]]), entry("b", [[0, 0]])]) == Counter({0: 2, 1: 1})


def test_masks_without_any_foreground_are_refused(entry):
    with pytest.raises(ValueError, match="none of 2 masks holds any of lesion: their values do not mean"):
        check([entry("a", [[0, 1]]), entry("b", [[0, 1]])])


def test_an_absent_class_is_told(entry, caplog):
    three = MapLabelsd("label", [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    check([entry("a", [[0, 2]])], three, ["background", "one", "two"], 3)
    assert "no mask holds class 1, one" in caplog.text
    assert "two" not in caplog.text


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "LA", "PA"])
def test_pictures_of_four_channels_are_refused(entry, tmp_path, mode):
    made = entry("a", [[0, 255]])
    path = tmp_path / ("a.tif" if mode in ("CMYK", "PA") else "a.png")
    Image.new(mode, (2, 1)).save(path)
    message = rf"{path.name} has \d channels \({mode}\), expected grey or RGB: save it"
    with pytest.raises(ValueError, match=message):
        check([{**made, "image": str(path)}])
    with pytest.raises(ValueError, match=message):
        check_picture(path)


@pytest.mark.parametrize("label", [None, 3, []], ids=str)
def test_an_entry_without_a_mask_is_named(entry, label):
    with pytest.raises(ValueError, match=r"^a.png has no mask: add a label, or leave the entry out"):
        check([{**entry("a", [[0, 255]]), "label": label}])


def test_a_value_without_a_class_is_named(entry):
    strict = MapLabelsd("label", [[0, 0, 0], [255, 255, 1]])
    with pytest.raises(ValueError, match=r"^b_mask.png holds 7, 9, which the label map has no class for"):
        check([entry("a", [[0, 255]]), entry("b", [[0, 7, 9]])], strict)


def test_classes_rules_and_network_must_fit(entry):
    made = [entry("a", [[0, 255]])]
    with pytest.raises(ValueError, match="the network gives 3 classes, but class_names has 2"):
        check(made, channels=3)
    five = MapLabelsd("label", [[0, 0, 0], [255, 255, 5]])
    with pytest.raises(ValueError, match="label_map gives class 5, but class_names has 2 names, of classes 0 to 1"):
        check(made, five)
    with pytest.raises(ValueError, match="the network gives 3"):
        check(made, channels=3, enabled=False)


def test_data_may_be_trusted():
    assert check([{"image": "absent.png", "label": "absent.png"}], enabled=False) == Counter()


def test_an_epoch_has_twice_the_slices_with_a_target(tmp_path):
    mask = np.zeros((4, 4, 10), np.uint8)
    mask[1, 1, 2:7], mask[2, 2, 8] = 1, 2
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "m.nii.gz")
    entries = [{"label": str(tmp_path / "m.nii.gz")}] * 3
    three = MapLabelsd("label", [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    assert balanced_epoch_length(entries, three, batch_size=8) == 2 * 18 // 8
    assert balanced_epoch_length(entries, three, batch_size=8, classes=[2]) == 1
