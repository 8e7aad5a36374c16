"""How embeddings of two views fit together, and whether they have collapsed."""

from __future__ import annotations

import torch
from torch.nn import functional

from lvm_med_monai.matching import assign


def matching_accuracy(z_s: torch.Tensor, z_t: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Share of nodes that linear assignment on cosines matches to their own other view, without noise.

    The target nodes are shuffled first, so that ties cannot favour the right answer.

    Args:
        z_s: embeddings of the source views, shape (B, N, F); B independent graphs.
        z_t: embeddings of the target views of the same images, shape (B, N, F).
        generator: draws the order of the target nodes.

    Returns:
        Accuracy of each graph, shape (B,); 1 / N is chance.
    """
    order = torch.argsort(torch.rand(z_t.shape[:2], generator=generator), dim=1).to(z_t.device)
    shuffled = functional.normalize(z_t, dim=-1).gather(1, order[..., None].expand_as(z_t))
    cost = -functional.normalize(z_s, dim=-1) @ shuffled.transpose(1, 2)
    matched = order.gather(1, assign(cost))
    return (matched == torch.arange(z_s.shape[1], device=z_s.device)).float().mean(1)


def retrieval_accuracy(z_s: torch.Tensor, z_t: torch.Tensor) -> torch.Tensor:
    """Share of nodes whose nearest target embedding by cosine is their own other view; shapes as above.

    A tie with a wrong target counts as wrong.
    """
    similarity = functional.normalize(z_s, dim=-1) @ functional.normalize(z_t, dim=-1).transpose(1, 2)
    own = similarity.diagonal(dim1=1, dim2=2)
    rivals = similarity - torch.diag_embed(torch.full_like(own, torch.inf))
    return (own > rivals.amax(-1)).float().mean(1)


def embedding_spread(z: torch.Tensor) -> torch.Tensor:
    """Collapse alarm: ``sqrt(F)`` times the mean standard deviation of unit embeddings (B, F) over the batch.

    0 when all embeddings are equal; about 1 when they are spread evenly over the sphere.
    """
    unit = functional.normalize(z, dim=-1)
    return unit.std(0).mean() * z.shape[-1] ** 0.5


def effective_rank(z: torch.Tensor) -> torch.Tensor:
    """Exponential of the entropy of the normalised spectrum of centred unit embeddings (B, F): 1 to min(B, F).

    Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007, on squared singular values.
    """
    unit = functional.normalize(z.float(), dim=-1)
    energy = torch.linalg.svdvals(unit - unit.mean(0)) ** 2
    share = energy / energy.sum().clamp_min(torch.finfo(energy.dtype).tiny)
    return torch.exp(-(share * share.clamp_min(torch.finfo(energy.dtype).tiny).log()).sum())
