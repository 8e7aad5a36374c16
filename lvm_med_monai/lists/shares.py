"""How large a share of a mix each group gets."""

from __future__ import annotations

import math
from collections.abc import Mapping


def tempered_shares(sizes: Mapping[str, int], power: float = 0.5) -> dict[str, float]:
    """Target shares of groups: ``n ** power / sum(n ** power)`` for groups of n slices.

    With power 1 all groups keep their natural share, with 0 all have the same. The square root, the default, lies
    between: a group a hundred times smaller than another is seen ten times less.

    Args:
        sizes: group -> slices, positive.
        power: in [0, 1].

    Raises:
        ValueError: ``power`` out of range, or no slices.

    References:
        The paper over-samples minority modalities (section 4.1) without publishing its proportions. Tempering by a
        power is how languages are balanced: G. Lample and A. Conneau, XLM, arXiv 1901.07291, with 0.5.
    """
    if not 0 <= power <= 1:
        raise ValueError(f"the power of a mix lies in [0, 1], got {power}")
    if not sizes:
        raise ValueError("no slices to mix; extract some first, or choose another split")
    weights = {name: size**power for name, size in sizes.items()}
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def capped_shares(
    shares: Mapping[str, float], sizes: Mapping[str, int], batch_size: int
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Shares that no group fills more of a batch with than it has slices, so that no slice meets its own copy.

    What is cut off goes to the other groups in proportion.

    Args:
        shares: wanted.
        sizes: group -> slices.
        batch_size: items of a batch.

    Returns:
        The shares, and the groups that were capped.

    Raises:
        ValueError: all slices together are too few for such batches.
    """
    # consecutive draws of a slice are at least slices / share - 2 groups apart (see `mixed_slices.order_of_draws`),
    # but for rounding, which gives a group at most one draw of an epoch more
    total = sum(sizes.values())
    room = {name: max(0.0, sizes[name] / (batch_size + 2 * len(sizes)) - 1 / total) for name in shares}
    if len(shares) == 1:
        room = {name: float(sizes[name] >= batch_size) for name in shares}
    capped: dict[str, float] = {}
    while True:
        rest = {name: share for name, share in shares.items() if name not in capped}
        if not rest:
            raise ValueError(
                f"{total} slices are too few for batches of {batch_size} in which none meets its own "
                "copy: lower --batch-size"
            )
        scale = (1 - math.fsum(capped.values())) / math.fsum(rest.values())
        over = [name for name, share in rest.items() if share * scale > room[name]]
        if not over:
            return {name: capped.get(name, shares[name] * scale) for name in shares}, tuple(capped)
        capped.update({name: room[name] for name in over})


def given_shares(shares: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    """Shares that a user chose, scaled to sum to 1.

    Raises:
        ValueError: other groups than there are, or shares that are negative or all zero.
    """
    if shares.keys() != sizes.keys():
        raise ValueError(f"shares name {', '.join(sorted(shares))}, but the groups are {', '.join(sizes)}")
    if min(shares.values()) < 0 or math.fsum(shares.values()) <= 0:
        raise ValueError("shares must not be negative, and some must be positive")
    total = math.fsum(shares.values())
    return {name: shares[name] / total for name in sizes}
