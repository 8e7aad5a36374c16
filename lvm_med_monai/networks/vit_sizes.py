"""Sizes that a vision transformer can have here."""

from __future__ import annotations

MAPS = 4
"""Feature maps that an encoder gives, from blocks at even distances."""


def check_vit_sizes(image_size: int, patch_size: int, dim: int, depth: int, heads: int) -> None:
    """Refuse sizes that do not fit each other.

    Raises:
        ValueError: fewer blocks than `MAPS`, channels that do not divide among the heads, or patches that do not tile
            the image.
    """
    if depth < MAPS:
        raise ValueError(f"a ViT of {depth} blocks gives no {MAPS} maps: choose a depth of at least {MAPS}")
    if dim % heads:
        raise ValueError(f"{dim} channels do not divide among {heads} heads: choose heads that divide dim")
    if image_size % patch_size:
        raise ValueError(f"patches of {patch_size} do not tile an image of {image_size}: choose a multiple")


def tapped_blocks(depth: int) -> list[int]:
    """Blocks after which the maps are taken: after each quarter of the depth.

    Example:
        >>> tapped_blocks(12)
        [2, 5, 8, 11]
    """
    return [depth * quarter // MAPS - 1 for quarter in range(1, MAPS + 1)]
