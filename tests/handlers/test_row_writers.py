"""Files of an evaluation: one run's rows, of all processes."""

from __future__ import annotations

import csv
import json
import os
import socket
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from pyarrow import parquet
from torch import distributed, multiprocessing

from lvm_med_monai.handlers import BoxWriter, FeatureWriter, PredictionWriter

ITEMS = {"features": 5, "predictions": 5, "boxes": 1}
RANKS = 2
NAMES = ["features.parquet", "predictions.csv", "boxes.json"]


def item(kind, index):
    values = {
        "features": torch.arange(3.0) + index,
        "predictions": torch.tensor([0.25, 0.75]),
        "boxes": torch.tensor([[0.0, 1, 2, 3 + index, 1, 0.5]]),
    }
    label = {"label": index % 2} if index > 1 else {}
    return {"slice_id": f"s{index}", "name": f"{index}.png", "pred": values[kind], **label}


def write(folder, indices):
    """Files of two runs, of which the second counts; indices are of the items of this process."""
    writers = {
        "features": FeatureWriter(folder / NAMES[0]),
        "predictions": PredictionWriter(folder / NAMES[1], ["no", "yes"]),
        "boxes": BoxWriter(folder / NAMES[2], ["nodule", "mass"]),
    }
    for kind, writer in writers.items():
        items = [item(kind, index) for index in indices if index < ITEMS[kind]]

        def step(engine, batch):
            engine.state.batch = batch  # as decollation leaves it
            return batch

        engine = Engine(step)
        writer.attach(engine)
        for _ in range(2):
            engine.run([[one] for one in items] or [[]])


def read(folder):
    table = parquet.read_table(folder / NAMES[0])
    rows = list(csv.reader((folder / NAMES[1]).open()))
    boxes = json.loads((folder / NAMES[2]).read_text())
    return (
        sorted(zip(table["slice_id"].to_pylist(), table["features"].to_pylist(), strict=True)),
        rows[0],
        sorted(rows[1:]),
        boxes,
    )


def test_a_second_run_replaces_the_first(tmp_path):
    write(tmp_path, range(5))
    features, header, rows, boxes = read(tmp_path)
    assert features == [(f"s{index}", [index, index + 1, index + 2]) for index in range(5)]
    assert header == ["image", "label", "prediction", "no", "yes"]
    assert [row[:3] for row in rows] == [
        ["0.png", "", "yes"],
        ["1.png", "", "yes"],
        ["2.png", "no", "yes"],
        ["3.png", "yes", "yes"],
        ["4.png", "no", "yes"],
    ]
    assert [(image["image"], image["boxes"][0]["box"]) for image in boxes["images"]] == [("0.png", [0, 1, 2, 3])]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def worker(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    try:
        write(Path(folder), range(rank, 5, RANKS))
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
def test_the_first_of_two_processes_writes_the_rows_of_both(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "two").mkdir()
    multiprocessing.spawn(worker, (port, str(tmp_path / "two")), nprocs=RANKS)
    write(tmp_path / "one", range(5))
    assert read(tmp_path / "two") == read(tmp_path / "one")
    order = parquet.read_table(tmp_path / "two" / NAMES[0])["slice_id"].to_pylist()
    assert order == ["s0", "s2", "s4", "s1", "s3"]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(NAMES)
