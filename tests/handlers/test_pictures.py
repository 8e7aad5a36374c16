from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation, Resize, Spacing
from PIL import Image

from lvm_med_monai.handlers import SegmentationPictures
from lvm_med_monai.handlers.drawing import as_picture, captioned, colour, enlarge, overlay, shortened, text_width


def draw(folder, items, **options):
    engine = Engine(lambda engine, item: [item])
    SegmentationPictures(folder, **{"class_names": ["liver", "cyst"], "side": 60, **options}).attach(engine)
    engine.run(items)
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))]


def panel(picture, number, size):
    """Panel 0 (truth) or 1 (prediction) of a picture, size (width, height)."""
    left = 10 + number * (size[0] + 10)
    return picture[45 : 45 + size[1], left : left + size[0]]


def coloured(pixels, index=0):
    """Where a panel has the outline of a class."""
    return (pixels == colour(index)).all(-1)


def volume(place, shape=(30, 20, 5), affine=None):
    """Image, and its label map with a block of label 1, on a grid in RAS."""
    label = torch.zeros(1, *shape)
    label[(0, *place)] = 1
    affine = torch.eye(4) if affine is None else affine
    return MetaTensor(label * 100, affine=affine), MetaTensor(label, affine=affine)


def test_the_slice_with_most_truth_is_drawn_as_a_radiologist_sees_it(tmp_path):
    image, label = volume(np.s_[20:26, 12:18, 3])
    label[0, 0, 0, 1] = 1
    pred = label.clone()
    pred[0, :10, :5, 1] = 1
    (picture,) = draw(tmp_path, [{"image": image, "label": label, "pred": pred}])
    truth = coloured(panel(picture, 0, (60, 40)))
    rows, columns = np.nonzero(truth)
    # in RAS the axes run to the patient's right and front, which are left and above in a picture
    assert (rows.min(), rows.max()) == (2 * (20 - 18), 2 * (20 - 12) - 1)
    assert (columns.min(), columns.max()) == (2 * (30 - 26), 2 * (30 - 20) - 1)
    assert (coloured(panel(picture, 1, (60, 40))) == truth).all()


def test_the_same_anatomy_stored_otherwise_gives_the_same_picture(tmp_path):
    image, label = volume(np.s_[20:26, 12:18, 3])
    turn = Orientation(axcodes="SLA", labels=None)
    items = [{"image": image, "label": label, "pred": label}]
    items.append({key: turn(value) for key, value in items[0].items()})
    first, second = draw(tmp_path, items)
    assert (first[30:] == second[30:]).all()


@pytest.mark.parametrize(("axis", "size"), [(2, (60, 40)), (1, (60, 10)), (0, (60, 15))])
def test_pixels_are_square_along_every_axis(tmp_path, axis, size):
    image, label = volume(np.s_[10:20, 5:15, 1:4])
    (picture,) = draw(tmp_path, [{"image": image, "label": label, "pred": label}], axis=axis)
    assert picture.shape[1] == 2 * size[0] + 30
    assert panel(picture, 0, size).shape[:2] == size[::-1]
    assert coloured(panel(picture, 0, size)).any()


def test_anisotropic_pixels_are_stretched(tmp_path):
    image, label = volume(np.s_[10:20, 5:15, 1:4], affine=torch.diag(torch.tensor([1.0, 3.0, 1.0, 1.0])))
    (picture,) = draw(tmp_path, [{"image": image, "label": label, "pred": label}])
    rows, columns = np.nonzero(coloured(panel(picture, 0, (30, 60))))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (30, 10)


def test_an_image_on_the_networks_grid_is_brought_to_that_of_the_masks(tmp_path):
    scan = np.zeros((40, 30, 6), np.float32)
    scan[8:16, 10:26, 2:5] = 500
    affine = np.array([[-1.0, 0, 0, 50], [0, 1.5, 0, -20], [0, 0, 4, 7], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(scan, affine), tmp_path / "scan.nii.gz")
    load = Compose([LoadImage(image_only=True), EnsureChannelFirst()])
    stored = load(tmp_path / "scan.nii.gz")
    network = Spacing((2.0, 2.0, 2.0))(Orientation(axcodes="RAS", labels=None)(stored))
    mask = MetaTensor((stored > 0).float(), meta=stored.meta)
    (picture,) = draw(tmp_path / "out", [{"image": network, "label": mask, "pred": mask}], side=160)
    shown = panel(picture, 0, (142, 160))
    bright = (shown.min(-1) > 100) | coloured(shown)
    rows, columns = np.nonzero(coloured(shown))
    box = np.zeros_like(bright)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    assert (bright & box).sum() / (bright | box).sum() > 0.9


def test_pictures_of_two_and_of_one_slice_stay_as_stored(tmp_path):
    image = MetaTensor(torch.rand(3, 16, 12))
    label = torch.zeros(3, 16, 12)
    label[0] = 1
    label[:, 3:8, 2:6] = torch.tensor([0, 0, 1])[:, None, None]
    items = [{"image": image, "label": label, "pred": label}]
    items.append({key: value[..., None] for key, value in items[0].items()})
    items.append({**items[0], "image": image[..., None]})
    items.append({**items[1], "image": Resize((8, 6, 1))(image[..., None]), "pred": MetaTensor(label[..., None])})
    pictures = draw(tmp_path, items, side=64)
    for picture in pictures[:3]:
        truth = coloured(panel(picture, 0, (64, 48)), index=1)
        rows, columns = np.nonzero(truth)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 23, 12, 31)
    assert (pictures[0][30:] == pictures[1][30:]).all()
    assert (pictures[0][30:] == pictures[2][30:]).all()


