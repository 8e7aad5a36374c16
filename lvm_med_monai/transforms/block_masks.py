"""Masks of patches, in blocks, for training by masked prediction."""

from __future__ import annotations

import math

import torch

_ATTEMPTS = 10
"""Blocks that are tried before the rest of a mask is filled with single patches."""


class BlockMasks:
    """Hide rectangles of patches in some images of a batch.

    ``round(probability * B)`` images, at least one, are masked; the shares of their patches divide the range ``ratio``
    evenly, so that a batch holds light and heavy masks; which image gets which is random. Blocks of random area and
    aspect are added until the share is reached; what no block fits is filled with single patches, so that the number
    of hidden patches is exact: at least 1 and never all.

    Args:
        probability: share of the images that are masked.
        ratio: smallest and largest share of an image's patches that are hidden.
        smallest: patches of the smallest block.
        aspect: smallest ratio of a block's height to its width; its inverse is the largest.
        seed: start of the random numbers, drawn on the CPU.

    Raises:
        ValueError: a value lies outside of its range.

    References:
        BEiT, arXiv 2106.08254, section 2.3 (blocks); DINOv2, arXiv 2304.07193 (ratios of 0.1 to 0.5 in half of the
        images).
    """

    def __init__(
        self,
        probability: float = 0.5,
        ratio: tuple[float, float] = (0.1, 0.5),
        smallest: int = 4,
        aspect: float = 0.3,
        seed: int = 0,
    ) -> None:
        low, high = ratio
        if not (0 < probability <= 1 and 0 < low <= high < 1 and smallest >= 1 and 0 < aspect <= 1):
            raise ValueError(
                f"masks need 0 < probability <= 1, 0 < ratio < 1, smallest >= 1 and 0 < aspect <= 1, got probability "
                f"{probability}, ratio {tuple(ratio)}, smallest {smallest} and aspect {aspect}"
            )
        self.probability, self.ratio, self.smallest, self.aspect = probability, (low, high), smallest, aspect
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, count: int, rows: int, columns: int) -> torch.Tensor:
        """Masks of ``count`` images, shape (count, rows, columns), bool; True is hidden."""
        masks = torch.zeros(count, rows, columns, dtype=torch.bool)
        masked = max(1, round(self.probability * count))
        edges = torch.linspace(*self.ratio, masked + 1).tolist()
        order = torch.randperm(count, generator=self.generator).tolist()
        for image, low, high in zip(order, edges[:-1], edges[1:], strict=False):
            share = self._uniform(low, high)
            patches = min(max(1, int(share * rows * columns)), rows * columns - 1)
            masks[image] = self._mask(rows, columns, patches)
        return masks

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State of the random numbers, for checkpoints."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the random numbers of a checkpoint."""
        self.generator.set_state(state["generator"])

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def _mask(self, rows: int, columns: int, patches: int) -> torch.Tensor:
        """One mask (rows, columns) that hides exactly ``patches``."""
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        missing, attempts = patches, 0
        while missing >= self.smallest and attempts < _ATTEMPTS:
            area = self._uniform(self.smallest, missing)
            slope = math.log(self.aspect)
            aspect = math.exp(self._uniform(slope, -slope))
            height, width = max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))
            attempts += 1
            if height > rows or width > columns:
                continue
            top = int(torch.randint(rows - height + 1, (), generator=self.generator))
            left = int(torch.randint(columns - width + 1, (), generator=self.generator))
            block = mask[top : top + height, left : left + width]
            new = block.numel() - int(block.sum())
            if 0 < new <= missing:
                block[:] = True
                missing, attempts = missing - new, 0
        visible = (~mask).flatten().nonzero().squeeze(1)
        chosen = torch.randperm(len(visible), generator=self.generator)[:missing]
        mask.view(-1)[visible[chosen]] = True
        return mask
