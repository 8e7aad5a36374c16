"""Views of two sizes, for methods that compare few large crops with many small ones."""

from __future__ import annotations

import torch

from lvm_med_monai.transforms.views import MultiView, ViewPolicy, Views

_LOCAL_SEED = 1_000_003
"""Distance of the seeds of large and small views: no number of processes comes near it."""


class MultiCrop:
    """Draw large (global) and small (local) views of a batch.

    Args:
        policy: of the global views.
        local_policy: of the local views; None draws none.
        n_global: global views an image.
        n_local: local views an image; 0 draws none.
        seed: start of the random numbers. The global views are those of ``MultiView`` with this seed.

    Raises:
        ValueError: no global view, a negative number of local views, or local views without a policy.

    References:
        SwAV, arXiv 2006.09882, section 3.2.
    """

    def __init__(
        self,
        policy: ViewPolicy,
        local_policy: ViewPolicy | None = None,
        n_global: int = 2,
        n_local: int = 0,
        seed: int = 0,
    ) -> None:
        if n_global < 1 or n_local < 0:
            raise ValueError(f"expected at least one global view and no fewer than 0 local, got {n_global}, {n_local}")
        if n_local and local_policy is None:
            raise ValueError(f"{n_local} local views need a policy: give local_policy, or set their number to 0")
        self.numbers = [n_global, *([n_local] if n_local else [])]
        self.parts = [MultiView(policy, n_global, seed)]
        if n_local and local_policy is not None:
            self.parts.append(MultiView(local_policy, n_local, seed + _LOCAL_SEED))

    def __call__(self, images: torch.Tensor) -> list[Views]:
        """Global views of images (B, 1 or 3, H, W), then the local ones if there are any; each view after view."""
        return [part(images) for part in self.parts]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State of the random numbers, for checkpoints."""
        return {f"generator_{number}": part.generator.get_state() for number, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the random numbers of a checkpoint.

        Raises:
            ValueError: the checkpoint has another number of view sizes.
        """
        if state.keys() != self.state_dict().keys():
            raise ValueError(f"the checkpoint has views of {len(state)} sizes, this run of {len(self.parts)}")
        for number, part in enumerate(self.parts):
            part.generator.set_state(state[f"generator_{number}"])
