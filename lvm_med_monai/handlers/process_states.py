"""What each process of a training has of its own: random numbers, and the objects that draw them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

State = dict[str, Any]


def own_state(objects: Mapping[str, Any]) -> State:
    """State of this process, on the CPU: of its objects, of torch's random numbers and of its GPU's if it uses one."""
    state: State = {
        "random": torch.get_rng_state(),
        "objects": {name: _on_cpu(thing.state_dict()) for name, thing in objects.items()},
    }
    if torch.cuda.is_initialized():
        state["random_cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_numbers(state: State) -> None:
    """Go on with the random numbers of a process; those of a GPU only where one was used and is used now."""
    torch.set_rng_state(state["random"])
    if "random_cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["random_cuda"])


def rank() -> int:
    """Number of this process; 0 where it is alone."""
    return dist.get_rank() if _together() else 0


def of_all_processes(item: Any) -> list[Any]:
    """What each process has, in the order of their ranks; every process must ask. Items are pickled."""
    if not _together():
        return [item]
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items


def _together() -> bool:
    """By torch itself: ignite's idist remembers a group of processes that has ended."""
    return dist.is_available() and dist.is_initialized()


def _on_cpu(item: Any) -> Any:
    """A copy of a state dict with all tensors on the CPU."""
    if isinstance(item, torch.Tensor):
        return item.detach().cpu().clone()
    if isinstance(item, Mapping):
        return {key: _on_cpu(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return type(item)(_on_cpu(value) for value in item)
    return item
