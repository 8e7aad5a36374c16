"""What a launch of the kernel takes on each target, from ahead-of-time compilation: no device is needed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lvm_med_monai.matching.lap.kernel import shortest_paths
from lvm_med_monai.matching.lap.launch import WARPS

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
TYPES = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}


class Resources(NamedTuple):
    """Registers of a thread (vector registers on AMD), bytes spilled or on the stack, bytes of shared memory."""

    registers: int
    spilled: int
    shared: int


def compile_for(target: str, block: int, dtype: str = "float32", prices: bool = True) -> Any:
    """Compile the kernel at its shipped launch settings.

    Args:
        target: key of ``TARGETS``.
        block: key of ``WARPS`` for the dtype.
        dtype: dtype of the costs, key of ``TYPES``.
        prices: with the dual prices as outputs.

    Returns:
        Triton's compiled kernel; ``asm`` holds its assembly.
    """
    real = "float64" if dtype == "float64" else "float32"
    constants: dict[str, Any] = {"BLOCK": block, "TRANSPOSED": False, "PRICES": prices, "FLOAT64": real == "float64"}
    if not prices:
        constants |= {"u": None, "p": None}  # as the launcher passes them
    signature = {
        **{"cost": f"*{TYPES[dtype]}", "v": "*i64", "u": f"*{TYPES[real]}", "p": f"*{TYPES[real]}"},
        **dict.fromkeys(("rows", "columns", "reduced_rows"), "i32"),
        **dict.fromkeys(constants, "constexpr"),
    }
    source = ASTSource(shortest_paths, signature, constexprs=constants)
    return triton.compile(source, target=TARGETS[target], options={"num_warps": WARPS[real][block]})


def resources_of(compiled: Any) -> Resources:
    """Read what a compiled kernel takes out of its binary or assembly.

    Raises:
        RuntimeError: they do not say.
    """
    if "amdgcn" in compiled.asm:
        return _of_amd(compiled.asm["amdgcn"], compiled.metadata.shared)
    return _of_nvidia(compiled.asm["cubin"], compiled.metadata.shared)


def _of_amd(assembly: str, dynamic_shared: int) -> Resources:
    def number(name: str) -> int:
        found = re.search(rf"\.{name}:\s+(\d+)", assembly)
        if not found:
            raise RuntimeError(f"the AMD assembly names no {name}")
        return int(found.group(1))

    spilled = 4 * (number("vgpr_spill_count") + number("sgpr_spill_count")) + number("private_segment_fixed_size")
    return Resources(number("vgpr_count"), spilled, max(dynamic_shared, number("group_segment_fixed_size")))


def _of_nvidia(cubin: bytes, dynamic_shared: int) -> Resources:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        run = subprocess.run([tool, "-res-usage", path], capture_output=True, text=True, check=False)
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", run.stdout + run.stderr)
    if not found:
        raise RuntimeError(f"cuobjdump reports no resources: {run.stdout + run.stderr}")
    registers, stack, shared, local = map(int, found.groups())
    return Resources(registers, stack + local, max(shared, dynamic_shared))
