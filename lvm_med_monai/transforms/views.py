"""Two augmented views of every image of a batch, with the geometry of their crops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from lvm_med_monai.transforms.crops import CropGeometry

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel statistics that every bundle of the collection normalises with, in units of [0, 1]."""

_DARKEST = 1e-4
"""Lower limit before a power, so that its gradient and logarithm stay finite."""


class Views(NamedTuple):
    """Augmented views and where they come from.

    Attributes:
        images: normalised views, shape (V * B, 3, H, W); view after view.
        crops: their geometry.
    """

    images: torch.Tensor
    crops: CropGeometry


@dataclass(frozen=True)
class ViewPolicy:
    """How strongly a view differs from its image; safe for medical images.

    Grey images are never coloured: all intensity changes act on the channels together, and ``saturation`` moves a
    colour image towards or away from its own grey version, which leaves a grey image as it is.

    Attributes:
        size: side of a view in pixels.
        area: smallest and largest share of the image that a crop covers.
        aspect: largest ratio of a crop's sides; its inverse is the smallest.
        flip: probability of a left-right flip.
        jitter: strength of gamma, contrast and brightness: factors within exp(+-jitter) and 1 +- jitter.
        saturation: strength of the change of saturation: factors within 1 +- saturation.
        blur: probability of a Gaussian blur of 1 pixel standard deviation.
        noise: standard deviation of added white noise, in units of [0, 1].

    Raises:
        ValueError: a value lies outside its range.
    """

    size: int = 224
    area: tuple[float, float] = (0.4, 1.0)
    aspect: float = 4 / 3
    flip: float = 0.5
    jitter: float = 0.4
    saturation: float = 0.2
    blur: float = 0.3
    noise: float = 0.02

    def __post_init__(self) -> None:
        """Check the ranges once, before hours of training."""
        low, high = self.area
        checks = {
            "size": self.size >= 1,
            "area": 0 < low <= high <= 1,
            "aspect": self.aspect >= 1,
            "flip": 0 <= self.flip <= 1,
            "jitter": 0 <= self.jitter < 1,
            "saturation": 0 <= self.saturation <= 1,
            "blur": 0 <= self.blur <= 1,
            "noise": self.noise >= 0,
        }
        wrong = [f"{name}={getattr(self, name)}" for name, fine in checks.items() if not fine]
        if wrong:
            raise ValueError(f"view policy out of range: {', '.join(wrong)}")


class MultiView:
    """Draw augmented views of a batch, all of its images at once and on their own device.

    Args:
        policy: strength of the augmentation.
        n_views: views an image.
        seed: start of the random numbers. Crops and intensity factors are drawn on the CPU, so they do not depend on
            the device; white noise is drawn where the images are.
    """

    def __init__(self, policy: ViewPolicy, n_views: int = 2, seed: int = 0) -> None:
        self.policy = policy
        self.n_views = n_views
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> Views:
        """Augment images of values in [0, 1].

        Args:
            images: shape (B, 1, H, W) or (B, 3, H, W).

        Returns:
            Views of shape (n_views * B, 3, size, size), normalised by ImageNet's statistics, and their crops.

        Raises:
            ValueError: the batch has another number of dimensions or channels.
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"views are cut from batches of shape (B, 1 or 3, H, W), got {tuple(images.shape)}")
        if images.shape[1] == 3 and torch.equal(images[:, 1:], images[:, :1].expand(-1, 2, -1, -1)):
            images = images[:, :1]  # a grey batch: one channel does the work of three
        images = images.repeat(self.n_views, 1, 1, 1)
        crops = self._crops(len(images)).to(images.device)
        flipped = (self._uniform(len(images)) < self.policy.flip).to(images.device)
        geometry = CropGeometry(crops, flipped)
        views = self._intensities(cut(images, geometry, self.policy.size))
        return Views(normalise(views.expand(-1, 3, -1, -1)), geometry)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """State of the random numbers, for checkpoints."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on with the random numbers of a checkpoint."""
        self.generator.set_state(state["generator"])

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator)

    def _factors(self, like: torch.Tensor, strength: float) -> torch.Tensor:
        """One offset in +-strength for each image, shape (B, 1, 1, 1)."""
        offsets = (self._uniform(len(like)) * 2 - 1) * strength
        return offsets.to(like.device, like.dtype)[:, None, None, None]

    def _crops(self, count: int) -> torch.Tensor:
        """Boxes of random area and aspect, placed uniformly where they fit, shape (B, 4)."""
        low, high = self.policy.area
        area = low + (high - low) * self._uniform(count)
        aspect = torch.exp((self._uniform(count) * 2 - 1) * math.log(self.policy.aspect))
        height, width = (area / aspect).sqrt().clamp(max=1), (area * aspect).sqrt().clamp(max=1)
        top, left = self._uniform(count) * (1 - height), self._uniform(count) * (1 - width)
        return torch.stack([top, left, height, width], dim=1)

    def _intensities(self, views: torch.Tensor) -> torch.Tensor:
        """Gamma, contrast, brightness, saturation, blur and noise, each image by its own factors."""
        policy = self.policy
        views = views.clamp_min(_DARKEST) ** torch.exp(self._factors(views, policy.jitter))
        mean = views.mean((1, 2, 3), keepdim=True)
        views = (views - mean) * (1 + self._factors(views, policy.jitter)) + mean
        views = views * (1 + self._factors(views, policy.jitter))
        grey = views.mean(1, keepdim=True)
        views = (grey + (views - grey) * (1 + self._factors(views, policy.saturation))).clamp(0, 1)
        blurred = self._uniform(len(views)) < policy.blur
        if blurred.any():
            chosen = blurred.nonzero().squeeze(1).to(views.device)
            views = views.index_copy(0, chosen, gaussian_blur(views[chosen]))
        if policy.noise:
            seed = int(torch.randint(2**31, (1,), generator=self.generator))
            noise = torch.randn(
                views.shape, generator=torch.Generator(views.device).manual_seed(seed), device=views.device
            )
            views = views + policy.noise * noise
        return views


def cut(images: torch.Tensor, crops: CropGeometry, size: int) -> torch.Tensor:
    """Resample each image (B, C, H, W) inside its crop to (B, C, size, size), bilinearly, mirrored where flipped."""
    grid = crops.positions(size, size).flip(-1) * 2 - 1
    return functional.grid_sample(
        images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )


def gaussian_blur(images: torch.Tensor) -> torch.Tensor:
    """Blur images (B, C, H, W) by a Gaussian of 1 pixel standard deviation, borders replicated."""
    offsets = torch.arange(-2, 3, device=images.device, dtype=images.dtype)
    line = torch.exp(-(offsets**2) / 2)
    line = line / line.sum()
    channels = images.shape[1]
    images = functional.pad(images, (2, 2, 2, 2), mode="replicate")
    images = functional.conv2d(images, line.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return functional.conv2d(images, line.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation, images (B, 3, H, W) in [0, 1]."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device, dtype=images.dtype)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=images.device, dtype=images.dtype)[:, None, None]
    return (images - mean) / std
