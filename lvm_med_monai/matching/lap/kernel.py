"""Linear assignment on a GPU: shortest augmenting paths, one program a problem.

``reference.py`` in registers: row by row, a search for the shortest path of reduced costs ``cost - u - p`` to a free
column, then new prices, then the path is flipped. A program holds one value of each kind for every column, and reads
``cost`` from memory again and again; it never reads what it wrote, so no barrier can be missing, whatever the number of
warps. One scan of a row takes two minima over the columns: of the distance, as an integer that sorts as the float does
(a minimum of 32-bit integers is one instruction a warp on recent GPUs; of floats or 64-bit keys it is not), and of a
code that names the nearest column, its row, and whether it is free.
"""

from __future__ import annotations

import triton
import triton.language as tl

INDEX_BITS = tl.constexpr(12)
"""Bits of a row or a column in a code."""
INDEX_MASK = tl.constexpr(4095)
TAKEN = tl.constexpr(1 << 24)
"""Set in the code of a column that has a row."""
NOTHING = tl.constexpr(0x7FFFFFFF)
"""Larger than any code."""
SIZES = ["rows", "columns", "reduced_rows"]
POINTERS = ["cost", "v", "u", "p"]


@triton.jit
def _sortable(x: tl.tensor) -> tl.tensor:
    """Integers of the width of x in the order of x: the bits below the sign of negative floats are turned round."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        return tl.where(bits < 0, bits ^ 0x7FFFFFFFFFFFFFFF, bits)
    else:  # noqa: RET505  Triton compiles one branch and needs to see two
        bits = x.to(tl.int32, bitcast=True)
        return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _float_of(key: tl.tensor) -> tl.tensor:
    """The inverse of _sortable."""
    if key.dtype == tl.int64:
        return tl.where(key < 0, key ^ 0x7FFFFFFFFFFFFFFF, key).to(tl.float64, bitcast=True)
    else:  # noqa: RET505
        return tl.where(key < 0, key ^ 0x7FFFFFFF, key).to(tl.float32, bitcast=True)


@triton.jit
def _value_at(x: tl.tensor, here: tl.tensor) -> tl.tensor:
    """The one float of x where ``here`` holds, 0 if nowhere, as a sum of bits: exact; one instruction in 32 bits."""
    if x.dtype == tl.float64:
        return tl.sum(tl.where(here, x.to(tl.int64, bitcast=True), 0), 0).to(tl.float64, bitcast=True)
    else:  # noqa: RET505
        return tl.sum(tl.where(here, x.to(tl.int32, bitcast=True), 0), 0).to(tl.float32, bitcast=True)


@triton.jit
def _load(cost: tl.tensor, offset: tl.tensor, wanted: tl.tensor, real: tl.constexpr) -> tl.tensor:
    """Costs at the offsets wanted; +inf elsewhere and in place of NaN and -inf, which must not reach the prices."""
    value = tl.load(cost + offset, mask=wanted, other=float("inf")).to(real)
    return tl.where(value > -float("inf"), value, float("inf"))


# One compilation for all sizes and alignments: told of aligned rows, Triton loads four neighbouring columns a thread,
# while the state holds every 32nd, and exchanges every scanned row through shared memory.
@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=POINTERS)
def shortest_paths(
    cost: tl.tensor,
    v: tl.tensor,
    u: tl.tensor,
    p: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    reduced_rows: tl.tensor,
    BLOCK: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    PRICES: tl.constexpr,
    FLOAT64: tl.constexpr,
) -> None:
    """Solve problem ``program_id`` of a batch; every element of its outputs is written exactly once.

    Args:
        cost: costs, shape (B, rows, columns), contiguous, float16, bfloat16, float32 or float64; rows <= columns.
        v: int64, column of each row, shape (B, rows); if TRANSPOSED row of each column, shape (B, columns). -1: none.
            All -1 for a problem without an assignment.
        u: prices of rows, shape (B, rows), float32 or, if FLOAT64, float64; NaN for a problem without an assignment.
            Not touched without PRICES.
        p: the same of columns, shape (B, columns).
        rows: rows of a problem, at least 1.
        columns: columns of a problem, at most BLOCK.
        reduced_rows: rows if prices of columns shall start at their least cost, which only square problems allow, as
            a column that stays free must keep price 0; else 0.
        BLOCK: lanes, a power of two up to 4096.
        TRANSPOSED: write the row of each column instead of the column of each row.
        PRICES: write u and p.
        FLOAT64: compute in float64 instead of float32.
    """
    real: tl.constexpr = tl.float64 if FLOAT64 else tl.float32
    infinity: tl.constexpr = 0x7FF0000000000000 if FLOAT64 else 0x7F800000  # _sortable(inf)
    beyond: tl.constexpr = 0x7FFFFFFFFFFFFFFF if FLOAT64 else 0x7FFFFFFF
    problem = tl.program_id(0).to(tl.int64)
    cost += problem * rows * columns
    lane = tl.arange(0, BLOCK)
    exists = lane < columns

    price = tl.full((BLOCK,), float("inf"), real)
    for row in range(0, reduced_rows):
        price = tl.minimum(price, _load(cost, row * columns + lane, exists, real))
    price = tl.where(price == float("inf"), 0.0, price).to(real)
    code = lane << INDEX_BITS  # of a free column; that of a taken one holds TAKEN and its row as well
    row_price = tl.zeros((BLOCK,), real)  # u of the row of a taken column
    infeasible = tl.zeros((), tl.int32)

    for start in range(0, rows):
        distance = tl.full((BLOCK,), float("inf"), real)
        previous = tl.zeros((BLOCK,), tl.int32)  # row from which a lane was reached, and above it that row's lane + 1
        is_open = exists
        row = start
        scanned = -1  # lane of that row
        reached = tl.zeros((), real)
        free = -1
        searching = 1 - infeasible
        while searching > 0:
            c = _load(cost, row * columns + lane, is_open, real)
            through_row = (c - price) + (reached - _value_at(row_price, lane == scanned))
            closer = is_open & (through_row < distance)
            distance = tl.where(closer, through_row, distance)
            previous = tl.where(closer, ((scanned + 1) << INDEX_BITS) | row, previous)
            key = tl.where(is_open, _sortable(distance), beyond)
            least = tl.min(key, 0)
            nearest = tl.min(tl.where(is_open & (key == least), code, NOTHING), 0)  # a free column before a taken one
            lane_found = (nearest >> INDEX_BITS) & INDEX_MASK
            reached = _float_of(least)
            if least >= infinity:
                infeasible += 1
                searching = 0
            elif nearest < TAKEN:
                free = lane_found
                searching = 0
            else:
                is_open = is_open & (lane != lane_found)
                scanned = lane_found
                row = nearest & INDEX_MASK
        if free >= 0:
            changed = exists & ((is_open == 0) | (lane == free))
            price = tl.where(changed, price + (distance - reached), price)
            at = free
            while at >= 0:
                step = tl.sum(tl.where(lane == at, previous, 0), 0)
                code = tl.where(lane == at, (lane << INDEX_BITS) | (step & INDEX_MASK) | TAKEN, code)
                at = (step >> INDEX_BITS) - 1
            # from the input again instead of by differences: rounding errors do not add up over the rows
            own_cost = _load(cost, (code & INDEX_MASK) * columns + lane, changed, real)
            row_price = tl.where(changed, own_cost - price, row_price)

    solved = infeasible == 0
    row_of = tl.where(code >= TAKEN, code & INDEX_MASK, -1)
    if TRANSPOSED:
        tl.store(v + problem * columns + lane, tl.where(solved, row_of, -1).to(tl.int64), mask=exists)
    else:
        tl.store(v + problem * rows + row_of, lane.to(tl.int64), mask=solved & (row_of >= 0))
        tl.store(v + problem * rows + lane, tl.full((BLOCK,), -1, tl.int64), mask=(lane < rows) & (infeasible > 0))
    if PRICES:
        nan = tl.full((BLOCK,), float("nan"), real)
        tl.store(p + problem * columns + lane, tl.where(solved, price, nan), mask=exists)
        tl.store(u + problem * rows + row_of, row_price, mask=solved & (row_of >= 0))
        tl.store(u + problem * rows + lane, nan, mask=(lane < rows) & (infeasible > 0))
