"""Segmentation of what a box or clicks point at: SAM ViT-B, with SAM's or LVM-Med's encoder."""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import nn
from torch.nn import functional

from lvm_med_monai.networks.mask_decoder import BatchedMaskDecoder, TokenEncoder
from lvm_med_monai.networks.vit import ViTEncoder
from lvm_med_monai.transforms.prompt_table import MAX_PROMPTS, NO_PROMPT, PADDING

IMAGE_CHANNELS = 3
NOTHING = -20.0
"""Score of every pixel of an image without prompts: a probability of 2e-9."""
_PATCH = 16


class PromptedSegmenter(nn.Module):
    """SAM as a network of one input and one output, so that a bundle's inferer and exporters can call it.

    The input holds the image and, in a fourth channel, a table of prompts (see `transforms.prompt_table`) in pixels of
    that very image, whatever its size: the image is resized to ``image_size`` along its longer side and padded with
    zeros, prompts go with it, and scores come back at the image's own size, all as in segment-anything. An image
    without prompts has nothing to segment: all of its scores are `NOTHING`.

    The image must be normalised by SAM's mean and standard deviation before it comes here, as zeros are its padding.

    Args:
        image_size: side of the square that the encoder sees; 1024 for the published weights.
        dim: channels of the ViT's tokens.
        depth: blocks of the ViT.
        heads: attention heads of the ViT.
        window: side of the ViT's windows, in tokens.
        absolute_positions: whether the ViT has a table of absolute positions: true for SAM's encoder,
            false for LVM-Med's.
        embedding: channels of prompts and decoder.
        decoder_heads: attention heads of the decoder.
        decoder_mlp: hidden channels of the decoder's perceptrons.
        alternatives: give the best of SAM's three alternative masks by the decoder's own estimate, instead of the
            single mask: for one click, which leaves open whether a part or the whole is meant, and untrained weights.
        low_resolution: give scores of the decoder's own grid, a quarter of ``image_size``, padding included, as the
            LVM-Med paper trains and measures.
        frozen: train the mask decoder alone. Encoders take no gradient and stay in evaluation mode. The head that
            estimates a mask's quality never takes one: no loss here reaches it.

    Example:
        >>> network = PromptedSegmenter(image_size=64, dim=32, depth=4, heads=2, embedding=32, decoder_heads=2)
        >>> network(torch.zeros(1, 4, 40, 56)).shape
        torch.Size([1, 1, 40, 56])
    """

    def __init__(
        self,
        image_size: int = 1024,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        window: int = 14,
        absolute_positions: bool = True,
        embedding: int = 256,
        decoder_heads: int = 8,
        decoder_mlp: int = 2048,
        alternatives: bool = False,
        low_resolution: bool = False,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        self.image_encoder = ViTEncoder(
            image_size, _PATCH, dim, depth, heads, window, absolute_positions=absolute_positions, neck=embedding
        )
        self.prompt_encoder = TokenEncoder(embedding, image_size // _PATCH, image_size)
        self.mask_decoder = BatchedMaskDecoder(
            transformer_dim=embedding,
            transformer=TwoWayTransformer(2, embedding, decoder_heads, decoder_mlp),
            iou_head_hidden_dim=embedding,
        )
        self.channels, self.no_prompt, self.padding, self.nothing = IMAGE_CHANNELS, NO_PROMPT, PADDING, NOTHING
        self.image_size = image_size
        self.alternatives = alternatives
        self.low_resolution = low_resolution
        self.frozen = frozen
        self.max_prompts = MAX_PROMPTS
        self.mask_decoder.iou_prediction_head.requires_grad_(False)
        if frozen:
            self.image_encoder.requires_grad_(False)
            self.prompt_encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> PromptedSegmenter:
        """Set the training mode; frozen encoders stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.image_encoder.eval()
            self.prompt_encoder.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, 1, H, W), positive inside, of images with a channel of prompts (B, 4, H, W).

        Raises:
            ValueError: the input has not four channels.
        """
        if x.shape[1] != self.channels + 1:
            raise ValueError(
                f"expected {self.channels} channels of the image and one of prompts, got {x.shape[1]} channels"
            )
        rows, columns = x.shape[-2], x.shape[-1]
        scale = self.image_size / max(rows, columns)
        inner = [int(rows * scale + 0.5), int(columns * scale + 0.5)]
        image = x[:, : self.channels]
        if inner[0] != rows or inner[1] != columns:
            image = functional.interpolate(image, size=inner, mode="bilinear", antialias=True)
        image = functional.pad(image, [0, self.image_size - inner[1], 0, self.image_size - inner[0]])
        kinds, points = self.prompts(x)
        steps = torch.tensor([inner[1] / columns, inner[0] / rows], dtype=x.dtype, device=x.device)
        scores = self._decode(self.image_encoder.embed(image), kinds, points * steps)
        if not self.low_resolution:
            scores = functional.interpolate(scores, size=[self.image_size, self.image_size], mode="bilinear")
            scores = functional.interpolate(scores[..., : inner[0], : inner[1]], size=[rows, columns], mode="bilinear")
        prompted = (kinds != self.no_prompt).any(1)[:, None, None, None]
        return torch.where(prompted, scores, torch.full_like(scores, self.nothing))

    def prompts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Kinds (B, N) and places (B, N, 2) in the table of prompts, N being the most that an image has."""
        table = x[:, self.channels].flatten(1)[:, : 3 * self.max_prompts].reshape(x.shape[0], -1, 3).float()
        kinds = table[..., 0].round().long().clamp(self.no_prompt, self.padding)
        longest = _longest(kinds)
        return kinds[:, :longest], table[:, :longest, 1:]

    def _decode(self, embeddings: torch.Tensor, kinds: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Scores (B, 1, h, w) of the chosen mask on the decoder's grid."""
        positions = self.prompt_encoder.get_dense_pe()
        tokens = self.prompt_encoder(kinds, points)
        masks, qualities = self.mask_decoder(embeddings, positions, tokens, self.prompt_encoder.no_mask())
        if not self.alternatives:
            return masks[:, :1]
        best = 1 + qualities[:, 1:].argmax(1)
        return masks.gather(1, best[:, None, None, None].expand(-1, 1, masks.shape[2], masks.shape[3]))


def _longest(kinds: torch.Tensor) -> int:
    """Tokens of the image that has most: more would be padding, which the decoder sees.

    A size that depends on data: exporters take it from ``item`` and must be told its bounds.
    """
    most = (kinds > 0).sum(1).max()
    if torch.jit.is_scripting():
        return int(most.item())
    count: Any = most.item()
    torch._check(count >= 0)
    torch._check(count <= kinds.shape[1])
    return count
