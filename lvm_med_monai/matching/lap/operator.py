"""Assignment as an operator of torch, which compilers take as a whole: backends, checks, devices."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from lvm_med_monai.matching.lap import libraries
from lvm_med_monai.matching.lap.launch import arithmetic_of, interpreted, launch, most_nodes
from lvm_med_monai.matching.lap.prices import optimal_prices
from lvm_med_monai.matching.lap.reference import shortest_augmenting_paths

ARGUMENTS = "(Tensor cost, str backend, bool check)"
Solved = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


@torch.library.custom_op("lvm_med_monai::assign", mutates_args=(), schema=f"{ARGUMENTS} -> Tensor")
def assignment(cost: torch.Tensor, backend: str, check: bool) -> torch.Tensor:
    """Targets of sources, shape (B, N), int64; arguments as of ``assign``."""
    return _solve(cost, backend, check, with_prices=False)[0]


@torch.library.custom_op(
    "lvm_med_monai::assign_with_prices", mutates_args=(), schema=f"{ARGUMENTS} -> (Tensor, Tensor, Tensor)"
)
def assignment_with_prices(cost: torch.Tensor, backend: str, check: bool) -> Solved:
    """The same, and prices of sources (B, N) and of targets (B, M)."""
    return _solve(cost, backend, check, with_prices=True)


@assignment.register_fake
def _(cost: torch.Tensor, backend: str, check: bool) -> torch.Tensor:
    return _outputs(cost, with_prices=False)[0]


@assignment_with_prices.register_fake
def _(cost: torch.Tensor, backend: str, check: bool) -> Solved:
    return _outputs(cost, with_prices=True)


def _no_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output)


# prices are floating: without this, torch would promise a gradient and fail in backward
assignment_with_prices.register_autograd(lambda ctx, *gradients: (None, None, None), setup_context=_no_gradient)


def _outputs(cost: torch.Tensor, with_prices: bool) -> Solved:
    batch, n, m = cost.shape
    v = cost.new_empty((batch, n), dtype=torch.int64)
    if not with_prices:
        return v, None, None
    real = arithmetic_of(cost.dtype)
    return v, cost.new_empty((batch, n), dtype=real), cost.new_empty((batch, m), dtype=real)


def _solve(cost: torch.Tensor, backend: str, check: bool, with_prices: bool) -> Solved:
    backend = _choose(cost, backend)
    if cost.numel() == 0:
        v, u, p = _outputs(cost, with_prices)
        v.fill_(-1)
        for price in (u, p):
            if price is not None:
                price.zero_()
        return v, u, p
    if backend == "triton":
        v, u, p = _outputs(cost, with_prices)
        launch(cost, v, u, p)
        if check:
            _raise_for(cost, v)
        return v, u, p
    return _solve_one_by_one(cost, backend, check, with_prices)


def _choose(cost: torch.Tensor, backend: str) -> str:
    nodes, most = max(cost.shape[1:]), most_nodes(cost.dtype)
    if backend == "auto":
        if cost.is_cuda and nodes <= most and find_spec("triton") is not None:
            return "triton"
        return "lapx" if libraries.has_lapx() else "scipy"
    if backend == "triton":
        if find_spec("triton") is None:
            raise ImportError("the assignment backend 'triton' needs the package triton (pip install triton)")
        if nodes > most:
            raise ValueError(f"the backend 'triton' takes up to {most} nodes a side of {cost.dtype}, got {nodes}")
        if not cost.is_cuda and not interpreted():
            raise ValueError(f"the assignment backend 'triton' needs costs on a GPU, got them on {cost.device}")
    return backend


def _raise_for(cost: torch.Tensor, v: torch.Tensor) -> None:
    """Raise ValueError for invalid or infeasible problems, waiting for the device once."""
    invalid = ~(cost > -torch.inf).all()  # NaN too
    infeasible = (v < 0).all(dim=1)
    first = torch.where(infeasible.any(), infeasible.int().argmax(), -1)
    is_invalid, index = torch.stack([invalid.long(), first]).tolist()
    if is_invalid:
        raise _invalid(cost)
    if index >= 0:
        raise _infeasible(index)


def _solve_one_by_one(cost: torch.Tensor, backend: str, check: bool, with_prices: bool) -> Solved:
    """Solve on the CPU in float64, whatever the dtype and device of the costs."""
    solver = {
        "reference": shortest_augmenting_paths,
        "scipy": libraries.solve_with_scipy,
        "lapx": libraries.solve_with_lapx,
    }[backend]
    matrices = cost.double().cpu().numpy()
    valid = matrices > -np.inf
    if not valid.all():
        if check:
            raise _invalid(cost)
        matrices = np.where(valid, matrices, np.inf)
    _, u, p = _outputs(cost, with_prices)
    v = np.full(matrices.shape[:2], -1)
    prices = [np.full(matrices.shape[:2], np.nan), np.full(matrices.shape[::2], np.nan)]
    for index, matrix in enumerate(matrices):
        try:
            rows, columns = solver(matrix)
        except ValueError as error:
            if check:
                raise _infeasible(index) from error
            continue
        v[index, rows] = columns
        if with_prices:
            prices[0][index], prices[1][index] = optimal_prices(matrix, rows, columns)
    for price, values in zip((u, p), prices, strict=True):
        if price is not None:
            price.copy_(torch.from_numpy(values))
    return torch.from_numpy(v).to(cost.device), u, p


def _invalid(cost: torch.Tensor) -> ValueError:
    return ValueError(f"cost of shape {tuple(cost.shape)} holds NaN or -inf")


def _infeasible(index: int) -> ValueError:
    return ValueError(f"problem {index} of the batch has no assignment without forbidden pairs")
