"""What an extraction was asked to do, in a form that can be compared and sent to other processes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from lvm_med_monai import __version__
from lvm_med_monai.slices.selection import SlicePolicy
from lvm_med_monai.slices.source import Source
from lvm_med_monai.slices.splits import Splits
from lvm_med_monai.slices.store.manifest import SCHEMA_VERSION
from lvm_med_monai.slices.store.storage import Storage


@dataclass(frozen=True)
class Settings:
    """Everything but the files that the output depends on.

    Attributes:
        policy: which slices to keep.
        storage: codec and bits.
        splits: shares of the patients of sources without a split of their own; None leaves them undecided.
        keep_burned_in: extract stacks at risk of burned-in text instead of rejecting them.
    """

    policy: SlicePolicy = field(default_factory=SlicePolicy)
    storage: Storage = field(default_factory=Storage)
    splits: Splits | None = None
    keep_burned_in: bool = False

    def fingerprint(self, source: Source, files: str) -> str:
        """SHA-256 that changes when the output of some files of a source would change.

        Args:
            source: the source; its path and data set are left out, they are in the names of the parts.
            files: digest of the files.
        """
        own = asdict(source)
        del own["path"], own["dataset"]
        content = {
            **own,
            "policy": asdict(self.policy),
            "storage": asdict(self.storage),
            "splits": list(self.splits.shares.items()) if self.splits is not None else None,
            "keep_burned_in": self.keep_burned_in,
            "files": files,
            "version": __version__,
            "schema": SCHEMA_VERSION,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class WorkLimits:
    """What one unit of work may use in a worker process.

    Attributes:
        memory: bytes of address space of a worker.
        seconds: wall time of a unit.

    Raises:
        ValueError: for a memory below 512 MiB, which the libraries themselves need, or a time that is not positive.
    """

    memory: int = 6 << 30
    seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.memory < 512 << 20:
            raise ValueError(f"a worker needs at least 512 MiB of address space, got {self.memory} bytes")
        if not self.seconds > 0:
            raise ValueError(f"the time limit of a unit is positive, got {self.seconds} s")

    def __str__(self) -> str:
        return f"{self.memory} bytes, {self.seconds:g} s"

    def seconds_for(self, kind: str, size: int) -> float:
        """Time limit of a unit: an archive has that of a unit for each begun GiB, because it holds many."""
        return self.seconds * (1 + (size >> 30)) if kind in ("zip", "tar") else self.seconds
