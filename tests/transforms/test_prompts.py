"""Prompts reach the pixel that they were put on, whatever the reader and the pipeline did to the image."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged
from PIL import Image

from lvm_med_monai.transforms import AddMaskPromptsd, AddPromptsd, AsSlicesd, CoarseScoresd, RowsFirstd, encode_prompts
from lvm_med_monai.transforms.prompt_table import MAX_PROMPTS, prompt_rows

ORIENTATIONS = {
    "RAS": np.diag([1.0, 1.0, 3.0, 1.0]),
    "LPS": np.diag([-1.0, -1.0, 3.0, 1.0]),
    "LAI": np.diag([-1.0, 1.0, -3.0, 1.0]),
    "PIR": np.array([[0, 0, 3.0, 5], [-1, 0, 0, 7], [0, -1, 0, 9], [0, 0, 0, 1.0]]),
    "thick first axis": np.array([[0, 1.0, 0, 0], [0, 0, 1.0, 0], [4.0, 0, 0, 0], [0, 0, 0, 1.0]]),
    "oblique": np.array([[0.96, -0.28, 0, 3], [0.28, 0.96, 0, -8], [0, 0, 3.0, 1], [0, 0, 0, 1.0]]),
}
SHAPE = (20, 24, 14)
VOXEL = (12, 5, 9)
LOAD = [
    LoadImaged("image", reader="lvm_med_monai.data.SampleReader"),
    EnsureChannelFirstd("image"),
    AsSlicesd("image"),
    RowsFirstd("image"),
]
PIPELINE = Compose([*LOAD, AddPromptsd("image")])


def volume(folder, affine, suffix=".nii.gz"):
    """A volume whose one bright voxel is ``VOXEL`` of the stored array."""
    voxels = np.zeros(SHAPE, np.float32)
    voxels[VOXEL] = 1000
    path = folder / f"scan{suffix}"
    if suffix == ".nii.gz":
        nib.save(nib.Nifti1Image(voxels, affine), path)
    else:
        import itk

        image = itk.image_from_array(np.ascontiguousarray(voxels.T))
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        image.SetDirection(itk.matrix_from_array(lps[:3, :3] / spacing))
        itk.imwrite(image, str(path))
    return path


def rows(image):
    """Rows of the table of each slice that has some, by slice."""
    planes = image[-1].as_tensor() if isinstance(image, MetaTensor) else image[-1]
    tables = {
        index: planes[..., index].flatten()[: 3 * MAX_PROMPTS].reshape(-1, 3) for index in range(planes.shape[-1])
    }
    return {index: table[table[:, 0] > 0].tolist() for index, table in tables.items() if table.any()}


@pytest.mark.parametrize("affine", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
def test_a_click_on_a_stored_voxel_is_a_click_on_its_pixel(affine, tmp_path):
    image = PIPELINE({"image": str(volume(tmp_path, affine)), "foreground": [list(VOXEL)]})["image"]
    ((index, table),) = rows(image).items()
    (kind, x, y), padding = table
    assert kind == 2
    assert padding[0] == 5
    assert image[0, int(y), int(x), index] == image[:-1].max() > 0


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_the_header_of_other_formats_says_where_voxels_lie(suffix, tmp_path):
    path = volume(tmp_path, ORIENTATIONS["LAI"], suffix)
    image = PIPELINE({"image": str(path), "foreground": [list(VOXEL)]})["image"]
    ((index, ((_, x, y), _)),) = rows(image).items()
    assert image[0, int(y), int(x), index] == 1000


@pytest.mark.parametrize("affine", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
def test_the_inverse_brings_a_mask_back_to_the_readers_grid(affine, tmp_path):
    item = PIPELINE({"image": str(volume(tmp_path, affine)), "foreground": [list(VOXEL)]})
    read = Compose(LOAD[:2])({"image": item["image"].meta["filename_or_obj"]})["image"]
    item["pred"] = item["image"][:1].clone()
    back = Invertd("pred", PIPELINE, "image", nearest_interp=True, to_tensor=True)(item)["pred"]
    assert torch.equal(torch.as_tensor(back).squeeze(), torch.as_tensor(read).squeeze())


def picture(folder, name="a.png"):
    Image.fromarray(np.arange(30 * 40, dtype=np.uint16).reshape(30, 40).astype(np.uint8)).save(folder / name)
    return str(folder / name)


def test_pictures_are_upright_and_take_two_coordinates(tmp_path):
    item = {"image": picture(tmp_path), "box": [3, 4, 20.5, 10], "background": [[0, 29]], "slice": None}
    image = PIPELINE(item)["image"]
    assert image.shape == (2, 30, 40, 1)
    assert torch.equal(image[0, ..., 0].as_tensor(), torch.from_numpy(np.array(Image.open(item["image"]))).float())
    assert rows(image) == {0: [[1, 0, 29], [3, 3, 4], [4, 20.5, 10]]}
    item["pred"] = image[:1].clone()
    assert Invertd("pred", PIPELINE, "image", nearest_interp=True)({**item, "image": image})["pred"].shape[:3] == (
        1,
        40,
        30,
    )


def test_boxes_span_slices_and_slicers_order_means_the_same(tmp_path):
    path = str(volume(tmp_path, ORIENTATIONS["LPS"]))
    box = PIPELINE({"image": path, "box": [2, 3, 4, 9, 8, 6]})["image"]
    roi = PIPELINE({"image": path, "roi": [2, 9, 3, 8, 4, 6]})["image"]
    assert rows(box) == rows(roi) == {index: [[3, 2, 3], [4, 9, 8]] for index in (4, 5, 6)}
    one = PIPELINE({"image": path, "roi": [2, 9, 3, 8, 4, 6], "slice": 5})["image"]
    assert rows(one) == {5: [[3, 2, 3], [4, 9, 8]]}
    assert rows(PIPELINE({"image": path, "box": [2, 3, 9, 8], "slice": 5})["image"]) == rows(one)
    assert rows(PIPELINE({"image": path, "roi": [2, 9, 3, 8, 4, 6], "slice": 9})["image"]) == {}


def test_corners_of_a_flipped_axis_change_places(tmp_path):
    image = PIPELINE({"image": str(volume(tmp_path, ORIENTATIONS["RAS"])), "box": [2, 3, 4, 9, 8, 4]})["image"]
    assert rows(image) == {4: [[3, 19 - 9, 23 - 8], [4, 19 - 2, 23 - 3]]}


def test_the_slice_of_a_request_chooses_among_clicks(tmp_path):
    path = str(volume(tmp_path, ORIENTATIONS["LPS"]))
    clicks = {"foreground": [[1, 2, 3], [4, 5, 6]], "background": [[7, 8, 6], [9, 9, 9]]}
    assert set(rows(PIPELINE({"image": path, **clicks})["image"])) == {3, 6}
    chosen = rows(PIPELINE({"image": path, **clicks, "slice": 6})["image"])
    assert chosen == {6: [[2, 4, 5], [1, 7, 8], [5, 0, 0]]}


@pytest.mark.parametrize(
    "prompts",
    [
        {},
        {"foreground": []},
        {"foreground": [], "background": [], "roi": [], "slice": 3},
        {"box": None},
        {"background": [[1, 1, 1]]},
    ],
    ids=["none", "empty", "as Slicer sends", "null", "background alone"],
)
def test_empty_prompts_point_at_nothing(prompts, tmp_path):
    image = PIPELINE({"image": str(volume(tmp_path, ORIENTATIONS["LPS"])), **prompts})["image"]
    assert image.shape[0] == 2
    assert not image[1].any()


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"foreground": [[1, 2]]}, "foreground of scan.nii.gz names no slice, but it has 14"),
        ({"foreground": [[20, 2, 3]]}, r"foreground of scan.nii.gz lies outside the image at \[20.0, 2.0, 3.0\]"),
        ({"background": [[-1, 2, 3]], "foreground": [[1, 1, 1]]}, "background of scan.nii.gz lies outside"),
        ({"box": [0, 0, 0, 20, 1, 1]}, "box of scan.nii.gz lies outside"),
        ({"foreground": [1, 2, 3]}, "must be a list"),
        ({"foreground": [[1, 2, float("nan")]]}, "must be a list"),
        ({"roi": [1, 2, 3]}, "roi of scan.nii.gz must be four or six numbers"),
        ({"foreground": [[1, 1, 1]] * 32}, "33 prompts in a slice of 24 x 20 pixels: at most 32"),
    ],
)
def test_bad_prompts_are_named(prompts, message, tmp_path):
    transform = AddPromptsd("image")
    loaded = Compose(LOAD)({"image": str(volume(tmp_path, ORIENTATIONS["LPS"]))})
    with pytest.raises(ValueError, match=message):
        transform({**loaded, **prompts})


def test_the_table_is_exact_and_small_pictures_are_refused():
    image = torch.randn(3, 9, 11)
    encoded = encode_prompts(image, foreground=[(10.25, 3.125)], box=(0.5, 1, 7, 8))
    assert torch.equal(encoded[:3], image)
    assert encoded[3].flatten()[:9].tolist() == [2, 10.25, 3.125, 3, 0.5, 1, 4, 7, 8]
    assert prompt_rows(background=[(1, 1)]) == []
    with pytest.raises(ValueError, match="slice of at least 96 pixels"):
        encode_prompts(torch.zeros(3, 9, 10))


def slices(*objects):
    """A stack of 12 x 16 with rectangles (value, top, left, bottom, right), one list a slice."""
    mask = torch.zeros(1, 12, 16, len(objects))
    for index, rectangles in enumerate(objects):
        for value, top, left, bottom, right in rectangles:
            mask[0, top : bottom + 1, left : right + 1, index] = value
    return {"image": torch.randn(3, *mask.shape[1:]), "label": mask}


def test_the_box_of_a_mask_is_tight_and_empty_slices_have_none():
    item = AddMaskPromptsd("image", random=False)(slices([(7, 2, 3, 5, 9)], []))
    assert rows(item["image"]) == {0: [[3, 3, 2], [4, 9, 5]]}
    assert item["label"].dtype == torch.uint8
    assert item["label"].sum() == 4 * 7


def test_each_value_is_an_object_of_its_own():
    stack = slices([(1, 0, 0, 1, 1), (2, 4, 4, 9, 12)])
    assert rows(AddMaskPromptsd("image", random=False)(stack)["image"]) == {0: [[3, 4, 4], [4, 12, 9]]}
    assert rows(AddMaskPromptsd("image", target=1)(stack)["image"]) == {0: [[3, 0, 0], [4, 1, 1]]}
    assert rows(AddMaskPromptsd("image", target="all")(stack)["image"]) == {0: [[3, 0, 0], [4, 12, 9]]}
    transform = AddMaskPromptsd("image").set_random_state(0)
    assert {transform(stack)["label"].sum().item() for _ in range(20)} == {4, 54}


def test_random_boxes_move_within_their_share_and_stay_inside():
    stack = slices([(1, 2, 0, 11, 9)])
    transform = AddMaskPromptsd("image", jitter=0.2).set_random_state(0)
    boxes = np.array([[row[1:] for row in rows(transform(stack)["image"])[0]] for _ in range(200)])
    first, last = boxes[:, 0], boxes[:, 1]
    assert (np.abs(first - [0, 2]) <= 2 + 1e-6).all()
    assert (np.abs(last - [9, 11]) <= 2 + 1e-6).all()
    assert first.min() == 0
    assert last[:, 1].max() == 11
    assert first[:, 1].min() < 1
    assert last[:, 0].max() > 10
    assert last[:, 0].min() < 8


def test_the_papers_boxes_are_pushed_outwards_in_steps_and_come_again():
    mask = torch.zeros(1, 1024, 1024)
    mask[0, 400:501, 300:421] = 1
    transform = AddMaskPromptsd("image", target="all", push=19, stride=4, random=False)
    item = {"image": torch.zeros(3, 1024, 1024), "label": mask}
    done = [transform(item) for _ in range(2)]
    table = done[0]["image"][3].flatten()[:6].reshape(2, 3).tolist()
    (start, x0, y0), (end, x1, y1) = table
    assert (start, end) == (3, 4)
    assert done[1]["image"][3].equal(done[0]["image"][3])
    assert all(value % 4 == 0 for value in (x0, y0, x1, y1))
    assert 300 - 76 <= x0 <= 300
    assert 400 - 76 <= y0 <= 400
    assert 420 <= x1 <= 420 + 76
    assert 500 <= y1 <= 500 + 76
    assert torch.equal(done[0]["label"][0].float(), mask[0, ::4, ::4])


def test_clicks_lie_inside_the_object():
    stack = slices([(1, 3, 3, 6, 8)])
    transform = AddMaskPromptsd("image", clicks=0.5).set_random_state(0)
    kinds = []
    for _ in range(60):
        table = rows(transform(stack)["image"])[0]
        kinds.append(table[0][0])
        if table[0][0] == 2:
            _, x, y = table[0]
            assert stack["label"][0, int(y), int(x), 0] == 1
    assert 15 < kinds.count(2) < 45


def test_slices_without_depth_work_alike():
    stack = slices([(1, 2, 3, 5, 9)])
    flat = {key: value[..., 0] for key, value in stack.items()}
    one, other = (AddMaskPromptsd("image", random=False)(item) for item in (stack, flat))
    assert torch.equal(one["image"][..., 0], other["image"])
    assert torch.equal(one["label"][..., 0], other["label"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "some"}, "one of each, all, got 'some'"),
        ({"jitter": -1}, "expected jitter"),
        ({"clicks": 2}, "clicks in"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AddMaskPromptsd("image", **arguments)


def test_image_and_mask_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="bring both to one grid"):
        AddMaskPromptsd("image")({"image": torch.zeros(3, 12, 12), "label": torch.zeros(1, 12, 16)})


def test_coarse_scores_lie_where_the_image_says(tmp_path):
    image = Compose(LOAD)({"image": str(volume(tmp_path, ORIENTATIONS["LPS"]))})["image"]
    coarse = CoarseScoresd("pred")({"image": image, "pred": image[:, ::4, ::4]})["pred"]
    assert coarse.shape == (1, 5, 6, 14)
    corner = torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64)
    fine = torch.tensor([3 * 4.0, 2 * 4.0, 4.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(coarse.affine @ corner, image.affine @ fine)
