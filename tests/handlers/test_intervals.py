from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine
from torch.utils.data import DataLoader

from lvm_med_monai.handlers import BootstrapIntervals
from lvm_med_monai.metrics import AreaUnderROC, DiceScore, QuadraticKappa, bootstrap_intervals, mean_of_cases


def evaluate(items, metrics, handlers, network=None):
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(items, batch_size=3),
        network=network or torch.nn.Softmax(1),
        key_val_metric=metrics,
        val_handlers=handlers,
    )
    evaluator.run()
    return evaluator.state


def classified(count=30):
    rng = np.random.default_rng(0)
    return [
        {
            "image": torch.tensor(rng.normal(size=3), dtype=torch.float32),
            "label": index % 3,
            "patient": f"p{index // 2}",
        }
        for index in range(count)
    ]


def read(folder):
    return json.loads((folder / "intervals.json").read_text())


def test_file_holds_an_interval_of_every_number(tmp_path):
    metrics = {"auroc": AreaUnderROC(["a", "b", "c"]), "kappa": QuadraticKappa()}
    state = evaluate(classified(), metrics, [BootstrapIntervals(tmp_path / "new", samples=200, seed=4, level=0.9)])
    report = read(tmp_path / "new")
    told = {name: report[name] for name in ("level", "method", "samples", "seed", "unit", "cases", "units")}
    assert told == {
        "level": 0.9,
        "method": "percentile",
        "samples": 200,
        "seed": 4,
        "unit": "case",
        "cases": 30,
        "units": 30,
    }
    assert {name: entry["value"] for name, entry in report["metrics"].items()} == state.metrics
    wanted = bootstrap_intervals(state.case_statistics["kappa"], 0.9, 200, 4)["kappa"]
    assert report["metrics"]["kappa"] == vars(wanted)


def test_patients_are_resampled_whole(tmp_path):
    evaluate(classified(), {"kappa": QuadraticKappa()}, [BootstrapIntervals(tmp_path, group_key="patient", samples=50)])
    report = read(tmp_path)
    assert (report["unit"], report["cases"], report["units"]) == ("patient", 30, 15)
    assert report["metrics"]["kappa"]["low"] < report["metrics"]["kappa"]["high"]


def test_without_patients_in_the_datalist_cases_are_units(tmp_path):
    evaluate(classified(), {"kappa": QuadraticKappa()}, [BootstrapIntervals(tmp_path, group_key="centre", samples=5)])
    assert read(tmp_path)["unit"] == "case"


@pytest.mark.parametrize("nobody", ["", " ", None])
def test_patients_of_some_cases_alone_are_refused(tmp_path, nobody):
    items = classified()
    items[4]["patient"] = nobody
    handler = BootstrapIntervals(tmp_path, group_key="patient")
    with pytest.raises(ValueError, match="1 of 30 items of the datalist have no 'patient'"):
        evaluate(items, {"kappa": QuadraticKappa()}, [handler])


def masks(count=6):
    rng = np.random.default_rng(1)
    return [
        {"image": torch.tensor(rng.random((2, 4, 4)), dtype=torch.float32).round(), "label": torch.ones(2, 4, 4)}
        for _ in range(count)
    ]


def test_metrics_of_monai_are_means_of_their_cases(tmp_path):
    metrics = {"dice": MeanDice(output_transform=from_engine(["pred", "label"]))}
    state = evaluate(masks(), metrics, [BootstrapIntervals(tmp_path, samples=100)], torch.nn.Identity())
    report = read(tmp_path)["metrics"]
    assert set(report) == {"dice", "dice_class0", "dice_class1"}
    assert report["dice"]["value"] == pytest.approx(state.metrics["dice"], abs=1e-6)
    wanted = bootstrap_intervals(mean_of_cases("dice", state.metric_details["dice"].numpy()), samples=100)
    assert report["dice"]["high"] == wanted["dice"].high


def test_named_metrics_alone_and_one_case_without_interval(tmp_path):
    metrics = {"one": DiceScore(["a"]), "two": DiceScore(["a"])}
    evaluate(masks(1), metrics, [BootstrapIntervals(tmp_path, metrics="two")], torch.nn.Identity())
    (entry,) = read(tmp_path)["metrics"].values()
    assert (entry["low"], entry["high"], entry["standard_error"]) == (None, None, None)


@pytest.mark.parametrize(
    ("asked", "metrics", "message"),
    [
        (["kappa", "dice"], {"kappa": QuadraticKappa()}, "no cases of dice to resample"),
        ("*", {"kappa": QuadraticKappa(save_details=False)}, "no cases of any metric to resample"),
    ],
    ids=["unknown metric", "no details"],
)
def test_metrics_without_cases_are_refused(tmp_path, asked, metrics, message):
    with pytest.raises(ValueError, match=message):
        evaluate(classified(), metrics, [BootstrapIntervals(tmp_path, metrics=asked)])
