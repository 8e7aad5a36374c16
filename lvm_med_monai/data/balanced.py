"""Batches in which minority modalities and data sets are over-sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
from torch.utils.data import Sampler


class BalancedBatchSampler(Sampler[list[int]]):
    """Draw batches in which no slice appears twice and small groups have more than their share.

    A batch is drawn without replacement with weights that give a group of n slices the total weight ``n ** power``:
    1 keeps the natural shares, 0 gives all groups the same, 0.5 lies between; or the weight that ``shares`` names. A
    slice never meets itself in a batch, since two equal slices make the right matching undecidable; so a small group
    gives at most all of its slices.

    Args:
        groups: group of each slice, such as its modality and data set.
        batch_size: slices a batch.
        power: exponent in [0, 1].
        seed: start of the random numbers; each epoch draws others.
        shares: total weight of each group, such as ``{("CT", "lidc"): 2, ("MR", "brats"): 1}``, instead of ``power``.
            A weight of 0 leaves a group out.
        rank: number of this process. Processes draw batches of their own.
        world_size: number of processes; an epoch has as many batches as fill the data once over all of them.

    Raises:
        ValueError: fewer slices than a batch, ``power`` out of range, or ``shares`` that miss a group, name one that
            does not exist, or are negative.

    References:
        LVM-Med, arXiv 2306.11925, section 4.1, over-samples minority modalities; its proportions are not published.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        batch_size: int,
        power: float = 0.5,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shares: Mapping[Hashable, float] | None = None,
    ) -> None:
        if len(groups) < batch_size:
            raise ValueError(f"{len(groups)} slices do not fill a batch of {batch_size}: lower batch_size")
        if not 0 <= power <= 1:
            raise ValueError(f"the power of balancing lies in [0, 1], got {power}")
        sizes = Counter(groups)
        weights = {group: size ** (power - 1.0) for group, size in sizes.items()}
        if shares is not None:
            _check(shares, sizes)
            weights = {group: shares[group] / size for group, size in sizes.items()}
        if (drawable := sum(size for group, size in sizes.items() if weights[group] > 0)) < batch_size:
            raise ValueError(f"{drawable} slices of groups with a share do not fill a batch of {batch_size}")
        self.weights = torch.tensor([weights[group] for group in groups], dtype=torch.float64)
        self.batch_size = batch_size
        self.batches = max(1, len(groups) // (batch_size * world_size))
        self.generator = torch.Generator().manual_seed(seed + rank)

    def __len__(self) -> int:
        """Batches of an epoch and process."""
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        """Draw the batches of an epoch."""
        for _ in range(self.batches):
            yield torch.multinomial(self.weights, self.batch_size, generator=self.generator).tolist()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State of the random numbers, for checkpoints."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the random numbers of a checkpoint."""
        self.generator.set_state(state["generator"])


def _check(shares: Mapping[Hashable, float], sizes: Mapping[Hashable, int]) -> None:
    if set(shares) != set(sizes):
        odd = sorted(map(str, set(shares) ^ set(sizes)))
        raise ValueError(f"shares and groups must be the same; only one of them has {', '.join(odd)}")
    if not all(0 <= share < float("inf") for share in shares.values()):
        raise ValueError("shares are weights of at least 0")
