"""Shuffling that does not depend on the number of processes, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler


class ResumableDistributedSampler(Sampler[int]):
    """One order of all slices, from which process r of W takes positions r, r + W, r + 2 W and so on.

    The order depends on the seed and the epoch alone. So a global batch, which is what all processes together take in
    one step, holds the same slices for any number of processes with the same global batch size, and training can go on
    in the middle of an epoch with another number of processes.

    Where the slices that are left do not divide by W, the epoch ends with the first slices of its order again, so that
    all processes take equally many; with ``drop_last`` it ends early instead. Both concern less than W slices.

    A pass to the end begins the next epoch; `set_epoch` may say so, too.

    Args:
        data: a data set, or the number of slices.
        seed: start of the random numbers.
        rank: number of this process.
        world_size: number of processes.
        shuffle: draw a new order in each epoch; otherwise take slices as they are.
        drop_last: end an epoch early rather than repeat slices.

    Attributes:
        epoch: number of the epoch.

    Raises:
        ValueError: no slices, a rank outside of the world, or nothing left for each process with ``drop_last``.
    """

    def __init__(
        self,
        data: Sized | int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        self.count = data if isinstance(data, int) else len(data)
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} does not exist in a world of {world_size}")
        if self.count < (world_size if drop_last else 1):
            raise ValueError(f"{self.count} slices leave nothing for each of {world_size} processes")
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.shuffle, self.drop_last = shuffle, drop_last
        self.epoch = 0
        self._start = 0  # position in the order at which this pass begins
        self._taken = 0  # slices that this process has taken in this pass

    def __len__(self) -> int:
        """Slices that this process takes from where the pass begins to the end of the epoch."""
        left = self.count - self._start
        return left // self.world_size if self.drop_last else -(-left // self.world_size)

    def __iter__(self) -> Iterator[int]:
        """Go on from the position of `load_state_dict`, or begin the epoch."""
        order, steps = self._order(), len(self)
        self._taken = 0
        for step in range(steps):
            self._taken = step + 1
            yield int(order[(self._start + step * self.world_size + self.rank) % self.count])
        self.epoch, self._start, self._taken = self.epoch + 1, 0, 0

    def _order(self) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.count)
        # NumPy keeps the stream of RandomState for ever; that of Generator may change between versions
        return np.random.RandomState([self.seed, self.epoch]).permutation(self.count)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; does nothing in the epoch that is going on, so a position that was loaded stays."""
        if epoch != self.epoch:
            self.epoch, self._start, self._taken = epoch, 0, 0

    def state_dict(self, consumed: int | None = None) -> dict[str, int]:
        """Where training is, for checkpoints; the same on every process after the same number of steps.

        Args:
            consumed: slices that all processes together have trained on in this epoch. If None, those that this sampler
                has handed out, times the number of processes; but a DataLoader with workers fetches ahead of training,
                so give the number there.
        """
        if consumed is None:
            consumed = self._start + self._taken * self.world_size
        return {"seed": self.seed, "epoch": self.epoch, "consumed": min(consumed, self.count), "count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where a checkpoint was written, with any number of processes.

        Raises:
            ValueError: the checkpoint was written with another number of slices or another seed.
        """
        if (state["count"], state["seed"]) != (self.count, self.seed):
            raise ValueError(
                f"the checkpoint has {state['count']} slices and seed {state['seed']}, this sampler {self.count} and "
                f"{self.seed}: use the same data and seed to go on, or begin anew without the sampler's state"
            )
        finished = state["consumed"] >= self.count or (
            self.drop_last and self.count - state["consumed"] < self.world_size
        )
        self.epoch = state["epoch"] + finished
        self._start, self._taken = (0 if finished else state["consumed"]), 0
