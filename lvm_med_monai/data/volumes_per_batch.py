"""How many volumes make a batch of slices."""

from __future__ import annotations


def volumes_per_batch(batch_size: int, slices_per_volume: int) -> int:
    """Volumes whose slices fill a batch, ``batch_size / slices_per_volume``.

    Args:
        batch_size: slices of a batch.
        slices_per_volume: slices that are drawn of each volume.

    Raises:
        ValueError: a batch is not made of whole volumes.
    """
    if slices_per_volume < 1 or batch_size < 1 or batch_size % slices_per_volume:
        raise ValueError(
            f"batch_size {batch_size} counts slices, of which a volume gives slices_per_volume {slices_per_volume}: "
            "make it a multiple, or draw fewer slices of a volume"
        )
    return batch_size // slices_per_volume
