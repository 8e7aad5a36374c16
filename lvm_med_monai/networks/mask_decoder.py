"""SAM's prompt encoder and mask decoder, with one set of prompts for each image of a batch.

Both come from segment-anything. transformers has a maintained copy, but renames every tensor of the published files,
needs its own configuration and output classes, and is a large dependency for two small modules; segment-anything's last
release is of 2023, yet these modules are plain PyTorch, their tensors have the published names, and they export. What
does not script or does not take a batch of images is restated here.
"""

from __future__ import annotations

import math

import torch
from segment_anything.modeling.mask_decoder import MaskDecoder
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom, PromptEncoder

from lvm_med_monai.transforms.prompt_table import NO_PROMPT, PADDING


class _Positions(PositionEmbeddingRandom):
    """Random Fourier features of places in the unit square, as segment-anything has them, in a form that scripts."""

    def forward(self, unit: torch.Tensor) -> torch.Tensor:
        """Features (..., channels) of x and y in the unit square (..., 2)."""
        angles = 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class TokenEncoder(PromptEncoder):
    """segment-anything's prompt encoder, for a table of clicks and corners instead of separate arguments."""

    def __init__(self, embed_dim: int, grid: int, image_size: int, mask_channels: int = 16) -> None:
        super().__init__(embed_dim, (grid, grid), (image_size, image_size), mask_channels)
        self.pe_layer = _Positions(embed_dim // 2)
        self.no_prompt, self.padding = NO_PROMPT, PADDING
        self.grid = grid
        self.image_size = image_size

    def forward(self, kinds: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Tokens of prompts.

        Args:
            kinds: kind of each token, shape (B, N), integer; `NO_PROMPT` counts as `PADDING`.
            points: x and y of each token in pixels of the encoder's input, to which segment-anything adds half a pixel,
                shape (B, N, 2).

        Returns:
            Shape (B, N, embed_dim).
        """
        places = self.pe_layer((points + 0.5) / self.image_size)
        weights = [self.not_a_point_embed.weight]
        for embedding in self.point_embeddings:
            weights.append(embedding.weight)
        weights.append(self.not_a_point_embed.weight)
        is_point = (kinds > self.no_prompt) & (kinds < self.padding)
        return places * is_point.unsqueeze(-1) + torch.cat(weights)[kinds]

    def get_dense_pe(self) -> torch.Tensor:
        """Encoding of the centres of the image's patches, shape (1, embed_dim, grid, grid)."""
        centres = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        return self.pe_layer(torch.stack([columns, rows], -1)).permute(2, 0, 1).unsqueeze(0)

    def no_mask(self) -> torch.Tensor:
        """What stands for a missing mask prompt, shape (1, channels, 1, 1)."""
        return self.no_mask_embed.weight[:, :, None, None]


class BatchedMaskDecoder(MaskDecoder):
    """segment-anything's mask decoder, whose images and prompts go in pairs."""

    def forward(
        self, embeddings: torch.Tensor, positions: torch.Tensor, tokens: torch.Tensor, dense: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of the single mask and the three alternatives, and the quality that the decoder expects of each.

        Args:
            embeddings: of the images, shape (B, C, h, w).
            positions: encoding of the grid, shape (1, C, h, w).
            tokens: of the prompts, shape (B, N, C).
            dense: of the mask prompts, broadcast to ``embeddings``.

        Returns:
            Scores (B, 4, 4h, 4w) and qualities (B, 4).
        """
        batch = embeddings.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).unsqueeze(0).expand(batch, -1, -1)
        source = embeddings + dense
        read, source = self.transformer(source, positions.expand(batch, -1, -1, -1), torch.cat([own, tokens], 1))
        grid = source.transpose(1, 2).reshape(embeddings.shape)
        pixels = self.output_upscaling(grid)
        weights = [layer(read[:, 1 + index]) for index, layer in enumerate(self.output_hypernetworks_mlps)]
        masks = torch.einsum("bmc,bchw->bmhw", torch.stack(weights, 1), pixels)
        return masks, self.iou_prediction_head(read[:, 0])
