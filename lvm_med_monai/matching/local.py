"""Similarity of dense feature maps, for all pairs of images of two graphs."""

from __future__ import annotations

from typing import Any

import torch

from lvm_med_monai.matching.affinity import unit

LOCATIONS = ("none", "all")
FORMS = ("mean", "sum")
CHUNK_ENTRIES = 2**23  # cosines held at once (32 MiB in float32); bounds the memory, not the result


def local_affinity(
    maps_s: torch.Tensor,
    maps_t: torch.Tensor,
    gamma: int,
    positions_s: torch.Tensor | None = None,
    positions_t: torch.Tensor | None = None,
    location: str = "none",
    form: str = "mean",
) -> torch.Tensor:
    """Compare the dense feature maps of every source image with those of every target image (paper Eq. 2-3).

    For a pair of images (i, a) and the direction i -> a, each cell of map i finds its nearest cell of map a, the
    ``gamma`` closest of these matches are kept, and their cosines are averaged. Nearest in feature space is the feature
    branch; nearest in image coordinates the location branch. Directions i -> a and a -> i and the branches are
    averaged (``"mean"``, range [-1, 1]) or added (``"sum"``: [-2, 2], with location [-4, 4]).

    Note:
        Eq. 2-3 of the paper add branches and directions while its pseudo-code averages the branches of one direction.
        ``"sum"`` is the former. The location branch is for all pairs or for none: on the true pairs alone it would put
        another quantity on the diagonal, which tells the label.

    Args:
        maps_s: source maps, S cells of D channels an image, shape (B, N, S, D).
        maps_t: target maps, shape (B, M, S, D).
        gamma: matches kept of each direction and branch, 1 .. S.
        positions_s: centres of the cells in normalised coordinates of the original image, flips mirrored,
            shape (B, N, S, 2). Only for location ``"all"``.
        positions_t: the same for the target, shape (B, M, S, 2).
        location: ``"none"`` or ``"all"``.
        form: ``"mean"`` or ``"sum"``.

    Returns:
        Local affinities, shape (B, N, M). Differentiable once in the maps; matches are constants.

    Raises:
        ValueError: shapes do not fit, gamma is out of range, an option is unknown, or positions are missing.

    References:
        LVM-Med, arXiv 2306.11925, Eq. 2-3; VICRegL, arXiv 2210.01571, section 3.
    """
    _check(maps_s, maps_t, gamma, location, form)
    if location == "all":
        if positions_s is None or positions_t is None:
            raise ValueError("the location branch needs positions_s and positions_t")
        for name, positions, maps in (("positions_s", positions_s, maps_s), ("positions_t", positions_t, maps_t)):
            if positions.shape != (*maps.shape[:3], 2):
                raise ValueError(f"{name} must have shape {(*maps.shape[:3], 2)}, got {tuple(positions.shape)}")
    else:
        positions_s = positions_t = None
    length_s, length_t = (maps.detach().norm(dim=3) for maps in (maps_s, maps_t))
    parts = 4 if location == "all" else 2
    scale = 1.0 if form == "sum" else 1.0 / parts
    return scale * _MatchedCosines.apply(
        unit(maps_s), unit(maps_t), length_s, length_t, positions_s, positions_t, gamma
    )


def _check(maps_s: torch.Tensor, maps_t: torch.Tensor, gamma: int, location: str, form: str) -> None:
    if location not in LOCATIONS:
        raise ValueError(f"location must be one of {', '.join(LOCATIONS)}, got {location!r}")
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    if maps_s.ndim != 4 or maps_t.ndim != 4 or maps_s[:, 0].shape != maps_t[:, 0].shape:
        raise ValueError(
            f"maps must have shapes (B, N, S, D) and (B, M, S, D), got {tuple(maps_s.shape)} and {tuple(maps_t.shape)}"
        )
    if not 1 <= gamma <= maps_s.shape[2]:
        raise ValueError(f"gamma must be in 1 .. {maps_s.shape[2]}, the cells of a map, got {gamma}")


