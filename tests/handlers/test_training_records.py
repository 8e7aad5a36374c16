"""The best weights, the history and the ranks' handlers over interrupted and repeated trainings."""

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointSaver, StatsHandler
from torch import nn

from lvm_med_monai.handlers import (
    BestSaver,
    History,
    ResumableCheckpoint,
    handlers_of_rank,
    read_history,
    write_metrics,
)


def evaluator_of(scores):
    """An evaluator whose key metric follows a list."""
    engine = Engine(lambda engine, batch: None)
    engine.state.key_metric_name = "score"
    left = iter(scores)

    @engine.on(Events.EPOCH_COMPLETED)
    def measure(engine):
        engine.state.metrics["score"] = next(left)

    return engine


def validate(engine):
    engine.state.max_epochs = None
    engine.run([0], max_epochs=1)


def saved_value(folder):
    return torch.load(folder / "model.pt", weights_only=True)["weight"].item()


def run(scores, folder, state=None, **options):
    """Validate once a score, the network's weight counting the validations; return the saver."""
    network = nn.Linear(1, 1, bias=False)
    engine = evaluator_of(scores)
    saver = BestSaver(network, folder, **options)
    saver.attach(engine)
    if state is not None:
        saver.load_state_dict(state)
    for index in range(len(scores)):
        nn.init.constant_(network.weight, index)
        validate(engine)
    return saver


@pytest.mark.parametrize(
    ("scores", "options", "kept"),
    [
        ([0.1, 0.5, 0.3], {}, 1),
        ([0.1], {}, 0),
        ([0.5, 0.1, 0.3], {"negative": True}, 1),
        ([0.4, 0.4], {}, 0),
        ([0.4, 0.4], {"or_equal": True}, 1),
    ],
    ids=["in the middle", "only one", "less is better", "first of equals", "last of equals"],
)
def test_the_best_weights_are_kept_as_a_bare_state_dict(scores, options, kept, tmp_path):
    run(scores, tmp_path, **options)
    assert saved_value(tmp_path) == kept


@pytest.mark.parametrize("scores", [[float("nan")], [0.2, float("nan")], [float("inf")]], ids=str)
def test_a_score_that_is_no_number_ends_the_training(scores, tmp_path):
    with pytest.raises(ValueError, match=r"score is (nan|inf), so the best weights cannot be chosen by it"):
        run(scores, tmp_path)
    assert (tmp_path / "model.pt").exists() == (len(scores) > 1)


def test_a_resumed_training_does_not_replace_better_weights(tmp_path):
    state = run([0.1, 0.9], tmp_path).state_dict()
    run([0.5, 0.7], tmp_path, state)
    assert saved_value(tmp_path) == 1
    run([0.5, 0.95], tmp_path, state)
    assert saved_value(tmp_path) == 1
    assert run([0.95], tmp_path, state).state_dict()["_saved"][0][0] == 0.95


def test_the_state_survives_a_checkpoint_file(tmp_path):
    saver = run([0.4], tmp_path)
    trainer = Engine(lambda engine, batch: None)
    ResumableCheckpoint(tmp_path / "checkpoint.pt", {"best": saver}).attach(trainer)
    trainer.run([0], max_epochs=1)
    again = BestSaver(nn.Linear(1, 1), tmp_path)
    other = Engine(lambda engine, batch: None)
    ResumableCheckpoint(tmp_path / "checkpoint.pt", {"best": again}).attach(other)
    other.run([0], max_epochs=2)
    assert again.state_dict() == saver.state_dict()


def trained(folder, losses, evaluator=None, validated=()):
    """History of a training with given losses, two steps an epoch."""
    steps = iter(losses)
    trainer = Engine(lambda engine, batch: [{"loss": torch.tensor(next(steps))}])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)

    @trainer.on(Events.EPOCH_COMPLETED)
    def check(engine):
        if engine.state.epoch in validated:
            evaluator.state.epoch = engine.state.epoch
            evaluator.state.metrics = {"dice": 0.25 * engine.state.epoch}

    History(folder / "history.jsonl", optimizer, evaluator).attach(trainer)
    trainer.run([0, 1], max_epochs=len(losses) // 2)
    return read_history(folder / "history.jsonl")


def test_a_line_holds_the_mean_loss_of_its_epoch(tmp_path):
    lines = trained(tmp_path, [1.0, 2.0, 3.0, 5.0])
    assert [line.get("loss") for line in lines] == [None, 1.5, 4.0]
    assert {line["learning_rate"] for line in lines} == {0.5}


def test_validation_stands_in_the_epochs_that_validated(tmp_path):
    lines = trained(tmp_path, [1.0] * 6, Engine(lambda engine, batch: None), validated=(2,))
    assert [line.get("dice") for line in lines] == [None, None, 0.5, None]


def test_metrics_are_written_whole_or_not_at_all(monkeypatch, tmp_path):
    path = tmp_path / "new" / "metrics.json"
    write_metrics({"dice": 0.5}, path)
    assert json.loads(path.read_text()) == {"dice": 0.5}

    def fail(*paths):
        raise OSError("no room")

    monkeypatch.setattr("lvm_med_monai.whole_file.os.replace", fail)
    with pytest.raises(OSError, match="no room"):
        write_metrics({"dice": 0.7}, path)
    assert json.loads(path.read_text()) == {"dice": 0.5}


def test_ranks_above_zero_neither_print_nor_write(monkeypatch, tmp_path):
    handlers = [
        StatsHandler(),
        CheckpointSaver(str(tmp_path), {"model": nn.Linear(1, 1)}),
        History(tmp_path, None),
        ResumableCheckpoint(tmp_path, {}),
    ]
    assert handlers_of_rank(handlers) == handlers
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    assert handlers_of_rank(handlers) == handlers[3:]
