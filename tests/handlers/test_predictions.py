from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from lvm_med_monai.handlers import NeighbourSheet, PredictionWriter
from lvm_med_monai.handlers.tiles import RIGHT, WRONG


def write(path, items, classes=("none", "mild"), multi_label=False):
    engine = Engine(lambda engine, batch: batch)
    PredictionWriter(path, classes, multi_label).attach(engine)
    engine.run([items[:1], items[1:]] if len(items) > 1 else [items])
    return list(csv.reader(path.open()))


def test_rows_hold_names_labels_answers_and_probabilities(tmp_path):
    items = [
        {"name": "a, b.png", "pred": torch.tensor([0.25, 0.75]), "label": 0},
        {"name": "c.png", "pred": torch.tensor([0.5, 0.5]), "label": torch.tensor(1)},
    ]
    assert write(tmp_path / "new" / "p.csv", items) == [
        ["image", "label", "prediction", "none", "mild"],
        ["a, b.png", "none", "mild", "0.250000", "0.750000"],
        ["c.png", "mild", "none", "0.500000", "0.500000"],
    ]


def test_images_without_labels_have_no_column_for_them(tmp_path):
    rows = write(tmp_path / "p.csv", [{"name": "a.png", "pred": torch.tensor([0.9, 0.1])}])
    assert rows == [["image", "prediction", "none", "mild"], ["a.png", "none", "0.900000", "0.100000"]]


def test_findings_are_listed_and_unknown_ones_marked(tmp_path):
    item = {"name": "a", "pred": torch.tensor([0.5, 0.4, 0.9]), "label": torch.tensor([1.0, -1.0, 0.0])}
    (_, row) = write(tmp_path / "p.csv", [item], ("x", "y", "z"), multi_label=True)
    assert row[:3] == ["a", "x;y?", "x;z"]


def test_another_number_of_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a has probabilities of shape \(3,\), but there are 2 class names"):
        write(tmp_path / "p.csv", [{"name": "a", "pred": torch.zeros(3)}])
    assert not (tmp_path / "p.csv").exists()


def sheet(folder, labels, **options):
    """Images of one grey each, whose features turn by their number."""
    angles = torch.arange(6.0) * 0.2
    items = [
        {"image": torch.full((3, 9, 7), float(n)), "pred": torch.stack([angles[n].cos(), angles[n].sin()])}
        for n in range(6)
    ]
    for item, label in zip(items, labels or [], strict=False):
        item["label"] = torch.tensor([label, -1])
    engine = Engine(lambda engine, batch: batch)
    NeighbourSheet(folder, **options).attach(engine)
    engine.run([items[:4], items[4:]])
    return np.asarray(Image.open(folder / "neighbours.png"))


def test_a_sheet_has_a_row_a_query_and_frames_by_labels(tmp_path):
    plain = sheet(tmp_path / "plain", None, queries=3, neighbours=2, side=40)
    framed = sheet(tmp_path / "framed", [0, 0, 0, 1, 1, 1], queries=3, neighbours=2, side=40)
    assert plain.shape == framed.shape == (3 * (40 + 20 + 6) + 6, 3 * 46 + 12, 3)
    for frame, share in ((RIGHT, 1), (WRONG, 1)):
        assert not (plain == frame).all(-1).any()
        assert (framed == frame).all(-1).any() == share


def test_neighbours_of_the_same_label_are_framed_green_alone(tmp_path):
    framed = sheet(tmp_path, [0] * 6, queries=2, neighbours=2, side=40)
    assert (framed == RIGHT).all(-1).any()
    assert not (framed == WRONG).all(-1).any()


def test_fewer_images_than_neighbours_fill_what_they_can(tmp_path):
    assert sheet(tmp_path, None, queries=50, neighbours=50, side=20, limit=2).shape[0] == 2 * 46 + 6
