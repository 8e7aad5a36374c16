"""Numbers from names that are the same on every machine and in every run."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray


def hashes(slice_ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """(n,) 64-bit hash of each id with a seed, the same on every machine."""
    key = str(seed).encode()
    digests = b"".join(blake2b(text.encode(), digest_size=8, key=key).digest() for text in slice_ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def mixed(values: NDArray[np.uint64], salt: Any) -> NDArray[np.uint64]:
    """(n,) other 64-bit numbers from numbers and a salt: the finaliser of SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        z = values + (np.asarray(salt).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
