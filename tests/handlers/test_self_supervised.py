from __future__ import annotations

import copy
import math

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn

from lvm_med_monai.engines import ClusterObjective, CropTargets, Objective
from lvm_med_monai.handlers import (
    ClusterEpochs,
    FrozenPrototypes,
    GradientClipping,
    HandlerGroup,
    TeacherMomentum,
    TrainingProgress,
    WeightDecaySchedule,
)


class Pair(nn.Module):
    """A student of one weight that moves by 1 a step, and its teacher."""

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(1, 1, bias=False)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        nn.init.zeros_(self.student.weight)
        nn.init.constant_(self.teacher.weight, 99)


def trainer(step):
    engine = Engine(step)
    engine.register_events(*IterationEvents)
    return engine


def run_pair(epochs_of_schedule=None):
    pair = Pair()

    def step(engine, batch):
        pair.student.weight.data += 1

    engine = trainer(step)
    handler = TeacherMomentum(pair, (0.5, 1.0), epochs_of_schedule)
    momenta = []
    HandlerGroup([handler]).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: momenta.append(handler.current))
    engine.run([0, 1], max_epochs=2)
    return pair, momenta


def test_the_teacher_starts_as_the_student_and_follows_by_a_rising_momentum():
    pair, momenta = run_pair()
    expected = [1 - 0.5 * (math.cos(math.pi * step / 3) + 1) / 2 for step in range(4)]
    assert momenta == pytest.approx(expected)
    teacher = 0.0
    for step, momentum in enumerate(expected, start=1):
        teacher = momentum * teacher + (1 - momentum) * step
    assert float(pair.teacher.weight.detach()) == pytest.approx(teacher)


def test_a_schedule_may_be_longer_than_the_training():
    _, momenta = run_pair(epochs_of_schedule=4)
    assert momenta == pytest.approx([1 - 0.5 * (math.cos(math.pi * step / 7) + 1) / 2 for step in range(4)])


@pytest.mark.parametrize(
    ("network", "momentum", "message"),
    [(nn.Linear(1, 1), (0.9, 1), "no teacher"), (Pair(), (0.9, 1.1), r"start and an end in \[0, 1\]")],
    ids=["no teacher", "momentum over 1"],
)
def test_impossible_teachers_are_refused(network, momentum, message):
    with pytest.raises(ValueError, match=message):
        TeacherMomentum(network, momentum)


def test_an_objective_hears_of_each_step():
    objective, seen = Objective(), []
    engine = trainer(lambda engine, batch: seen.append(objective.progress))
    TrainingProgress(objective, epochs=5).attach(engine)
    engine.run([0, 1, 2], max_epochs=2)
    assert [progress.step for progress in seen] == list(range(6))
    assert [progress.epoch for progress in seen] == [0, 0, 0, 1, 1, 1]
    assert {progress.steps for progress in seen} == {15}


def backward(parameters, gradient):
    """A trainer whose steps set gradients and then say that they did; returns it and what was left of them."""
    left = []

    def step(engine, batch):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, gradient)
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        left.append([None if p.grad is None else p.grad.clone() for p in parameters])

    return trainer(step), left


def test_prototypes_do_not_learn_in_their_first_epochs():
    prototypes = nn.Linear(2, 2, bias=False)
    engine, left = backward(list(prototypes.parameters()), 1.0)
    FrozenPrototypes(prototypes, epochs=1.5).attach(engine)
    engine.run([0, 1], max_epochs=3)
    assert [gradients[0] is None for gradients in left] == [True, True, True, False, False, False]


@pytest.mark.parametrize(("gradient", "norm"), [(2.0, 1.0), (0.1, 0.2)], ids=["too long", "short enough"])
def test_gradients_are_shortened_to_a_norm(gradient, norm):
    layer = nn.Linear(2, 2, bias=False)
    engine, left = backward(list(layer.parameters()), gradient)
    GradientClipping(layer, 1.0, torch.optim.SGD(layer.parameters(), lr=1)).attach(engine)
    engine.run([0], max_epochs=1)
    assert float(left[0][0].norm()) == pytest.approx(norm, rel=1e-4)


def test_scaled_gradients_are_unscaled_before_they_are_shortened():
    layer = nn.Linear(2, 2, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1)
    engine, left = backward(list(layer.parameters()), 2.0)
    asked = []

    class Scaler:
        def unscale_(self, which):
            asked.append(which)
            layer.weight.grad /= 1000

    engine.scaler = Scaler()
    GradientClipping(layer, 1.0, optimizer).attach(engine)
    engine.run([0], max_epochs=1)
    assert asked == [optimizer]
    assert float(left[0][0].norm()) == pytest.approx(0.004)


def test_weight_decay_rises_where_there_is_any():
    layer = nn.Linear(2, 2)
    groups = [{"params": [layer.weight], "weight_decay": 0.04}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    seen = []
    engine = trainer(lambda engine, batch: seen.append([group["weight_decay"] for group in optimizer.param_groups]))
    WeightDecaySchedule(optimizer, 0.04, 0.4).attach(engine)
    engine.run([0, 1, 2], max_epochs=1)
    assert [decay for decay, _ in seen] == pytest.approx([0.04, 0.22, 0.4])
    assert [decay for _, decay in seen] == [0, 0, 0]


def test_clusters_are_made_at_every_epoch_from_what_was_embedded_once():
    names = [f"s{number}" for number in range(5)]
    dataset = [{"image": torch.eye(5)[number], "slice_id": name} for number, name in enumerate(names)]
    objective = ClusterObjective(names, features=5, prototypes=(2,))
    made = []
    objective.cluster = lambda epoch: made.append((epoch, objective.memory.clone()))

    class Network(nn.Linear):
        def embed(self, images):
            assert not self.training
            return 2 * images

    def prepare(batch, device):
        return [batch["image"].repeat(2, 1)], CropTargets([], batch["slice_id"]), (), {}

    network = Network(1, 1)
    engine = trainer(lambda engine, batch: None)
    ClusterEpochs(objective, network, dataset, prepare, batch_size=2).attach(engine)
    engine.state.device = "cpu"
    engine.run([0], max_epochs=2)
    assert [epoch for epoch, _ in made] == [0, 1]
    torch.testing.assert_close(made[0][1], torch.eye(5).expand(2, -1, -1))
    assert network.training
