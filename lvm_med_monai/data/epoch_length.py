"""How long an epoch over the slices of volumes is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from lvm_med_monai.data.sample_checks import LabelMap, mapped_mask


def balanced_epoch_length(
    entries: Sequence[Mapping[str, Any]],
    label_map: LabelMap,
    batch_size: int,
    classes: Collection[int] | None = None,
) -> int:
    """Steps in which as many slices are seen as there are with a target and, in equal number, without.

    ``floor(2 n / batch_size)``, at least 1, for ``n`` slices with a target; LVM-Med's repository goes through such a
    list once an epoch and drops the last batch that is not full.

    Args:
        entries: of a datalist, with masks under ``label``.
        label_map: stored values to classes.
        batch_size: slices a step.
        classes: classes that count as a target; None for all but background.
    """
    wanted = None if classes is None else torch.tensor(sorted(classes))
    slices = 0
    for entry in entries:
        mask = mapped_mask(entry["label"], label_map)
        target = mask > 0 if wanted is None else torch.isin(mask, wanted.to(mask.dtype))
        slices += int(target.any(0).any(0).any(0).sum())
    return max(1, 2 * slices // batch_size)
