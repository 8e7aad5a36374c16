from __future__ import annotations

import torch
from torch import nn

from lvm_med_monai.handlers import Evaluations, NeighbourProbe


class Slices(torch.utils.data.Dataset):
    """Images that are their label's direction, as far as the probe looks."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"image": torch.eye(3)[self.labels[index]]}

    def groups(self, *fields):
        assert fields == ("finding",)
        return [(label,) for label in self.labels]


class Network(nn.Linear):
    def embed(self, images):
        assert not self.training
        return images


def test_neighbours_of_the_bank_name_the_queries():
    network = Network(1, 1).train()
    probe = NeighbourProbe(network, Slices([0, 1, 2, 0]), Slices([2, 0]), field="finding", k=1, batch_size=3)
    assert probe.evaluate() == {"neighbour_accuracy": 1.0}
    assert network.training


def test_without_a_field_nothing_is_evaluated_and_parts_join():
    class Part:
        def __init__(self, **metrics):
            self.metrics = metrics

        def evaluate(self):
            return self.metrics

    none = NeighbourProbe(Network(1, 1), Slices([0]), Slices([0]))
    assert Evaluations([Part(a=1.0), none, Part(b=2.0)]).evaluate() == {"a": 1.0, "b": 2.0}
