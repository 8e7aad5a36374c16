"""The network of DINOv2: a ViT that sees crops, some patches of them hidden, and the teacher that sees everything."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lvm_med_monai.networks.dino_vit import DinoViTEncoder
from lvm_med_monai.networks.self_supervised import CropsOutput, ViewOutput, split


@dataclass(frozen=True, eq=False)
class MaskedOutput(CropsOutput):
    """Views of a batch, the global ones with some patches hidden from the student, and what was said of these patches.

    Attributes:
        class_tokens: of the student, for each global view, shape (B, C).
        patches: scores of the student for the hidden patches, shape (H, K), in the order of the mask.
        patch_targets: scores of the teacher for the same patches.
    """

    class_tokens: list[torch.Tensor]
    patches: torch.Tensor
    patch_targets: torch.Tensor


class MaskedBranch(nn.Module):
    """A ViT, and one head for class token and patches.

    Args:
        encoder: backbone.
        projector: tokens (N, C) to embeddings (N, F).
        prototypes: embeddings to scores (N, K).
    """

    def __init__(self, encoder: DinoViTEncoder, projector: nn.Module, prototypes: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.prototypes = prototypes
        self.mask_token = nn.Parameter(torch.zeros(encoder.num_features))

    def tokens(self, images: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
        """Normalised tokens (B, 1 + patches, C); hidden patches are replaced before positions are added.

        Args:
            images: shape (B, 3, H, W).
            masks: shape (B, rows, columns), True is hidden; None hides nothing.
        """
        encoder = self.encoder
        patches = encoder.patch_embed(images)
        if masks is not None:
            patches = torch.where(masks[..., None], self.mask_token.to(patches.dtype), patches)
        return encoder.norm(encoder.blocks(encoder._pos_embed(patches)))

    def score(self, tokens: torch.Tensor) -> ViewOutput:
        """Embedding and scores of tokens (N, C)."""
        embedding = self.projector(tokens)
        return ViewOutput(embedding, self.prototypes(embedding), None)


class MaskedNetwork(nn.Module):
    """Student and teacher of DINOv2 in one module; a ``TeacherMomentum`` handler moves the teacher.

    The teacher is always in evaluation mode, so it drops no branches. Class token and patches share one head, as in
    DINOv2's default.

    Args:
        encoder: backbone.
        projector: tokens to embeddings.
        prototypes: embeddings to scores.
    """

    def __init__(self, encoder: DinoViTEncoder, projector: nn.Module, prototypes: nn.Module) -> None:
        super().__init__()
        self.student = MaskedBranch(encoder, projector, prototypes)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()

    @property
    def backbone(self) -> DinoViTEncoder:
        """The teacher's backbone, which is what training is for."""
        return self.teacher.encoder

    def train(self, mode: bool = True) -> MaskedNetwork:
        """Switch the student's mode; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Class tokens (B, C) of images (B, 3, H, W), by the teacher."""
        return self.teacher.encoder(images)

    def forward(self, crops: Sequence[torch.Tensor], numbers: Sequence[int], masks: torch.Tensor) -> MaskedOutput:
        """Encode all views of one size in one pass.

        Args:
            crops: one stack of views for each size, global first; view after view, shape (V * B, 3, H, W).
            numbers: views of each size.
            masks: hidden patches of the global views, shape (V * B, rows, columns).
        """
        n_global = numbers[0]
        hidden = masks.flatten(1)
        tokens = self.student.tokens(crops[0], masks)
        classes = [tokens[:, 0], *(self.student.tokens(local)[:, 0] for local in crops[1:])]
        views = [v for c, n in zip(classes, numbers, strict=True) for v in split(self.student.score(c), n)]
        patches = self.student.prototypes(self.student.projector(tokens[:, 1:][hidden]))
        with torch.no_grad():
            aims = self.teacher.tokens(crops[0])
            targets = split(self.teacher.score(aims[:, 0]), n_global)
            patch_targets = self.teacher.prototypes(self.teacher.projector(aims[:, 1:][hidden]))
        return MaskedOutput(views, targets, n_global, list(tokens[:, 0].chunk(n_global)), patches, patch_targets)
