"""The network of the self-supervised baselines: crops of several sizes in, embeddings and scores of each view out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional

from lvm_med_monai.networks.resnet import Features


class Encoder(Protocol):
    """A backbone: its ``features`` are maps, finest first, and pooled features."""

    num_features: int

    def features(self, x: torch.Tensor) -> Features:
        """Maps and pooled features of images (B, 3, H, W)."""


class ViewOutput(NamedTuple):
    """What a branch says of one view of a batch.

    Attributes:
        embedding: projected features, shape (B, F).
        scores: cosines with the prototypes, shape (B, K); None without prototypes.
        cells: projected features of the cells of the last map, shape (B, R, S, F'); None without a map projector.
    """

    embedding: torch.Tensor
    scores: torch.Tensor | None
    cells: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class CropsOutput:
    """Views of a batch: the global ones, then the local ones.

    Attributes:
        views: of the student, with gradients.
        targets: of the teacher, for the global views; empty without a teacher.
        n_global: number of global views.
    """

    views: list[ViewOutput]
    targets: list[ViewOutput]
    n_global: int

    @property
    def z_s(self) -> torch.Tensor:
        """Embedding of the first view."""
        return self.views[0].embedding

    @property
    def z_t(self) -> torch.Tensor:
        """Embedding of the second view."""
        return self.views[1].embedding


class Prototypes(nn.Module):
    """Cosines of embeddings with learnt directions; neither embeddings nor prototypes have a length.

    The same as a linear layer with normalised rows: SwAV normalises them after each step, DINO by weight normalisation
    of fixed gain.

    Args:
        in_features: size F of the embedding.
        count: number K of prototypes.
    """

    def __init__(self, in_features: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(functional.normalize(torch.randn(count, in_features), dim=1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Cosines (..., K) of embeddings (..., F), in [-1, 1]."""
        return functional.linear(functional.normalize(z, dim=-1), functional.normalize(self.weight, dim=1))


class Branch(nn.Module):
    """Backbone, projector and what a method adds to them.

    Args:
        encoder: backbone.
        projector: pooled features (B, C) to embeddings (B, F).
        prototypes: embeddings to scores; None for methods without.
        map_projector: features of cells (B * R * S, C) to (B * R * S, F'); None for methods that only pool.
    """

    def __init__(
        self,
        encoder: Encoder,
        projector: nn.Module,
        prototypes: nn.Module | None = None,
        map_projector: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.prototypes = prototypes
        self.map_projector = map_projector

    def forward(self, images: torch.Tensor) -> ViewOutput:
        """Everything about images (B, 3, H, W)."""
        maps, pooled = self.encoder.features(images)
        embedding = self.projector(pooled)
        scores = None if self.prototypes is None else self.prototypes(embedding)
        cells = None
        if self.map_projector is not None:
            last = maps[-1].permute(0, 2, 3, 1)
            cells = self.map_projector(last.flatten(0, 2)).unflatten(0, last.shape[:3])
        return ViewOutput(embedding, scores, cells)


class SelfSupervisedNetwork(nn.Module):
    """A student, and for some methods a teacher that follows it by a moving average, in one module.

    One module for one optimiser, one DDP wrapper and one entry of a checkpoint. The teacher has no gradients; a
    ``TeacherMomentum`` handler moves it. ``backbone`` is what training is for: the teacher's with
    ``keep="teacher"``, the student's otherwise.

    Args:
        encoder: backbone whose ``features`` returns maps and pooled features.
        projector: pooled features to embeddings.
        prototypes: embeddings to scores.
        map_projector: features of cells to embeddings of cells.
        teacher: whether there is a teacher.
        keep: ``"student"`` or ``"teacher"``, whose backbone is evaluated and saved.
        asymmetric: the student sees the first global view alone and the teacher the others, as in MoCo.

    Raises:
        ValueError: ``keep`` is neither, or names a teacher that does not exist; or there is none to see other views.
    """

    def __init__(
        self,
        encoder: Encoder,
        projector: nn.Module,
        prototypes: nn.Module | None = None,
        map_projector: nn.Module | None = None,
        teacher: bool = False,
        keep: str = "student",
        asymmetric: bool = False,
    ) -> None:
        if keep not in ("student", "teacher") or (keep == "teacher" and not teacher):
            raise ValueError(f"keep is 'student', or 'teacher' where there is one, got {keep!r} with teacher={teacher}")
        if asymmetric and not teacher:
            raise ValueError("an asymmetric network needs a teacher to see the other views: set teacher")
        super().__init__()
        self.student = Branch(encoder, projector, prototypes, map_projector)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False) if teacher else None
        self.keep = keep
        self.asymmetric = asymmetric

    @property
    def kept(self) -> Branch:
        """The branch that is evaluated and saved."""
        return self.teacher if self.keep == "teacher" and self.teacher is not None else self.student

    @property
    def backbone(self) -> nn.Module:
        """The backbone that is evaluated and saved."""
        return self.kept.encoder  # type: ignore[return-value]  # encoders are modules with two more members

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Projected embeddings (B, F) of images (B, 3, H, W), by the kept branch."""
        kept = self.kept
        return kept.projector(kept.encoder.features(images).pooled)

    def forward(self, crops: Sequence[torch.Tensor], numbers: Sequence[int] = (2,)) -> CropsOutput:
        """Encode all views of one size in one pass, so that they share batch statistics.

        Args:
            crops: one stack of views for each size, global first; view after view, shape (V * B, 3, H, W).
            numbers: views of each size.

        Raises:
            ValueError: a stack does not divide into its views.
        """
        if len(crops) != len(numbers) or any(len(c) % n for c, n in zip(crops, numbers, strict=True)):
            raise ValueError(f"stacks of {[len(c) for c in crops]} images do not divide into {list(numbers)} views")
        seen, n_global = list(crops), numbers[0]
        own, others = crops[0], crops[0]
        if self.asymmetric:
            own, others = crops[0].tensor_split([len(crops[0]) // n_global])
            n_global = 1
        seen[0] = own
        views = [
            view for c, n in zip(seen, [n_global, *numbers[1:]], strict=True) for view in split(self.student(c), n)
        ]
        targets: list[ViewOutput] = []
        if self.teacher is not None:
            with torch.no_grad():
                targets = split(self.teacher(others), numbers[0] - n_global if self.asymmetric else n_global)
        return CropsOutput(views, targets, n_global)


def split(stacked: ViewOutput, views: int) -> list[ViewOutput]:
    """Outputs of each view of a stack."""
    parts = [[None] * views if tensor is None else tensor.chunk(views) for tensor in stacked]
    return [ViewOutput(*view) for view in zip(*parts, strict=True)]


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on its device, its batch statistics shared by all processes.

    In place. torch has synchronised batch normalisation on GPUs only; on the CPU each process keeps its own statistics.
    """
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network.to(device).to(memory_format=torch.channels_last)
