from __future__ import annotations

import json

import numpy as np
import pytest
from ignite.engine import Engine
from PIL import Image
from sklearn.calibration import calibration_curve

from lvm_med_monai.handlers import ReliabilityPicture
from lvm_med_monai.handlers.reliability import draw
from lvm_med_monai.metrics.calibration import reliability


def run(folder, scored, **options):
    engine = Engine(lambda engine, item: item)
    if scored is not None:
        engine.state.scored_cases = scored
    ReliabilityPicture(folder, **options).attach(engine)
    engine.run([0])


def test_table_equals_scikit_learn_and_the_picture_shows_its_bars(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.random((300, 1))
    labels = (rng.random((300, 1)) < scores**2).astype(int)
    run(tmp_path, {"first": (scores, labels), "second": (scores * 0, labels)})
    table = json.loads((tmp_path / "reliability.json").read_text())
    frequency, confidence = calibration_curve(labels[:, 0], scores[:, 0], n_bins=10)
    assert table["frequency"] == pytest.approx(frequency.tolist(), abs=1e-6)
    assert table["confidence"] == pytest.approx(confidence.tolist(), abs=1e-6)
    assert sum(table["counts"]) == 300
    with Image.open(tmp_path / "reliability.png") as picture:
        assert picture.size == (500, 600)
    bars = draw(reliability(scores, labels), "share").axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx(table["frequency"])


def test_one_of_several_metrics_can_be_chosen(tmp_path):
    labels = np.array([0, 1])
    scored = {"first": (np.eye(2), labels), "second": (np.full((2, 2), 0.5), labels)}
    run(tmp_path, scored, metric="second", bins=4)
    table = json.loads((tmp_path / "reliability.json").read_text())
    assert table["expected_calibration_error"] == 0
    assert table["counts"] == [0, 2, 0, 0]
    assert table["frequency"] == [None, 0.5, None, None]


@pytest.mark.parametrize(("scored", "metric"), [(None, None), ({"a": None}, "b")], ids=["none", "another"])
def test_missing_probabilities_are_an_error(tmp_path, scored, metric):
    with pytest.raises(ValueError, match="attach AreaUnderROC, Accuracy or another metric"):
        run(tmp_path, scored, metric=metric)
