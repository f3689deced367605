"""Several blocks of a matrix as the result of a product: each of its tiles goes to all of them, as it is stored."""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from ..compile import jit
from . import memory, simd
from .epilogue import NONE, finish
from .operands import is_a, keep, place, row_step
from .simd import vector
from .tile import VECTORS


class Blocks(NamedTuple):
    """Terms first … last − 1, each a factor and a block, `high` × `wide`, of a matrix that is described as in Sum.

    again, final: of each term, whether something is there to be added to, and whether nothing will be added after it.
    row, column: of each block, where the result begins.
    bias: empty, or an element a row (a column where `across`); code: the activation that follows it where `final`.
    """

    data: np.ndarray
    origin: int
    rows: int
    columns: int
    row_step: int
    column_step: int
    high: int
    wide: int
    at_rows: np.ndarray
    at_columns: np.ndarray
    factors: np.ndarray
    again: np.ndarray
    final: np.ndarray
    first: int
    last: int
    row: int
    column: int
    ends: bool
    bias: np.ndarray
    across: bool
    code: int


@jit
def blocks(
    m: Any, sums: Any, index: int, high: int, wide: int, ends: bool, bias: Any, across: bool, code: int
) -> Any:  # fmt: skip
    """The blocks of a Matrix that a product goes to; ends: whether with the last steps of that product."""
    return Blocks(
        m.data, m.origin, m.rows, m.columns, m.row_step, m.column_step, high, wide, sums.rows, sums.columns,
        sums.factors, sums.again, sums.final, sums.starts[index], sums.starts[index + 1], 0, 0, ends, bias, across,
        code,
    )  # fmt: skip


@jit
def blocks_from(c: Any, row: int, column: int) -> Any:
    """What blocks are from that row and column of each on."""
    return Blocks(
        c.data, c.origin, c.rows, c.columns, c.row_step, c.column_step, c.high, c.wide, c.at_rows, c.at_columns,
        c.factors, c.again, c.final, c.first, c.last, row, column, c.ends, c.bias, c.across, c.code,
    )  # fmt: skip


@jit
def keep_in_blocks(c: Any, sums: Any, step: int, row: int, lane: int, rows: int, lanes: int, more: bool) -> None:
    """Add a tile, times its factor, to each of the blocks, or write it where nothing has been written before."""
    simd.outlined()
    width = simd.lanes(sums[0])
    for t in range(c.first, c.last):
        above, left = c.at_rows[t] * c.high + c.row + row, c.at_columns[t] * c.wide + c.column + lane
        high, wide = min(rows, c.rows - above), min(lanes, c.columns - left)
        at = memory.address(c.data) + c.origin + above * c.row_step + left * c.column_step
        adds, finishes = more or c.again[t], c.ends and c.final[t] and (len(c.bias) > 0 or c.code != NONE)
        if high <= 0 or wide <= 0:
            continue
        if finishes or wide % width or c.column_step != c.data.itemsize:
            keep_rows(c, sums, step, high, wide, above, left, at, c.factors[t], adds, finishes)
        else:
            keep_vectors(c, sums, step, high, wide, at, c.factors[t], adds)


@jit
def keep_vectors(
    c: Any, sums: Any, step: int, rows: int, lanes: int, at: int, factor: Any, adds: bool
) -> None:  # fmt: skip
    """Whole vectors of a tile to one block, at byte address `at`."""
    simd.outlined()
    like = vector.load(sums, 0)
    for i in range(rows):
        for j in range(0, lanes, vector.width(like)):
            value, where = factor * vector.load(sums, i * step + j), at + i * c.row_step + j * c.data.itemsize
            if adds:
                value = value + vector.load_at(c.data, where, like)
            vector.store_at(value, c.data, where)


@jit
def keep_rows(
    c: Any, sums: Any, step: int, rows: int, lanes: int, above: int, left: int, at: int, factor: Any, adds: bool,
    finishes: bool,
) -> None:  # fmt: skip
    """Any tile to one block, at byte address `at` of row `above` and column `left`; with bias and activation if it
    `finishes` the result."""
    simd.outlined()
    item, line = c.data.itemsize, memory.stack_vectors(sums, VECTORS)
    width = simd.lanes(sums[0])
    whole = lanes // width * width if c.column_step == item else 0
    for i in range(rows):
        start = at + i * c.row_step
        for j in range(lanes):
            value = factor * sums[i * step + j]
            line[j] = value + memory.raw_at(c.data, start + j * c.column_step) if adds else value
        if finishes and c.across:
            finish(line, 1, 1, lanes, 1, c.bias, left, c.code, sums[0])
        elif finishes:
            finish(line, 1, 1, 1, lanes, c.bias, above + i, c.code, sums[0])
        for j in range(0, whole, width):
            memory.store_vector(c.data, start + j * item, line, j)
        for j in range(whole, lanes):
            memory.store_at(c.data, start + j * c.column_step, line[j])


@jit
def expect_blocks(c: Any, row: int, lane: int, rows: int, lanes: int) -> int:
    """Nowhere is the place of a tile that goes to several blocks; but their cache lines are soon wanted."""
    if c.column_step == c.data.itemsize:
        for t in range(c.first, c.last):
            above, left = c.at_rows[t] * c.high + c.row + row, c.at_columns[t] * c.wide + c.column + lane
            for i in range(rows):
                at = memory.address(c.data) + c.origin + (above + i) * c.row_step + left * c.column_step
                for offset in range(0, lanes * c.data.itemsize, simd.CACHE_LINE):
                    memory.expect_store(at + offset)
    return 0


@overload(place, strict=False)
def _place(result: Any, row: Any, lane: Any, rows: Any, lanes: Any) -> Any:
    return expect_blocks.py_func if is_a(result, Blocks) else None


@overload(row_step, strict=False)
def _row_step(result: Any) -> Any:
    return (lambda result: 0) if is_a(result, Blocks) else None


@overload(keep, strict=False)
def _keep(result: Any, sums: Any, step: Any, row: Any, lane: Any, rows: Any, lanes: Any, more: Any) -> Any:
    return keep_in_blocks.py_func if is_a(result, Blocks) else None
