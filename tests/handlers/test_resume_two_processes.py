"""What two processes draw after a resume: what each would have drawn, never what the other draws."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import distributed, multiprocessing, nn

from lvm_med_monai.data import BalancedBatchSampler
from lvm_med_monai.handlers import ResumableCheckpoint
from lvm_med_monai.losses import GraphMatchingLoss, preset
from lvm_med_monai.transforms import MultiView, ViewPolicy

RANKS = 2
PARTS = ("batch", "crops", "rand", "key")
pytestmark = pytest.mark.slow


def drawn(folder: Path, epochs: int, rank: int = 0, world_size: int = 1) -> list[dict]:
    """Train to the end of an epoch, from the folder's checkpoint if there is one; what each step drew."""
    torch.manual_seed(rank)
    sampler = BalancedBatchSampler([0] * 24, 4, seed=5, rank=rank, world_size=RANKS)
    views = MultiView(ViewPolicy(size=8), seed=5 + rank)
    loss = GraphMatchingLoss(preset("stable"), seed=5 + rank)
    steps: list[dict] = []

    def step(engine, batch):
        crops = views(torch.rand(4, 1, 8, 8)).crops.box
        steps.append(
            {
                "epoch": engine.state.epoch,
                "batch": batch.tolist(),
                "crops": crops.tolist(),
                "rand": torch.rand(3).tolist(),
                "key": loss._next_key().tolist(),
            }
        )

    engine = Engine(step)
    loader = torch.utils.data.DataLoader(torch.arange(24), batch_sampler=sampler)
    shared = {"network": nn.Linear(2, 2)}
    own = {"sampler": sampler, "views": views, "objective": loss}
    ResumableCheckpoint(folder / "checkpoint.pt", shared, rank_objects=own).attach(engine)
    engine.run(loader, max_epochs=epochs)
    return steps


def together(port: int, rank: int, folder: Path, *runs: tuple[str, str, int]) -> None:
    """Runs of all processes: name, folder and last epoch of each."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    try:
        for name, place, epochs in runs:
            write(folder, f"{name}{rank}", drawn(folder / place, epochs, rank, RANKS))
            distributed.barrier()
    finally:
        distributed.destroy_process_group()


def process(rank: int, ports: list[int], folder: Path) -> None:
    """Two processes: undisturbed, stopped, resumed; the first alone; both again."""
    torch.set_num_threads(1)
    together(ports[0], rank, folder, ("whole", "whole", 4), ("stopped", "parts", 2), ("copied", "fewer", 2))
    together(ports[1], rank, folder, ("resumed", "parts", 4))
    if rank == 0:
        write(folder, "alone0", drawn(folder / "fewer", 3))
        write(folder, "start0", drawn(folder / "more", 1))
        shutil.copytree(folder / "more", folder / "of_one")
    together(ports[2], rank, folder, ("again", "fewer", 4), ("joined", "more", 2))


def write(folder: Path, name: str, steps: list[dict]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(steps))


def steps_of(folder: Path, name: str, rank: int) -> list[dict]:
    return json.loads((folder / f"{name}{rank}.json").read_text())


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def of_epochs(steps: list[dict], *epochs: int) -> list[dict]:
    """Draws of some epochs, without their number."""
    return [{part: step[part] for part in PARTS} for step in steps if step["epoch"] in epochs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resume")
    multiprocessing.spawn(process, (free_ports(3), root), nprocs=RANKS)
    return root


@pytest.mark.parametrize("rank", range(RANKS))
def test_each_process_goes_on_as_if_it_had_not_stopped(folder, rank):
    whole, resumed = steps_of(folder, "whole", rank), steps_of(folder, "resumed", rank)
    assert {step["epoch"] for step in resumed} == {3, 4}
    assert of_epochs(resumed, 3, 4) == of_epochs(whole, 3, 4)


@pytest.mark.parametrize("name", ["resumed", "again", "joined"])
def test_resumed_processes_draw_nothing_alike(folder, name):
    for one, other in zip(steps_of(folder, name, 0), steps_of(folder, name, 1), strict=True):
        assert [part for part in PARTS if one[part] == other[part]] == []


def test_with_fewer_processes_none_repeats_and_those_that_left_come_back_where_they_stopped(folder):
    whole = [steps_of(folder, "whole", rank) for rank in range(RANKS)]
    assert of_epochs(steps_of(folder, "alone", 0), 3) == of_epochs(whole[0], 3)
    assert of_epochs(steps_of(folder, "again", 0), 4) == of_epochs(whole[0], 4)
    assert of_epochs(steps_of(folder, "again", 1), 4) == of_epochs(whole[1], 3)


def test_with_more_processes_the_additional_one_draws_numbers_of_its_own(folder):
    start = steps_of(folder, "start", 0)
    assert of_epochs(steps_of(folder, "joined", 0), 2) == of_epochs(steps_of(folder, "whole", 0), 2)
    seen = [step[part] for step in [*start, *steps_of(folder, "joined", 0)] for part in PARTS]
    assert not any(step[part] in seen for step in steps_of(folder, "joined", 1) for part in PARTS)


def test_a_change_of_the_number_is_logged(folder, caplog):
    with caplog.at_level(logging.INFO):
        drawn(folder / "parts", 4)
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "checkpoint.pt was written by 2 processes and this run has 1" in warning.getMessage()
        caplog.clear()
        drawn(folder / "of_one", 1)
    assert [record.levelname for record in caplog.records if "checkpoint.pt" in record.getMessage()] == ["INFO"]


def test_a_checkpoint_that_some_processes_cannot_see_is_refused(folder, monkeypatch):
    monkeypatch.setattr("lvm_med_monai.handlers.checkpoints.of_all_processes", lambda item: [item, False])
    with pytest.raises(ValueError, match="is seen by 1 of 2 processes: put it where all see it"):
        drawn(folder / "parts", 4)
