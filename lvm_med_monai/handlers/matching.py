"""Handlers that show, while pretraining runs, whether matching is learnt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.utils.data import Dataset

from lvm_med_monai.engines import GraphMatchingObjective
from lvm_med_monai.graph import GraphEncoder
from lvm_med_monai.handlers.history import write_metrics
from lvm_med_monai.losses import MatchingStatistics
from lvm_med_monai.metrics import MatchingProtocol, embedding_spread
from lvm_med_monai.networks import PretrainingNetwork

_AVERAGED = ("accuracy", "nonzero", "skipped", "edge_share")
"""Statistics of the loss that are averaged over an epoch."""
GAP_UP_TO = 128
"""Nodes of a graph up to which the dual bound takes seconds; its tables grow with the third power."""


class MessagePassingWarmUp:
    """Switch a graph encoder's message passing on once a share of all iterations has passed.

    Args:
        graph_encoder: has the switch; kinds of message passing without one ignore it.
        start: share of the iterations without message passing, in [0, 1].
    """

    def __init__(self, graph_encoder: GraphEncoder, start: float) -> None:
        if not 0 <= start <= 1:
            raise ValueError(f"the warm-up of message passing is a share of the training in [0, 1], got {start}")
        self.graph_encoder = graph_encoder
        self.start = start

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the switch for this iteration, so that a resumed run needs no memory of it."""
        total = engine.state.max_epochs * engine.state.epoch_length
        self.graph_encoder.set_active(engine.state.iteration > self.start * total)


class LossStatistics:
    """Average the statistics of a pretraining loss over each epoch into the trainer's metrics.

    For any loss: ``loss`` and ``embedding_spread`` (collapse alarm). For graph matching also ``accuracy`` (share of
    nodes matched right under noise), ``nonzero`` (share of graphs with a gradient), ``skipped`` (share of second solves
    that were not needed), ``edge_share``, and on the last batch of the epoch ``clean_accuracy`` (without noise) and
    ``objective_gap`` (of one graph, to the dual bound; for graphs of up to 128 nodes).

    Args:
        objective: the trainer's loss function.
    """

    def __init__(self, objective: nn.Module) -> None:
        self.objective = objective
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _add(self, engine: Engine) -> None:
        output = engine.state.output
        self._sums["loss"] += float(output["loss"].detach())
        self._sums["embedding_spread"] += float(embedding_spread(output["pred"].z_s.detach()))
        statistics = self._statistics()
        for name in _AVERAGED if statistics else ():
            self._sums[name] += float(getattr(statistics, name))
        self._count += 1

    def _publish(self, engine: Engine) -> None:
        for name, total in self._sums.items():
            engine.state.metrics[name] = total / self._count
        statistics = self._statistics()
        if statistics is not None:
            engine.state.metrics["clean_accuracy"] = float(statistics.clean_accuracy())
            if statistics.problem.c_v.shape[1] <= GAP_UP_TO:
                engine.state.metrics["objective_gap"] = float(statistics.objective_gap())
        self._sums.clear()
        self._count = 0

    def _statistics(self) -> MatchingStatistics | None:
        """Statistics of the last step; None for losses other than graph matching."""
        return self.objective.loss.statistics if isinstance(self.objective, GraphMatchingObjective) else None


@dataclass(frozen=True)
class Probe:
    """A set of slices and the views by which a network is evaluated on them.

    Attributes:
        name: of the set of slices and views, such as ``unseen_mild``.
        protocol: how slices are drawn and viewed.
        dataset: items with ``image`` of one shape, values in [0, 1]; all are held in memory.
    """

    name: str
    protocol: MatchingProtocol
    dataset: Dataset

    def images(self) -> torch.Tensor:
        """All slices, shape (S, C, H, W).

        Raises:
            ValueError: fewer slices than a graph of the protocol has nodes.
        """
        images = [torch.as_tensor(self.dataset[index]["image"]) for index in range(_length(self.dataset))]
        if len(images) < self.protocol.nodes:
            raise ValueError(
                f"probe {self.name!r} has {len(images)} slices, fewer than the {self.protocol.nodes} nodes of a graph: "
                "give more slices or a smaller graph"
            )
        return torch.stack(images)


class MatchingProbes:
    """Evaluate the network by matching protocols before training and after every few epochs.

    Adds ``<name>_accuracy``, ``<name>_retrieval`` and ``<name>_rank`` of each probe to the trainer's metrics.

    Args:
        network: network that is trained, not its parallel wrapper.
        probes: what to evaluate on.
        interval: epochs between evaluations; the last epoch is always evaluated.
    """

    def __init__(self, network: PretrainingNetwork, probes: Sequence[Probe], interval: int = 1) -> None:
        self.network = network
        self.images = [(probe, probe.images()) for probe in probes]
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)

    def _start(self, engine: Engine) -> None:
        if engine.state.epoch == 0:
            engine.state.metrics.update(self.evaluate())

    def _epoch(self, engine: Engine) -> None:
        if engine.state.epoch % self.interval == 0 or engine.state.epoch == engine.state.max_epochs:
            engine.state.metrics.update(self.evaluate())

    def evaluate(self) -> dict[str, float]:
        """Metrics of the network as it is now."""
        device = next(self.network.parameters()).device
        metrics = {}
        for probe, images in self.images:
            result = probe.protocol(self.network, images.to(device))
            metrics[f"{probe.name}_accuracy"] = result.accuracy
            metrics[f"{probe.name}_retrieval"] = result.retrieval
            metrics[f"{probe.name}_rank"] = result.rank
        return metrics

    def write(self, path: str | Path) -> None:
        """Evaluate, and write the metrics as a JSON file."""
        write_metrics(self.evaluate(), path)


def _length(dataset: Dataset) -> int:
    return len(dataset)  # type: ignore[arg-type]  # every map-style dataset has a length, torch's base class does not
