"""Pictures and the file of boxes, read back."""

from __future__ import annotations

import json

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from lvm_med_monai.handlers import BoxPictures, BoxWriter
from lvm_med_monai.handlers.drawing import LINE, colour

FOUND = torch.tensor([[4.0, 8, 24, 16, 1, 0.75], [30, 2, 38, 10, 0, 0.2], [-1] * 6])
TRUTH = torch.tensor([[4.0, 8, 24, 16, 1], [-1] * 5])


def run(handler, items, names):
    def step(engine, batch):
        engine.state.batch = [{"name": name} for name in names]
        return items

    engine = Engine(step)
    handler.attach(engine)
    engine.run([0])


def test_truth_and_found_boxes_are_drawn_where_they_are(tmp_path):
    item = {"image": torch.zeros(3, 20, 40), "pred": FOUND, "label": TRUTH}
    run(BoxPictures(tmp_path, ["a", "b"], side=400), [item], ["x.png"])
    picture = np.asarray(Image.open(tmp_path / "case_0000.png"))
    top, gap = 2 * LINE + LINE // 4, LINE // 2
    for left in (gap, 2 * gap + 400):
        panel = picture[top : top + 200, left : left + 400]
        rows, columns = np.where((panel == colour(1)).all(-1))
        assert abs(columns.min() - 40) <= 1
        assert abs(columns.max() - 239) <= 1
        assert abs(rows.max() - 159) <= 1
        assert not (panel == colour(0)).all(-1).any()  # its score is below the threshold


def test_images_without_truth_or_boxes_are_drawn(tmp_path):
    items = [
        {"image": torch.rand(3, 30, 20), "pred": torch.full((2, 6), -1.0), "label": None},
        {"image": torch.rand(3, 30, 20), "pred": FOUND, "label": torch.zeros(0, 5)},
    ]
    run(BoxPictures(tmp_path, ["a", "b"]), items, ["x", "y"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case_0000.png", "case_0001.png"]


def test_the_file_of_boxes_has_frame_classes_and_every_image(tmp_path):
    items = [{"pred": FOUND}, {"pred": torch.full((2, 6), -1.0)}]
    run(BoxWriter(tmp_path / "out" / "boxes.json", ["nodule", "mass"]), items, ["scans/a.png", "b.dcm"])
    content = json.loads((tmp_path / "out" / "boxes.json").read_text())
    assert "x to the right" in content["frame"]
    assert content["classes"] == ["nodule", "mass"]
    assert content["images"] == [
        {
            "image": "scans/a.png",
            "boxes": [
                {"box": [4, 8, 24, 16], "label": 1, "class": "mass", "score": 0.75},
                {"box": [30, 2, 38, 10], "label": 0, "class": "nodule", "score": 0.2},
            ],
        },
        {"image": "b.dcm", "boxes": []},
    ]
