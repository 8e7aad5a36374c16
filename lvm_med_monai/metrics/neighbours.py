"""Whether images of one label lie near each other: a test of frozen features that trains nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch.nn.functional import normalize

_ROWS = 4096
"""Queries that are compared with the whole bank at a time."""


def neighbour_accuracy(
    bank: torch.Tensor,
    bank_labels: Sequence[Hashable],
    queries: torch.Tensor,
    labels: Sequence[Hashable],
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Share of queries whose label wins among the k nearest of the bank, by votes ``exp(cosine / temperature)``.

    Of equal votes the label that comes first in the bank wins. A query with a label that the bank lacks is wrong.

    Args:
        bank: features of labelled images, shape (M, F).
        bank_labels: their labels.
        queries: features of other images, shape (Q, F).
        labels: their labels.
        k: neighbours that vote; all of the bank if it has fewer.
        temperature: of the votes, positive.

    Raises:
        ValueError: features and labels differ in number, or one side is empty.

    References:
        Wu et al., arXiv 1805.01978, section 3.4; the protocol of DINO, arXiv 2104.14294.
    """
    if not len(bank) or not len(queries) or len(bank) != len(bank_labels) or len(queries) != len(labels):
        raise ValueError(
            f"neighbours need features and as many labels, got {len(bank)} and {len(bank_labels)} in the bank, "
            f"{len(queries)} and {len(labels)} queries"
        )
    numbers = {label: number for number, label in enumerate(dict.fromkeys(bank_labels))}
    classes = torch.tensor([numbers[label] for label in bank_labels], device=bank.device)
    bank, queries = normalize(bank, dim=1), normalize(queries, dim=1)
    found: list[int] = []
    for rows in queries.split(_ROWS):
        cosines, nearest = (rows @ bank.T).topk(min(k, len(bank)), dim=1)
        votes = torch.zeros(len(rows), len(numbers), device=bank.device, dtype=bank.dtype)
        votes.scatter_add_(1, classes[nearest], ((cosines - 1) / temperature).exp())
        found.extend(votes.argmax(1).tolist())
    return sum(numbers.get(label) == guess for label, guess in zip(labels, found, strict=True)) / len(labels)
