from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DistributedSampler
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader

from lvm_med_monai.handlers import (
    BootstrapIntervals,
    ClassificationPictures,
    ReliabilityPicture,
    SegmentationPictures,
)
from lvm_med_monai.metrics import Accuracy, AreaUnderROC, DiceScore, QuadraticKappa

CASES, RANKS = 7, 2


def items(kind):
    rng = np.random.default_rng(0)
    cases = []
    for index in range(CASES):
        image = torch.tensor(rng.random((3, 8, 8)), dtype=torch.float32)
        label = index % 3 if kind == "classes" else torch.tensor(rng.integers(0, 3, (1, 8, 8)))
        cases.append({"image": image, "label": label, "patient": f"p{index // 2}"})
    return cases


class Classes(torch.nn.Module):
    def forward(self, images):
        return (5 * images.mean((2, 3))).softmax(1)


class Masks(torch.nn.Module):
    def forward(self, images):
        return images.argmax(1, keepdim=True)


def evaluate(kind, folder, ranks):
    data = items(kind)
    sampler = DistributedSampler(data, even_divisible=False, shuffle=False) if ranks > 1 else None
    intervals = BootstrapIntervals(folder, samples=50, group_key="patient")
    if kind == "classes":
        network = Classes()
        metrics = {"auroc": AreaUnderROC(), "kappa": QuadraticKappa(), "accuracy": Accuracy()}
        pictures = ClassificationPictures(folder, ["a", "b", "c"], columns=1, rows=1, side=40)
        handlers = [intervals, pictures, ReliabilityPicture(folder)]
    else:
        network = Masks()
        metrics = {"dice": DiceScore(["x", "y"], output_transform=from_engine(["pred", "label"]))}
        handlers = [intervals, SegmentationPictures(folder, ["x", "y"], side=40)]
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(data, batch_size=2, sampler=sampler),
        network=network,
        key_val_metric=metrics,
        val_handlers=handlers,
    )
    evaluator.run()
    return evaluator.state.metrics


def worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    try:
        for kind in ("classes", "masks"):
            found = evaluate(kind, Path(folder) / kind, RANKS)
            (Path(folder) / f"{kind}{rank}.json").write_text(json.dumps(found))
            distributed.barrier()
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_both_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(worker, (port, str(folder)), nprocs=RANKS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "masks"])
def test_two_processes_write_what_one_does(of_both_ranks, kind, tmp_path):
    whole = evaluate(kind, tmp_path, 1)
    for rank in range(RANKS):
        assert json.loads((of_both_ranks / f"{kind}{rank}.json").read_text()) == pytest.approx(whole, abs=1e-6)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert sorted(path.name for path in (of_both_ranks / kind).iterdir()) == names
    assert sum(name.startswith(("case", "page")) for name in names) == CASES
    for name in names:
        if name.endswith(".png"):
            assert (of_both_ranks / kind / name).read_bytes() == (tmp_path / name).read_bytes(), name
    one, two = (json.loads((place / "intervals.json").read_text()) for place in (tmp_path, of_both_ranks / kind))
    assert (one["unit"], one["cases"], one["units"]) == (two["unit"], two["cases"], two["units"]) == ("patient", 7, 4)
    for name, entry in one["metrics"].items():
        assert two["metrics"][name]["value"] == pytest.approx(entry["value"], abs=1e-6)
