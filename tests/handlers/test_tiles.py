from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from lvm_med_monai.handlers import ClassificationPictures
from lvm_med_monai.handlers.tiles import RIGHT, WRONG

SIDE = 60


def draw(folder, items, **options):
    engine = Engine(lambda engine, item: [item])
    options = {"class_names": ["a", "b"], "side": SIDE, "columns": 2, "rows": 1, **options}
    ClassificationPictures(folder, **options).attach(engine)
    engine.run(items)
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def item(pred, label, image=None):
    return {"image": torch.rand(1, 8, 8) if image is None else image, "pred": torch.tensor(pred), "label": label}


FRAMES = {
    "right": (False, [0.8, 0.2], 0, RIGHT),
    "wrong": (False, [0.8, 0.2], 1, WRONG),
    "not known": (False, [0.8, 0.2], -1, None),
    "label as tensor": (False, [0.1, 0.9], torch.tensor([1]), RIGHT),
    "all labels right": (True, [0.8, 0.2], torch.tensor([1, 0]), RIGHT),
    "one label wrong": (True, [0.8, 0.6], torch.tensor([1, 0]), WRONG),
    "an unknown label does not count": (True, [0.8, 0.6], torch.tensor([1, -1]), RIGHT),
    "no label known": (True, [0.8, 0.6], torch.tensor([-1, -1]), None),
}


@pytest.mark.parametrize(("multi", "pred", "label", "frame"), FRAMES.values(), ids=FRAMES)
def test_frames_tell_right_from_wrong(tmp_path, multi, pred, label, frame):
    (page,) = draw(tmp_path, [item(pred, label)], multi_label=multi)
    corner = tuple(page[0, 0])
    assert corner == frame if frame else corner not in (RIGHT, WRONG)


def test_pages_hold_all_cases(tmp_path):
    pages = draw(tmp_path, [item([0.8, 0.2], index % 2) for index in range(5)])
    assert [page.shape[1] // SIDE for page in pages] == [2, 2, 1]
    frames = [tuple(page[0, left]) for page in pages for left in range(0, page.shape[1] - SIDE, SIDE + 10)]
    assert frames == [RIGHT, WRONG, RIGHT, WRONG, RIGHT]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"page_{index:03d}.png" for index in range(3)]


@pytest.mark.parametrize("rows_first", [False, True])
def test_images_are_upright_with_colours_as_before_normalisation(tmp_path, rows_first):
    plain = torch.zeros(3, 8, 4)
    plain[0, 6:] = 1
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    normalised = (plain - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    if rows_first:
        normalised = normalised.mT
    options = {"subtrahend": mean, "divisor": std, "rows_first": rows_first}
    (page,) = draw(tmp_path, [item([0.8, 0.2], 0, normalised)], **options)
    tile = page[5 : SIDE - 5, 5 : SIDE - 5]
    red = (tile == (255, 0, 0)).all(-1)
    rows, columns = np.nonzero(red)
    # MONAI's first axis goes to the right, and wide pictures are centred
    assert columns.min() > SIDE / 2
    assert np.ptp(rows) + 1 == 25
    assert (tile[20, 5] == 0).all()


def test_a_volume_shows_its_middle_slice_and_a_limit_holds(tmp_path):
    image = torch.zeros(1, 8, 8, 3)
    image[..., 1] = torch.eye(8)
    pages = draw(tmp_path, [item([0.8, 0.2], 0, image)] * 4, limit=1)
    assert len(pages) == 1
    assert (pages[0][5 : SIDE - 5, 5 : SIDE - 5] == 255).any()
