"""Objectives that compare scores on prototypes: DINO, SwAV and DeepCluster-v2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from lvm_med_monai.engines.crops import CropTargets
from lvm_med_monai.engines.objectives import Objective
from lvm_med_monai.engines.schedules import warm_up
from lvm_med_monai.losses.clusters import spherical_k_means
from lvm_med_monai.networks import CropsOutput, ViewOutput


class SelfDistillationObjective(Objective):
    """DINO: each view of the student predicts the centred, sharpened scores of the teacher's other global views.

    Args:
        loss: lightly's ``DINOLoss``, which holds the centre.
        teacher_temperature: at the start and after the warm-up.
        warm_up_epochs: epochs over which it rises on a line.

    References:
        DINO, arXiv 2104.14294.
    """

    def __init__(
        self, loss: nn.Module, teacher_temperature: Sequence[float] = (0.04, 0.04), warm_up_epochs: float = 0
    ) -> None:
        super().__init__()
        self.loss = loss
        self.teacher_temperature = tuple(teacher_temperature)
        self.warm_up_epochs = warm_up_epochs

    @property
    def temperature(self) -> float:
        """The teacher's, at this step."""
        start, end = self.teacher_temperature
        return warm_up(self.progress.step, round(self.warm_up_epochs * self.progress.epoch_length), start, end)

    def compare(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Cross entropy of all pairs of a teacher's and a student's view but equal ones."""
        return self.loss(scores_of(output.targets), scores_of(output.views), teacher_temp=self.temperature)


class SwappedAssignmentObjective(Objective):
    """SwAV: predict the balanced assignment of one global view to the prototypes from the other views.

    From ``queue_from`` on, embeddings of earlier batches join the assignment, once the queue is full. Each process has
    a queue of its own.

    Args:
        loss: lightly's ``SwaVLoss``.
        prototypes: those of the network, by which embeddings of the queue are scored.
        queue_size: embeddings kept of each global view; 0 for none.
        features: size of the embedding.
        queue_from: first epoch, from 0, that uses the queue.

    References:
        SwAV, arXiv 2006.09882.
    """

    queue: torch.Tensor
    stored: torch.Tensor

    def __init__(
        self, loss: nn.Module, prototypes: nn.Module, queue_size: int = 0, features: int = 128, queue_from: int = 15
    ) -> None:
        super().__init__()
        self.loss = loss
        self._prototypes = (prototypes,)  # in a tuple, as they belong to the network and its checkpoint
        self.queue_size, self.queue_from = queue_size, queue_from
        self.register_buffer("queue", torch.zeros(2, queue_size, features))
        self.register_buffer("stored", torch.zeros((), dtype=torch.long))

    def compare(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Cross entropy with the other views' codes."""
        n = output.n_global
        queued = None
        if self.queue_size and self.progress.epoch >= self.queue_from:
            if self.stored >= self.queue_size:
                with torch.no_grad():
                    queued = [self._prototypes[0](embeddings) for embeddings in self.queue]
            self._store(output.views[:n])
        return self.loss(scores_of(output.views[:n]), scores_of(output.views[n:]), queued)

    @torch.no_grad()
    def _store(self, views: list[ViewOutput]) -> None:
        """Put the embeddings of two views in front; the oldest leave at the end."""
        fresh = torch.stack([normalize(view.embedding, dim=1) for view in views])[:, : self.queue_size]
        kept = self.queue[:, : self.queue_size - fresh.shape[1]].clone()
        self.queue.copy_(torch.cat([fresh, kept], dim=1))
        self.stored += fresh.shape[1]


class ClusterObjective(Objective):
    """DeepCluster-v2: predict the cluster that an image had when the epoch began, by several clusterings at once.

    The embeddings of two global views of every image are remembered from the last time that it was seen. At the start
    of an epoch, head h clusters those of view h mod 2; its centroids are fixed prototypes until the next epoch. A
    ``ClusterEpochs`` handler fills the memory once and asks for clusters. Processes share what they remember.

    Args:
        names: of all training images; a batch names its images.
        features: size F of the embedding.
        prototypes: clusters of each head.
        temperature: by which cosines with the prototypes are divided.
        iterations: of k-means.
        seed: start of the random numbers of k-means; each epoch and head draws others.

    Raises:
        ValueError: fewer images than clusters, or two images of one name.

    References:
        SwAV, arXiv 2006.09882, section 4.2 and appendix (DeepCluster-v2); DeepCluster, arXiv 1807.05520.
    """

    memory: torch.Tensor

    def __init__(
        self,
        names: Sequence[str],
        features: int = 128,
        prototypes: Sequence[int] = (3000, 3000, 3000),
        temperature: float = 0.1,
        iterations: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.places = {name: place for place, name in enumerate(names)}
        if len(self.places) < len(names):
            raise ValueError(f"{len(names) - len(self.places)} training images share a name with another")
        if max(prototypes) > len(names):
            raise ValueError(
                f"{len(names)} slices make no {max(prototypes)} clusters: lower prototypes, or extract more slices"
            )
        self.temperature, self.iterations, self.seed = temperature, iterations, seed
        self.register_buffer("memory", torch.zeros(2, len(names), features))
        for head, count in enumerate(prototypes):
            self.register_buffer(f"centroids_{head}", torch.zeros(count, features))
            self.register_buffer(f"clusters_{head}", torch.zeros(len(names), dtype=torch.long))
        self.heads = len(prototypes)

    @torch.no_grad()
    def remember(self, names: Sequence[str], views: Sequence[torch.Tensor]) -> None:
        """Keep the embeddings (B, F) of two views of the named images; all processes together."""
        fresh = torch.stack([normalize(view.detach().float(), dim=1) for view in views])
        places = torch.tensor([self.places[name] for name in names], device=fresh.device)
        for embeddings, where in _of_all_processes(fresh, places):
            self.memory[:, where] = embeddings

    @torch.no_grad()
    def cluster(self, epoch: int) -> None:
        """Cluster the memory for an epoch; the same on every process, but for rounding."""
        for head in range(self.heads):
            centroids = getattr(self, f"centroids_{head}")
            generator = torch.Generator().manual_seed(self.seed + epoch * self.heads + head)
            found, clusters = spherical_k_means(self.memory[head % 2], len(centroids), self.iterations, generator)
            centroids.copy_(found)
            getattr(self, f"clusters_{head}").copy_(clusters)

    def compare(self, output: CropsOutput, targets: CropTargets) -> torch.Tensor:
        """Mean cross entropy over heads and views; remembers the two global views."""
        places = [self.places[name] for name in targets.names]
        z = torch.stack([normalize(view.embedding, dim=1) for view in output.views])
        losses = []
        for head in range(self.heads):
            scores = z @ getattr(self, f"centroids_{head}").T / self.temperature
            clusters = getattr(self, f"clusters_{head}")[places]
            losses.append(cross_entropy(scores.flatten(0, 1), clusters.repeat(len(z))))
        self.remember(targets.names, [output.z_s, output.z_t])
        return torch.stack(losses).mean()


def scores_of(views: Sequence[ViewOutput]) -> list[torch.Tensor]:
    """Scores of each view.

    Raises:
        ValueError: the network has no prototypes.
    """
    scores = [view.scores for view in views if view.scores is not None]
    if len(scores) < len(views):
        raise ValueError("this objective compares scores: give the network prototypes")
    return scores


def _of_all_processes(fresh: torch.Tensor, places: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Embeddings and places of each process, in the order of their ranks; all have equally many."""
    if not (dist.is_available() and dist.is_initialized()):
        return [(fresh, places)]
    fresh = fresh.contiguous()
    every, where = ([torch.empty_like(part) for _ in range(dist.get_world_size())] for part in (fresh, places))
    dist.all_gather(every, fresh)
    dist.all_gather(where, places)
    return list(zip(every, where, strict=True))
