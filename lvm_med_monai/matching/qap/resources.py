"""What a launch of the search kernel takes on each target, from ahead-of-time compilation: no device is needed."""

from __future__ import annotations

from typing import Any

import triton
from triton.compiler import ASTSource

from lvm_med_monai.matching.lap.resources import TARGETS, resources_of
from lvm_med_monai.matching.qap.kernel import launch_settings, search_kernel

NODES = (16, 32)  # the largest graphs of the two launch settings

__all__ = ["NODES", "TARGETS", "compile_for", "resources_of"]


def compile_for(target: str, nodes: int, tabu: bool = True) -> Any:
    """Compile the kernel at its shipped launch settings.

    Args:
        target: key of ``TARGETS``.
        nodes: N, at most 32.
        tabu: as for ``tabu_kernel_search``.

    Returns:
        Triton's compiled kernel, for ``resources_of``.
    """
    options = launch_settings(nodes, cuda=TARGETS[target].backend == "cuda")
    constants = {"BLOCK": options.pop("BLOCK"), "TABU": tabu}
    signature = {
        **{"c_v": "*fp32", "c_e": "*fp32", "offset_s": "*i32", "offset_t": "*i32"},
        **{"starts": "*i32", "best_v": "*i32", "best_score": "*fp32"},
        **dict.fromkeys(("count", "moves", "n", "edge_pairs"), "i32"),
        **dict.fromkeys(constants, "constexpr"),
    }
    return triton.compile(ASTSource(search_kernel, signature, constants), target=TARGETS[target], options=options)