def test_without_truth_the_prediction_alone_is_drawn_where_it_is_largest(tmp_path):
    image, pred = volume(np.s_[2:9, 2:9, 4])
    (picture,) = draw(tmp_path, [{"image": image, "pred": pred}])
    assert picture.shape[1] == 60 + 20
    assert coloured(panel(picture, 0, (60, 40))).any()


def test_nothing_to_find_and_nothing_found_is_drawn_too(tmp_path):
    image, empty = volume(np.s_[0:0, 0, 0])
    (picture,) = draw(tmp_path, [{"image": image, "label": empty, "pred": empty}])
    assert not coloured(picture).any()


def test_titles_hold_dice_of_the_whole_case(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        "lvm_med_monai.handlers.pictures.captioned",
        lambda panels, title, legend: said.append((title, legend)) or captioned(panels, title, legend),
    )
    image, label = volume(np.s_[0:10, 0:10, 1:3])
    pred = label.clone()
    pred[0, :, :, 2] = 0
    pred[0, 0, 0, 4] = 2
    draw(tmp_path, [{"image": image, "label": label, "pred": pred}])
    assert said == [("case 0, slice 2 of 5, mean Dice 0.333", [(0, "liver 0.667"), (1, "cyst 0.000")])]


def test_files_are_numbered_limited_and_start_anew(tmp_path):
    image, label = volume(np.s_[2:9, 2:9, 4])
    image.meta["filename_or_obj"] = "Name^Of^Patient.nii.gz"
    item = {"image": image, "label": label, "pred": label}
    engine = Engine(lambda engine, item: [item, item])
    SegmentationPictures(tmp_path, ["liver"], side=40, limit=3).attach(engine)
    engine.run([item, item], max_epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case_0000.png", "case_0001.png", "case_0002.png"]
    assert not any(b"Patient" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 8, 8), (1, 8, 8), (1, 6, 8)), "truth .* and prediction .* lie on different grids"),
        (((1, 4, 8), (1, 8, 8), (1, 8, 8)), "image .* and prediction .* have no affines"),
    ],
    ids=["truth", "image"],
)
def test_grids_that_cannot_be_joined_are_an_error(tmp_path, shapes, message):
    image, label, pred = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message.replace(" have", ".*have")):
        draw(tmp_path, [{"image": image, "label": label, "pred": pred}])


def test_images_of_any_range_become_8_bit():
    flat = as_picture(np.full((1, 4, 4), 7.0))
    assert flat.shape == (4, 4, 3)
    assert not flat.any()
    ramp = as_picture(np.linspace(-1000, 3000, 1000).reshape(1, 10, 100))
    assert (ramp.min(), ramp.max()) == (0, 255)
    assert as_picture(np.array([[[np.nan, 1.0]]])).max() == 255
    colours = as_picture(np.stack([np.eye(4), np.zeros((4, 4)), np.zeros((4, 4))]))
    assert colours[0, 0].tolist() == [255, 0, 0]


def test_masks_are_outlined_in_full_and_filled_translucently():
    labels = np.zeros((9, 9), int)
    labels[2:7, 2:7] = 1
    drawn = overlay(np.zeros((9, 9, 3), np.uint8), labels)
    assert coloured(drawn).sum() == 16
    assert 0 < drawn[4, 4].sum() < sum(colour(0))
    assert not drawn[0].any()


def test_colours_differ_and_text_is_cut_to_fit():
    assert len({colour(index) for index in range(30)}) == 30
    long = shortened("a very long name of a class " * 5, 100)
    assert text_width(long) <= 100
    assert long.endswith("...")
    assert enlarge(np.zeros((10, 20), np.uint8), (2.0, 1.0), 40).shape == (40, 40)
    many = captioned([("p", np.zeros((20, 100, 3), np.uint8))], "t", [(n, f"class {n}") for n in range(9)])
    assert many.size[1] > 20 + 9 * 20 // 2
