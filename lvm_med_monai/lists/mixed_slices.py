"""A mix as a data set for training, and the batches that it is drawn in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from lvm_med_monai.lists.hashing import hashes, mixed
from lvm_med_monai.lists.mix import CROP_AREA, NO_CROP, Mix
from lvm_med_monai.lists.mix_file import read_mix


class Rows(Protocol):
    """Rows of a manifest, as `data.SliceShardDataset` has them."""

    def column(self, name: str) -> Sequence[Any]:
        """Values of a field."""


class Slices(Protocol):
    """What a mix is drawn from: `data.SliceShardDataset`, or anything with its rows and items."""

    rows: Rows

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any:
        """A dictionary with ``image``, (C, H, W) float."""


class MixedSlices(Dataset[Any]):
    """The items of a mix: slices, and crops of them that are scaled back to the size of the slice.

    Args:
        slices: the slices, without a transform that changes more than their image.
        mix: the mix, or its file.
        transform: applied to each item.

    Attributes:
        mix: the mix.

    Raises:
        ValueError: the mix names slices that are not there.
    """

    def __init__(
        self,
        slices: Slices,
        mix: Mix | str | os.PathLike[str],
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.mix = mix if isinstance(mix, Mix) else read_mix(mix)
        self.slices, self.transform = slices, transform
        places = {slice_id: place for place, slice_id in enumerate(slices.rows.column("slice_id"))}
        try:
            self._places = np.array([places[slice_id] for slice_id in self.mix.slice_ids])
        except KeyError as error:
            raise ValueError(
                f"the mix names the slice {error.args[0]}, which is not there: make it anew with `lists mix`, "
                "for the same folder and split"
            ) from error

    def __len__(self) -> int:
        """Items of the mix."""
        return len(self.mix)

    def __getitem__(self, index: int) -> Any:
        """Read an item; its crop is the same each time."""
        item = dict(self.slices[int(self._places[index])])
        seed = int(self.mix.crop_seeds[index])
        if seed != NO_CROP:
            item["image"] = cropped(item["image"], seed)
        return item if self.transform is None else self.transform(item)


def cropped(image: torch.Tensor, seed: int) -> torch.Tensor:
    """A crop of the image's own shape, at a random place, scaled back to its size (bilinear, antialiased).

    Args:
        image: (C, H, W) float.
        seed: decides the area, out of `mix.CROP_AREA`, and the place.

    Returns:
        (C, H, W).
    """
    draws = mixed(np.full(3, seed, dtype=np.uint64), np.arange(3)) / 2.0**64
    side = float(CROP_AREA[0] + (CROP_AREA[1] - CROP_AREA[0]) * draws[0]) ** 0.5
    height, width = (max(1, round(n * side)) for n in image.shape[1:])
    top, left = (int(u * (n - m + 1)) for u, n, m in zip(draws[1:], image.shape[1:], (height, width), strict=True))
    part = image[None, :, top : top + height, left : left + width]
    return torch.nn.functional.interpolate(part, size=image.shape[1:], mode="bilinear", antialias=True)[0]


def order_of_draws(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which group each draw of an epoch comes from, so that every run of draws has nearly the shares of the whole.

    The j-th of k draws of a group stands at the time (j + u) / k, with an offset u of the group; draws are in the order
    of time. So a window of B draws holds at most ``share * (B + 2 groups) + 1`` of a group, and n draws of it are at
    least ``n / share - 2 groups`` apart.

    Args:
        groups: (n,) group of each item.

    Returns:
        (n,) groups, of which there are as many as in ``groups``.
    """
    counts = np.bincount(groups)
    times = [(np.arange(k) + (g + 0.5) / len(counts)) / max(1, k) for g, k in enumerate(counts)]
    numbers = np.repeat(np.arange(len(counts)), counts)
    return numbers[np.argsort(np.concatenate(times), kind="stable")]


class MixBatchSampler(Sampler[list[int]]):
    """Batches of a mix in which no slice meets its own copy and every batch has nearly the shares of the whole.

    An epoch goes through the list once; the end that fills no batch of all processes is dropped. Within a group the
    slices are shuffled anew each epoch, and all of them come before one comes again. The order depends on the mix,
    the seed and the epoch alone: processes take the batches in turn.

    Args:
        slices: the data set, or its mix.
        batch_size: items of a batch and process.
        seed: start of the random numbers.
        rank: number of this process.
        world_size: number of processes.

    Raises:
        ValueError: the mix does not fill a batch on all processes, or a slice would meet its own copy.
    """

    def __init__(
        self, slices: MixedSlices | Mix, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        mix = slices.mix if isinstance(slices, MixedSlices) else slices
        if len(mix) < batch_size * world_size:
            raise ValueError(f"{len(mix)} items do not fill a batch of {batch_size * world_size}: lower batch_size")
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.batches = len(mix) // (batch_size * world_size)
        self.epoch = 0
        self._seed = seed
        self._hashes = hashes(mix.slice_ids, seed)
        self._copies = mix.copies
        drawn = order_of_draws(mix.groups)
        self._places = [np.flatnonzero(drawn == group) for group in range(len(mix.names))]
        self._items = [np.flatnonzero(mix.groups == group) for group in range(len(mix.names))]
        self._check(mix)

    def _check(self, mix: Mix) -> None:
        """The places of the draws of a group are the same each epoch, and so is the least distance of two copies."""
        for name, places, items in zip(mix.names, self._places, self._items, strict=True):
            slices = int((self._copies[items] == 0).sum())
            apart = places[slices:] - places[: max(0, len(places) - slices)]
            if len(apart) and apart.min() < self.batch_size * self.world_size:
                raise ValueError(
                    f"{slices} slices of {name} are too few for their share of a batch of "
                    f"{self.batch_size * self.world_size}: make the mix with that --batch-size, or lower batch_size"
                )

    def __len__(self) -> int:
        """Batches of an epoch and process."""
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        """Draw the batches of an epoch."""
        order = self.order(self.epoch)
        self.epoch += 1
        step = self.batch_size * self.world_size
        for batch in range(self.batches):
            start = batch * step + self.rank * self.batch_size
            yield order[start : start + self.batch_size].tolist()

    def order(self, epoch: int) -> NDArray[np.int64]:
        """(n,) items in the order of an epoch."""
        order = np.empty(len(self._hashes), dtype=np.int64)
        for places, items in zip(self._places, self._items, strict=True):
            # Slices with one copy more come first in each round, so that the round of the last copies is as far behind
            copies = self._copies[items]
            _, slices = np.unique(self._hashes[items], return_inverse=True)
            fewer = np.bincount(slices).max(initial=0) - np.bincount(slices)[slices] if len(items) else slices
            keys = mixed(self._hashes[items], self._seed * 1_000_003 + epoch)
            order[places] = items[np.lexsort((keys, fewer, copies))]
        return order

    def state_dict(self) -> dict[str, int]:
        """The epoch that comes next, for checkpoints."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on after the epochs of a checkpoint."""
        self.epoch = int(state["epoch"])