class _MatchedCosines(torch.autograd.Function):
    """Sum over branches and directions of the mean cosine of the kept matches, shape (B, N, M).

    One product of the maps of a chunk of source images with those of all target images serves both branches and both
    directions. Only the indices of the kept matches are saved: autograd would keep all N * M * S * S cosines.
    """

    @staticmethod
    def forward(
        ctx: Any,
        unit_s: torch.Tensor,
        unit_t: torch.Tensor,
        length_s: torch.Tensor,
        length_t: torch.Tensor,
        positions_s: torch.Tensor | None,
        positions_t: torch.Tensor | None,
        gamma: int,
    ) -> torch.Tensor:
        batch, n, cells, _ = unit_s.shape
        value = unit_s.new_empty(batch, n, unit_t.shape[1])
        matches = []
        for b in range(batch):
            for rows in _chunks(n, unit_t.shape[1] * cells * cells):
                cosine = _all_pairs(unit_s[b, rows], unit_t[b])
                kept = _feature_matches(cosine, length_s[b, rows], length_t[b], gamma)
                if positions_s is not None and positions_t is not None:
                    kept += _location_matches(positions_s[b, rows], positions_t[b], gamma)
                kept_cells = torch.cat(kept, dim=2)
                value[b, rows] = cosine.flatten(2).gather(2, kept_cells).sum(dim=2) / gamma
                matches.append(kept_cells.to(torch.int32))
        ctx.save_for_backward(unit_s, unit_t, *matches)
        ctx.gamma = gamma
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        unit_s, unit_t, *matches = ctx.saved_tensors
        batch, n, cells, channels = unit_s.shape
        m = unit_t.shape[1]
        gradient_s, gradient_t = torch.zeros_like(unit_s), torch.zeros_like(unit_t)
        kept = iter(matches)
        for b in range(batch):
            for rows in _chunks(n, m * cells * cells):
                index = next(kept).long()
                weight = unit_s.new_zeros(*index.shape[:2], cells * cells)
                weight.scatter_add_(2, index, (gradients[0][b, rows, :, None] / ctx.gamma).expand(index.shape))
                # (n, M, S, S) -> one matrix between all source cells and all target cells of the chunk
                matrix = weight.view(-1, m, cells, cells).transpose(1, 2).reshape(-1, m * cells)
                gradient_s[b, rows] = (matrix @ unit_t[b].flatten(0, 1)).view(-1, cells, channels)
                gradient_t[b] += (matrix.mT @ unit_s[b, rows].flatten(0, 1)).view(m, cells, channels)
        return gradient_s, gradient_t, None, None, None, None, None


def _chunks(n: int, entries: int) -> list[slice]:
    """Slices of source images whose cosines with all target images fit the memory bound."""
    step = max(1, CHUNK_ENTRIES // entries)
    return [slice(start, start + step) for start in range(0, n, step)]


def _all_pairs(unit_s: torch.Tensor, unit_t: torch.Tensor) -> torch.Tensor:
    """Cosines of all cells of (n, S, D) and (M, S, D), shape (n, M, S, S)."""
    (n, cells, _), m = unit_s.shape, len(unit_t)
    product = unit_s.flatten(0, 1) @ unit_t.flatten(0, 1).mT
    return product.view(n, cells, m, cells).transpose(1, 2)


def _feature_matches(
    cosine: torch.Tensor, length_s: torch.Tensor, length_t: torch.Tensor, gamma: int
) -> list[torch.Tensor]:
    """Kept matches of both directions by Euclidean distance of features."""
    length_s, length_t = length_s[:, None, :, None], length_t[None, :, None, :]
    return _both_directions(length_s**2 + length_t**2 - 2 * cosine * length_s * length_t, gamma)


def _location_matches(positions_s: torch.Tensor, positions_t: torch.Tensor, gamma: int) -> list[torch.Tensor]:
    """Kept matches of both directions by distance in image coordinates."""
    (n, cells, _), m = positions_s.shape, len(positions_t)
    distance = torch.cdist(positions_s.flatten(0, 1), positions_t.flatten(0, 1))
    return _both_directions(distance.view(n, cells, m, cells).transpose(1, 2), gamma)


def _both_directions(distance: torch.Tensor, gamma: int) -> list[torch.Tensor]:
    """Flat cells p * S + q of the gamma closest nearest-neighbour matches, from s to t and from t to s."""
    cells = distance.shape[3]
    nearest_t = distance.min(dim=3)
    p = nearest_t.values.topk(gamma, dim=2, largest=False).indices
    from_s = p * cells + nearest_t.indices.gather(2, p)
    nearest_s = distance.min(dim=2)
    q = nearest_s.values.topk(gamma, dim=2, largest=False).indices
    return [from_s, nearest_s.indices.gather(2, q) * cells + q]
