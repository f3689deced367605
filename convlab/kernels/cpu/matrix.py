"""Matrix: an operand or the result of a product, of any strides, as it lies in memory."""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from ..compile import jit
from . import memory, simd, tile, transpose
from .microkernel import add_rows, lanes_in, prefetch_rows, rows_in, store_rows, tile_start, tiles_of
from .operands import expect, is_a, keep, pack_lanes, pack_rows
from .tensor import first, first_of, storage
from .tile import TILE, VECTORS


class Matrix(NamedTuple):
    """data: one element, the first; how many matrices, rows, columns; the bytes between neighbours of each."""

    data: np.ndarray
    batch: int
    rows: int
    columns: int
    matrix_step: int
    row_step: int
    column_step: int


def matrix(array: np.ndarray) -> Matrix:
    """The Matrix of an aligned real array (rows, columns), or of a stack of them (batch, rows, columns)."""
    stack = array if array.ndim == 3 else array[None]
    return Matrix(first(stack), *stack.shape, *stack.strides)


@overload(matrix, strict=False)  # the parameters are the same, their annotations are not
def _matrix(array: Any) -> Any:
    """matrix() inside a user's own @njit function."""
    if array.ndim == 2:
        return lambda array: Matrix(first_of(array), 1, array.shape[0], array.shape[1], 0, *array.strides)
    if array.ndim == 3:
        return lambda array: Matrix(first_of(array), *array.shape, *array.strides)
    return None


@jit
def address_of(m: Any, index: int, row: int, column: int) -> int:
    """Byte address of an element."""
    return memory.address(m.data) + index * m.matrix_step + row * m.row_step + column * m.column_step


@jit
def copy_panel(
    source: Any, p: int, across: int, along: int, count: int, width: int, depth: int, zero: Any, target: Any, q: int
) -> None:
    """One panel: element (step, i) at p + i · across + step · along goes to [step][i], i < count ≤ width, at q.

    Elements that lie side by side are copied as vectors, those whose steps do are transposed in registers. A vector past
    the panel's end may be written to.
    """
    simd.outlined()
    item, vector = source.itemsize, simd.lanes(zero)
    row = width * item
    step = 0
    if across == item and count == width and along >= row:
        # The last vector of a step may reach into the next, which is read and written after it.
        for _ in range(depth - 1 if width % vector else depth):
            for i in range(0, width, vector):
                memory.copy_vector(source, p + step * along + i * item, target, q + step * row + i * item, zero)
            step += 1
    elif along == item and transpose.transposes(zero):
        while step + vector <= depth:
            # Later rows first: what a vector has too many is overwritten by the earlier rows of the next step.
            for i in range((width - 1) // vector * vector, -1, -vector):
                transpose.turn(
                    source, p + i * across + step * item, across, min(vector, count - i), target,
                    q + (step * width + i) * item, row, zero,
                )  # fmt: skip
            step += vector
    while step < depth:
        for i in range(count):
            memory.store_at(
                target, q + (step * width + i) * item, memory.raw_at(source, p + i * across + step * along)
            )
        step += 1


@jit
def pack_matrix_rows(a: Any, row: int, rows: int, step: int, depth: int, zero: Any, target: int) -> None:
    for i in range(tiles_of(rows)):
        start, end = tile_start(i, rows), tile_start(i + 1, rows)
        copy_panel(
            a.data, address_of(a, 0, row + start, step), a.row_step, a.column_step, min(end, rows) - start,
            end - start, depth, zero, a.data, target + start * depth * a.data.itemsize,
        )  # fmt: skip


@jit
def pack_matrix_lanes(b: Any, lane: int, lanes: int, step: int, depth: int, zero: Any, target: int) -> None:
    width = VECTORS * simd.lanes(zero)
    for start in range(0, lanes, width):
        copy_panel(
            b.data, address_of(b, 0, step, lane + start), b.column_step, b.row_step, min(width, lanes - start),
            width, depth, zero, b.data, target + start * depth * b.data.itemsize,
        )  # fmt: skip


@jit
def keep_edge(c: Any, at: int, buffer: Any, step: int, rows: int, lanes: int, more: bool) -> None:
    """Part of a tile, or a tile whose columns do not lie side by side: element by element."""
    simd.outlined()
    for i in range(rows):
        for j in range(lanes):
            where, value = at + i * c.row_step + j * c.column_step, buffer[i * step + j]
            memory.store_at(c.data, where, value + memory.raw_at(c.data, where) if more else value)


@jit
def keep_in_matrix(c: Any, total: Any, row: int, lane: int, rows: int, lanes: int, more: bool) -> None:
    at = address_of(c, 0, row, lane)
    if rows == rows_in(total) and lanes == lanes_in(total) and c.column_step == c.data.itemsize:
        if more:
            total = add_rows(total, at, c.row_step)
        store_rows(total, c.data, at, c.row_step)
    else:
        buffer = memory.stack_vectors(c.data, TILE)
        tile.store(total, buffer, 0)
        keep_edge(c, at, buffer, lanes_in(total), rows, lanes, more)


@jit
def expect_in_matrix(c: Any, shape: Any, row: int, lane: int, rows: int, lanes: int, more: bool) -> None:
    prefetch_rows(shape, address_of(c, 0, row, lane), c.row_step)


@overload(pack_rows, strict=False)
def _pack_rows(a: Any, row: Any, rows: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    return pack_matrix_rows.py_func if is_a(a, Matrix) else None


@overload(pack_lanes, strict=False)
def _pack_lanes(b: Any, lane: Any, lanes: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    return pack_matrix_lanes.py_func if is_a(b, Matrix) else None


@overload(expect, strict=False)
def _expect(result: Any, shape: Any, row: Any, lane: Any, rows: Any, lanes: Any, more: Any) -> Any:
    return expect_in_matrix.py_func if is_a(result, Matrix) else None


@overload(keep, strict=False)
def _keep(result: Any, total: Any, row: Any, lane: Any, rows: Any, lanes: Any, more: Any) -> Any:
    return keep_in_matrix.py_func if is_a(result, Matrix) else None
