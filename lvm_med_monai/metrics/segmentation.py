"""Overlap of masks, a case at a time, with the rule for empty masks stated.

MONAI computes the numbers; what is added: the rule for empty masks can be chosen, a class that no case shows is NaN
(``MeanDice`` and ``MeanIoUHandler`` say 0), slices can be averaged within a volume, and classes have names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.metrics import compute_dice, compute_iou

from lvm_med_monai.metrics.cases import CaseMetric, CaseStatistic, mean_of_cases


class OverlapMetric(CaseMetric):
    """Overlap of predicted and true masks.

    Predictions and truths are one-hot masks with the background first, (1 + C, W, H[, D]), or label maps
    (1, W, H[, D]) with 0 for the background, on the same grid.

    Args:
        classes: names of the C classes without the background, in the order of the channels.
        only: names of the classes that count; all by default. Tables and numbers hold these alone.
        per: ``volume`` counts pixels of a whole case; ``slice`` takes the mean over the slices of a case along the last
            axis, the empty rule applied to each. For pictures, (1 + C, W, H) or (1 + C, W, H, 1), both are the same.
        ignore_empty: a class that the truth of a case (or slice) does not show is left out if True; else it counts 1
            if the prediction does not show it either, and 0 if it does.
        output_transform: gives lists of predictions and truths; ``from_engine(["pred", "label"])`` if none.
        save_details: whether to publish the cases too.
    """

    measure: Callable[..., torch.Tensor]

    def __init__(
        self,
        classes: Sequence[str],
        only: Sequence[str] | None = None,
        per: Literal["volume", "slice"] = "volume",
        ignore_empty: bool = False,
        output_transform: Callable[[Any], Any] | None = None,
        save_details: bool = True,
    ) -> None:
        super().__init__(classes, output_transform, save_details)
        if per not in ("volume", "slice"):
            raise ValueError(f"overlap is per 'volume' or per 'slice', got {per!r}")
        unknown = sorted(set(only or []) - set(classes))
        if unknown:
            raise ValueError(f"no classes named {', '.join(unknown)}: there are {', '.join(classes)}")
        self.counted = [index for index, name in enumerate(classes) if only is None or name in only]
        self.names = [list(classes)[index] for index in self.counted]
        self.per = per
        self.ignore_empty = ignore_empty

    def row(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Overlap of the classes that count, shape (C,).

        Raises:
            ValueError: masks of different grids, of other classes than named, or of one channel that holds no labels.
        """
        if pred.shape[1:] != label.shape[1:]:
            raise ValueError(
                f"prediction {tuple(pred.shape[1:])} and truth {tuple(label.shape[1:])} lie on different grids: "
                "bring the prediction back by Invertd, or transform the truth alike"
            )
        masks = [self._foreground(mask)[self.counted] for mask in (pred, label.to(pred.device))]
        if self.per == "slice" and pred.ndim == 4:
            batches = [mask.movedim(-1, 0) for mask in masks]
        else:
            batches = [mask[None] for mask in masks]
        values = type(self).measure(*batches, include_background=True, ignore_empty=self.ignore_empty)
        return values.float().nanmean(0)

    def statistic(self, name: str, rows: np.ndarray) -> CaseStatistic:
        """Mean over cases."""
        return mean_of_cases(name, rows, self.names)

    def _foreground(self, mask: torch.Tensor) -> torch.Tensor:
        """Masks of the C classes, booleans of shape (C, W, H[, D])."""
        classes = self.classes or []
        if mask.shape[0] == 1:
            values = mask.float()
            wrong = values[~((values >= 0) & (values <= len(classes)) & (values == values.round()))]
            if len(wrong):
                raise ValueError(
                    f"a mask of one channel holds {wrong[0]:g}, expected labels, 0 to {len(classes)} "
                    f"({', '.join(['background', *classes])}): make them of a network's outputs by AsDiscreted, or "
                    "correct the truth"
                )
            return torch.cat([mask == index for index in range(1, len(classes) + 1)])
        if mask.shape[0] != len(classes) + 1:
            raise ValueError(
                f"a mask has {mask.shape[0]} channels, but background and {len(classes)} classes are named: "
                f"{', '.join(classes)}"
            )
        return mask[1:] > 0.5


class DiceScore(OverlapMetric):
    """Dice, ``2 |P and T| / (|P| + |T|)``, of every class and case; arguments as in ``OverlapMetric``."""

    measure = staticmethod(compute_dice)


class IoUScore(OverlapMetric):
    """Intersection over union, ``|P and T| / |P or T|``, of every class and case; arguments as in ``OverlapMetric``."""

    measure = staticmethod(compute_iou)
