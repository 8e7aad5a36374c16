"""The fixed protocol by which pretrained encoders are compared on unlabelled slices."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from lvm_med_monai.metrics.embeddings import effective_rank, embedding_spread, matching_accuracy, retrieval_accuracy
from lvm_med_monai.networks import PretrainingNetwork
from lvm_med_monai.transforms import MultiView, ViewPolicy


@dataclass(frozen=True)
class ProtocolResult:
    """Means over the graphs of one evaluation.

    Attributes:
        accuracy: matching accuracy by linear assignment on cosines of the projected features, without noise.
        retrieval: nearest-neighbour accuracy across the views of a graph.
        spread: spread of the embeddings, a collapse alarm.
        rank: effective rank of the embeddings.
    """

    accuracy: float
    retrieval: float
    spread: float
    rank: float


@dataclass(frozen=True)
class MatchingProtocol:
    """Match two views of randomly drawn slices, a graph of slices at a time.

    The same seed gives the same slices, views and orders to every network.

    Attributes:
        policy: strength of the views; a figure means nothing without it.
        nodes: slices a graph.
        graphs: graphs an evaluation.
        seed: start of all random numbers.
    """

    policy: ViewPolicy = field(default_factory=ViewPolicy)
    nodes: int = 16
    graphs: int = 32
    seed: int = 999

    @torch.no_grad()
    def __call__(self, network: PretrainingNetwork, images: torch.Tensor) -> ProtocolResult:
        """Evaluate a network on slices, leaving its mode and the global random state as they were.

        Args:
            network: pretraining network; its ``embed`` is used.
            images: slices in [0, 1], shape (S, 1 or 3, H, W), on the network's device.

        Raises:
            ValueError: fewer slices than a graph has nodes.
        """
        if len(images) < self.nodes:
            raise ValueError(f"a graph of {self.nodes} nodes needs as many slices, got {len(images)}")
        generator = torch.Generator().manual_seed(self.seed)
        views = MultiView(self.policy, seed=self.seed)
        training = network.training
        network.eval()
        z = torch.stack([self._embed(network, images, views, generator) for _ in range(self.graphs)])
        network.train(training)
        z_s, z_t = z.chunk(2, dim=1)
        everything = z.flatten(0, 1)
        return ProtocolResult(
            accuracy=float(matching_accuracy(z_s, z_t, generator).mean()),
            retrieval=float(retrieval_accuracy(z_s, z_t).mean()),
            spread=float(embedding_spread(everything)),
            rank=float(effective_rank(everything)),
        )

    def _embed(
        self, network: PretrainingNetwork, images: torch.Tensor, views: MultiView, generator: torch.Generator
    ) -> torch.Tensor:
        """Embeddings (2 * nodes, F) of two views of randomly drawn slices."""
        drawn = torch.randperm(len(images), generator=generator)[: self.nodes].to(images.device)
        return network.embed(views(images[drawn]).images)
