"""Matrix: an operand or the result of a product, of any strides, as it lies in memory."""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from ..compile import jit
from . import memory, simd, transpose
from .microkernel import tile_start, tiles_of
from .operands import is_a, keep, pack_lanes, pack_rows, place, row_step
from .tensor import first, first_of
from .tile import VECTORS


class Matrix(NamedTuple):
    """data: one element, the first; the byte offset of this matrix from it; its size, and how many of them; the bytes
    between neighbouring rows, columns and matrices."""

    data: np.ndarray
    origin: int
    rows: int
    columns: int
    batch: int
    row_step: int
    column_step: int
    matrix_step: int


def matrix(array: np.ndarray) -> Matrix:
    """The Matrix of an aligned real array (rows, columns), or of a stack of them (batch, rows, columns)."""
    batch, rows, columns = (1, *array.shape)[-3:]
    step, row, column = (0, *array.strides)[-3:]
    return Matrix(first(array), 0, rows, columns, batch, row, column, step)


@overload(matrix, strict=False)  # the parameters are the same, their annotations are not
def _matrix(array: Any) -> Any:
    """matrix() inside a user's own @njit function."""
    if array.ndim == 2:
        return lambda array: Matrix(
            first_of(array), 0, array.shape[0], array.shape[1], 1, array.strides[0], array.strides[1], 0
        )
    if array.ndim == 3:
        return lambda array: Matrix(
            first_of(array), 0, array.shape[1], array.shape[2], array.shape[0], array.strides[1], array.strides[2],
            array.strides[0],
        )  # fmt: skip
    return None


@jit
def offset(m: Any, row: int, column: int) -> int:
    """Byte offset of an element from m.data."""
    return m.origin + row * m.row_step + column * m.column_step


@jit
def part(m: Any, index: int, row: int, rows: int, column: int, columns: int) -> Any:
    """One matrix of a stack, or a rectangle of it."""
    origin = offset(m, row, column) + index * m.matrix_step
    return Matrix(m.data, origin, rows, columns, 1, m.row_step, m.column_step, 0)


@jit
def transposed(m: Any) -> Any:
    return Matrix(m.data, m.origin, m.columns, m.rows, m.batch, m.column_step, m.row_step, m.matrix_step)


@jit
def address_of(m: Any, row: int, column: int) -> int:
    """Byte address of an element."""
    return memory.address(m.data) + offset(m, row, column)


@jit
def copy_panel(
    source: Any, p: int, across: int, along: int, count: int, width: int, depth: int, zero: Any, target: Any, q: int
) -> None:
    """One panel: element (step, i) at p + i · across + step · along goes to [step][i], i < count ≤ width, at q.

    Elements that lie side by side are copied as vectors, those whose steps do are transposed in registers. A vector
    past the panel's end may be written to. Halves are widened where target holds accumulators.
    """
    simd.outlined()
    item, to, vector = source.itemsize, target.itemsize, simd.lanes(zero)
    row = width * to
    step = 0
    if across == item and count == width and along >= width * item:
        # The last vector of a step may reach into the next, which is read and written after it.
        for _ in range(depth - 1 if width % vector else depth):
            for i in range(0, width, vector):
                memory.copy_vector(source, p + step * along + i * item, target, q + step * row + i * to, zero)
            step += 1
    elif along == item and transpose.transposes(zero):
        while step + vector <= depth:
            # Later rows first: what a vector has too many is overwritten by the earlier rows of the next step.
            for i in range((width - 1) // vector * vector, -1, -vector):
                transpose.turn(
                    source, p + i * across + step * item, across, min(vector, count - i), target,
                    q + (step * width + i) * to, row, zero,
                )  # fmt: skip
            step += vector
    while step < depth:
        for i in range(count):
            memory.copy_at(source, p + i * across + step * along, target, q + (step * width + i) * to)
        step += 1


@jit
def pack_matrix_rows(a: Any, row: int, rows: int, step: int, depth: int, zero: Any, target: int) -> int:
    for i in range(tiles_of(rows)):
        start, end = tile_start(i, rows), tile_start(i + 1, rows)
        copy_panel(
            a.data, address_of(a, row + start, step), a.row_step, a.column_step, min(end, rows) - start,
            end - start, depth, zero, a.data, target + start * depth * a.data.itemsize,
        )  # fmt: skip
    return target


@jit
def pack_matrix_lanes(b: Any, lane: int, lanes: int, step: int, depth: int, zero: Any, target: int) -> None:
    width = VECTORS * simd.lanes(zero)
    for start in range(0, lanes, width):
        copy_panel(
            b.data, address_of(b, step, lane + start), b.column_step, b.row_step, min(width, lanes - start),
            width, depth, zero, b.data, target + start * depth * b.data.itemsize,
        )  # fmt: skip


@jit
def place_in_matrix(c: Any, row: int, lane: int, rows: int, lanes: int) -> int:
    return address_of(c, row, lane) if c.column_step == c.data.itemsize else 0


@jit
def keep_in_matrix(c: Any, sums: Any, step: int, row: int, lane: int, rows: int, lanes: int, more: bool) -> None:
    simd.outlined()
    for i in range(rows):
        for j in range(lanes):
            at, value = address_of(c, row + i, lane + j), sums[i * step + j]
            if more:  # cast, because Numba adds small integers as large ones
                value = simd.cast_like(value + memory.raw_at(c.data, at), value)
            memory.store_at(c.data, at, value)


@overload(pack_rows, strict=False)
def _pack_rows(a: Any, row: Any, rows: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    return pack_matrix_rows.py_func if is_a(a, Matrix) else None


@overload(pack_lanes, strict=False)
def _pack_lanes(b: Any, lane: Any, lanes: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    return pack_matrix_lanes.py_func if is_a(b, Matrix) else None


@overload(place, strict=False)
def _place(result: Any, row: Any, lane: Any, rows: Any, lanes: Any) -> Any:
    return place_in_matrix.py_func if is_a(result, Matrix) else None


@overload(row_step, strict=False)
def _row_step(result: Any) -> Any:
    return (lambda result: result.row_step) if is_a(result, Matrix) else None


@overload(keep, strict=False)
def _keep(result: Any, sums: Any, step: Any, row: Any, lane: Any, rows: Any, lanes: Any, more: Any) -> Any:
    return keep_in_matrix.py_func if is_a(result, Matrix) else None
