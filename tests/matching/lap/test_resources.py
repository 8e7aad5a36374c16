from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("triton")
import triton

from lvm_med_monai.matching.lap.launch import WARPS
from lvm_med_monai.matching.lap.resources import TARGETS, compile_for, resources_of

RECORD = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "lap_kernel.json"


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("dtype", "blocks"), [("float32", list(WARPS["float32"])), ("float64", [1024, 2048])])
def test_no_register_is_spilled(target, dtype, blocks):
    record = json.loads(RECORD.read_text())
    for block in blocks:
        taken = resources_of(compile_for(target, block, dtype))
        assert taken.spilled == 0
        assert taken.shared <= 1024 + 8 * WARPS[dtype][block], "the scratch of reductions; no scanned row in it"
        if record["versions"]["triton"] == triton.__version__:
            assert list(taken) == record["resources"][target][dtype][str(block)]


@pytest.mark.parametrize("prices", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_compiles(dtype, prices):
    assert resources_of(compile_for("sm_90", 32, dtype, prices)).spilled == 0


@pytest.mark.parametrize(("target", "language"), [("sm_80", "ptx"), ("sm_90", "ptx"), ("gfx942", "amdgcn")])
def test_no_load_follows_a_store(target, language):
    """The program reads nothing that it wrote: in its assembly, whose loops end before, stores come last."""
    assembly = compile_for(target, 256).asm[language]
    loads, stores = (
        [found.start() for found in re.finditer(pattern, assembly)]
        for pattern in (r"\b(ld\.global|global_load|buffer_load)", r"\b(st\.global|global_store|buffer_store)")
    )
    assert loads
    assert stores
    assert max(loads) < min(stores)
    jumps = [
        target for _, target in re.findall(r"\b(bra|s_cbranch_\w+|s_branch)\s+(\S+?);?\s", assembly[min(stores) :])
    ]
    assert all(assembly.index(f"{label}:") > min(stores) for label in jumps), "a jump back from the stores"


def test_minima_are_one_instruction_a_warp():
    ptx = compile_for("sm_80", 128).asm["ptx"]
    assert ptx.count("redux.sync.min.s32") == 2
    assert "shfl.sync" not in ptx
    assert "bar.sync" not in ptx, "one warp needs no barrier"


def test_resources_that_cannot_be_read_are_an_error():
    class Compiled:
        asm = {"amdgcn": "no numbers"}  # noqa: RUF012
        metadata = type("Metadata", (), {"shared": 0})

    with pytest.raises(RuntimeError, match="names no vgpr_spill_count"):
        resources_of(Compiled())
    Compiled.asm = {"cubin": b"no binary"}
    with pytest.raises(RuntimeError, match="cuobjdump reports no resources"):
        resources_of(Compiled())
