"""Where a crop lies in the image that it was cut from."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class CropGeometry:
    """Position of each crop of a batch, in image-normalised coordinates: 0 is the first edge of the image, 1 the last.

    Attributes:
        box: top, left, height and width of each crop, shape (B, 4).
        flipped: whether the crop was mirrored left to right, shape (B,), bool.
    """

    box: torch.Tensor
    flipped: torch.Tensor

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        """Centres of the cells of a feature map, as (y, x) in the image, shape (B, rows, columns, 2).

        A mirrored crop has mirrored columns: a cell's position is that of the tissue seen in it.
        """
        top, left, height, width = self.box[:, :, None].unbind(1)
        y = top + height * _centres(rows, self.box)
        fraction = _centres(columns, self.box).expand(len(self.box), -1)
        x = left + width * torch.where(self.flipped[:, None], 1 - fraction, fraction)
        return torch.stack([y[:, :, None].expand(-1, -1, columns), x[:, None, :].expand(-1, rows, -1)], dim=-1)

    def chunk(self) -> tuple[CropGeometry, CropGeometry]:
        """Geometry of source and target views that are stacked along the batch."""
        (box_s, box_t), (flipped_s, flipped_t) = self.box.chunk(2), self.flipped.chunk(2)
        return CropGeometry(box_s, flipped_s), CropGeometry(box_t, flipped_t)


def _centres(cells: int, like: torch.Tensor) -> torch.Tensor:
    """Centres of equal cells of the unit interval, shape (1, cells)."""
    return ((torch.arange(cells, device=like.device, dtype=like.dtype) + 0.5) / cells)[None]
