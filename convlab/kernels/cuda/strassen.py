"""strassen: C = A · B by Strassen's scheme, whose sums of blocks are made as slices are loaded and tiles are stored.

A block makes a tile of one product, as in gemm, and adds it to the tiles of C's blocks that it is a part of: no product
and, at the last level, no sum is ever written to memory (Huang, Yu and van de Geijn, "Strassen's Algorithm Reloaded on
GPUs", ACM TOMS 46, 2020). Two terms of a sum of both operands are more than the registers hold while a slice is
multiplied. So A's are loaded in its first half and put in the next slice, B's in its second.

Sizes that the blocks do not divide are peeled off: the last rows, columns and steps of the depth are products of gemm.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, float32

from .compile import inlined, jit, launch
from .gemm import DEPTH, LARGE, SMALL, Tile, gemm, is_aligned, one_step
from .intrinsics import ld1, ld4, st1, st4
from .memory import address
from .schedule import INTO, LINE, OPERAND, TARGET, Factors, Schedule, Sums
from .sums import ITEM, block_sums, place, summed

_ROWS = 8  # of a thread
_PAD = 4  # floats between the rows of A in shared memory, as in gemm
# Unaligned rows take more registers than large tiles leave.
ALIGNED, UNALIGNED = LARGE, Tile(64, 64, 4, 4)


@functools.cache
def halves(tile: Tile, pitch: int) -> Any:
    """gemm.multiplied in two: the device functions that add the first and the second half of a slice's products."""
    one, width = one_step(tile), tile.width

    @inlined
    def first(s_a: Any, s_b: Any, at_a: Any, at_b: Any, total: Any, a: Any, b: Any) -> Any:
        one(s_a, s_b, at_a, at_b, total, a, b)  # a loop would stay one
        one(s_a, s_b, at_a + pitch, at_b + width, total, a, b)
        one(s_a, s_b, at_a + 2 * pitch, at_b + 2 * width, total, a, b)
        one(s_a, s_b, at_a + 3 * pitch, at_b + 3 * width, total, a, b)

    @inlined
    def second(s_a: Any, s_b: Any, at_a: Any, at_b: Any, total: Any, a: Any, b: Any) -> Any:
        first(s_a, s_b, at_a + 4 * pitch, at_b + 4 * width, total, a, b)

    return first, second


@functools.cache
def kernel(tile: Tile, aligned: bool, left: Factors, right: Factors) -> Any:
    """The kernel for a tile, and for sums of A's blocks, and of B's, multiplied by these factors.

    aligned: rows of A, B and C begin at multiples of 16 bytes.
    """
    height, width, columns, _ = tile
    threads, across, groups = tile.threads, width // columns, columns // 4
    pitch = height + _PAD
    stage_a, stage_b = DEPTH * pitch, DEPTH * width
    first_half, second_half = halves(tile, pitch)
    half_rows, half_columns = height // 2, width // 2
    size_a, size_b = 2 * stage_a, 2 * stage_b
    load_a, load_b = summed(aligned, left), summed(aligned, right)
    lanes_b = width // 4  # that bring a row of B, if they bring four neighbours
    rows_a, rows_b = threads // DEPTH, threads // width  # that all threads bring at once, if not
    apart_a = pitch if aligned else rows_a  # what a thread brings of A, in shared memory

    @inlined
    def put_a(s_a: Any, at: Any, values: Any) -> Any:
        for i in range(4):
            st1(s_a, at + i * apart_a, values[i])

    @inlined
    def put_b(s_b: Any, at: Any, values: Any) -> Any:
        if aligned:
            st4(s_b, at, values[0], values[1], values[2], values[3])
        else:
            for i in range(4):
                st1(s_b, at + i * threads, values[i])

    @inlined
    def added(c: Any, at: Any, factor: Any, adds: Any, v: Any, w: Any, x: Any, y: Any, cols: Any) -> Any:
        """factor · (v, w, x, y), or of these the first `cols`, in place of what is there or added to it."""
        if aligned:
            old = ld4(c, at) if adds else (float32(0), float32(0), float32(0), float32(0))
            st4(c, at, old[0] + factor * v, old[1] + factor * w, old[2] + factor * x, old[3] + factor * y)
        else:
            st1(c, at, (ld1(c, at) if adds else float32(0)) + factor * v)
            if cols > 1:
                st1(c, at + 1, (ld1(c, at + 1) if adds else float32(0)) + factor * w)
            if cols > 2:
                st1(c, at + 2, (ld1(c, at + 2) if adds else float32(0)) + factor * x)
            if cols > 3:
                st1(c, at + 3, (ld1(c, at + 3) if adds else float32(0)) + factor * y)

    @jit(tile.threads, tile.blocks)
    def strassen(
        a: Any, b: Any, c: Any, table: Any, line: Any, accumulate: Any, rows: Any, cols: Any, depth: Any, lda: Any,
        ldb: Any, ldc: Any,
    ) -> None:  # fmt: skip
        s_a = cuda.shared.array(size_a, float32, 16)
        s_b = cuda.shared.array(size_b, float32, 16)
        total = cuda.local.array((_ROWS, columns), float32)
        own_a = cuda.local.array(_ROWS, float32)
        own_b = cuda.local.array(columns, float32)
        for i in range(_ROWS):
            for j in range(columns):
                total[i, j] = float32(0)
        t = cuda.threadIdx.x & (threads - 1)
        top, edge = cuda.blockIdx.y * height, cuda.blockIdx.x * width
        at = (line + cuda.blockIdx.z) * LINE
        # What it brings.
        row_a, k_a = t // DEPTH, t % DEPTH
        k_b, col_b = t // width, t % width
        if aligned:
            row_a, k_a = t // 2, t % 2 * 4
            k_b, col_b = t // lanes_b, t % lanes_b * 4
        to_a, to_b = k_a * pitch + row_a, k_b * width + col_b
        row = min(top + row_a, rows - 1)
        a1 = (min(top + row_a + rows_a, rows - 1) - row) * lda
        a2 = (min(top + row_a + 2 * rows_a, rows - 1) - row) * lda
        a3 = (min(top + row_a + 3 * rows_a, rows - 1) - row) * lda
        b1, b2, b3 = rows_b * ldb, 2 * rows_b * ldb, 3 * rows_b * ldb
        first = place(table, at, rows, depth, lda)
        more_a = (place(table, at + 2, rows, depth, lda) - first) * ITEM
        from_a = address(a) + (first + row * lda + k_a) * ITEM
        first = place(table, at + OPERAND, depth, cols, ldb)
        more_b = (place(table, at + OPERAND + 2, depth, cols, ldb) - first) * ITEM
        from_b = address(b) + (first + k_b * ldb + min(edge + col_b, cols - 4 if aligned else cols - 1)) * ITEM
        # What it multiplies.
        y, x = t // across * 4, t % across * 4
        slices = depth // DEPTH
        put_a(s_a, to_a, load_a(a, from_a, more_a, a1, a2, a3))
        put_b(s_b, to_b, load_b(b, from_b, more_b, b1, b2, b3))
        cuda.syncthreads()
        k = 1
        # Two turns, so that where a slice lies in shared memory is a constant. After the last slice comes itself again:
        # a condition around each load would keep them from being moved away from where they are needed.
        while True:
            if k < slices:
                from_a += DEPTH * ITEM
                from_b += DEPTH * ITEM * ldb
            va = load_a(a, from_a, more_a, a1, a2, a3)
            first_half(s_a, s_b, y, x, total, own_a, own_b)
            put_a(s_a, stage_a + to_a, va)
            vb = load_b(b, from_b, more_b, b1, b2, b3)
            second_half(s_a, s_b, y, x, total, own_a, own_b)
            put_b(s_b, stage_b + to_b, vb)
            if k >= slices:
                break
            cuda.syncthreads()
            if k + 1 < slices:
                from_a += DEPTH * ITEM
                from_b += DEPTH * ITEM * ldb
            va = load_a(a, from_a, more_a, a1, a2, a3)
            first_half(s_a, s_b, stage_a + y, stage_b + x, total, own_a, own_b)
            put_a(s_a, to_a, va)
            vb = load_b(b, from_b, more_b, b1, b2, b3)
            second_half(s_a, s_b, stage_a + y, stage_b + x, total, own_a, own_b)
            put_b(s_b, to_b, vb)
            if k + 1 >= slices:
                break
            cuda.syncthreads()
            k += 2
        at += 2 * OPERAND
        for _ in range(INTO):
            factor, adds = float32(ld1(table, at + 2)), (ld1(table, at + 3) | accumulate) != 0
            if factor != float32(0):
                start = place(table, at, rows, cols, ldc)
                for h in range(2):
                    for i in range(4):
                        row, r = top + h * half_rows + y + i, h * 4 + i
                        for g in range(groups):
                            col, q = edge + g * half_columns + x, g * 4
                            if row < rows and col < cols:
                                v, w = total[r, q], total[r, q + 1]
                                added(
                                    c, start + row * ldc + col, factor, adds, v, w, total[r, q + 2], total[r, q + 3],
                                    cols - col,
                                )  # fmt: skip
            at += TARGET

    return strassen


def workspace(schedule: Schedule, rows: int, cols: int, depth: int) -> tuple[int, int]:
    """Elements of the sums of A's blocks, and of B's, that the product of these sizes writes."""
    scheme, (m, n, k) = schedule.scheme, peeled(schedule, rows, cols, depth)
    held = 4 * schedule.held  # blocks of the scheme
    return held * (m // scheme.rows) * (k // scheme.depth), held * (k // scheme.depth) * (n // scheme.columns)


def peeled(schedule: Schedule, rows: int, cols: int, depth: int) -> tuple[int, int, int]:
    """How many rows, columns and steps of the depth are multiplied by the scheme; 0 each if it finds nothing to do."""
    scheme = schedule.scheme
    units = scheme.rows, 4 * scheme.columns, DEPTH * scheme.depth
    m, n, k = (size // unit * unit for size, unit in zip((rows, cols, depth), units, strict=True))
    return (m, n, k) if m * n * k else (0, 0, 0)


def strassen(a: Any, b: Any, c: Any, schedule: Schedule, table: Any, sums: Any, stream: Any = 0) -> None:
    """Write A · B to C: device arrays of float32, (M, K), (K, N), (M, N). Elements of a row lie together.

    schedule: of cuda.schedule; table: its lines, on the device, flat; sums: two flat device arrays of as many float32
    as `workspace` says, or nothing if it says 0. Rows that begin at multiples of 16 bytes are loaded fastest.
    """
    (rows, depth), cols = a.shape, b.shape[1]
    m, n, k = peeled(schedule, rows, cols, depth)
    if m == 0:
        gemm(a, b, c, SMALL, stream)
        return
    if any(array.strides[1] != ITEM for array in (a, b, c)):
        raise ValueError("the elements of a row must lie together")
    if k < depth:
        gemm(a[:m, k:], b[k:, :n], c[:m, :n], LARGE, stream)
    if n < cols:
        gemm(a, b[:, n:], c[:, n:], SMALL, stream)
    if m < rows:
        gemm(a[m:], b[:, :n], c[m:, :n], SMALL, stream)
    scheme = schedule.scheme
    shapes = (m // scheme.rows, k // scheme.depth), (k // scheme.depth, n // scheme.columns)
    whole = tuple(np.int32(size) for size in (shapes[0][0], shapes[1][1], shapes[0][1]))
    stacked = [_stacked(own, 2 * shape[1]) for own, shape in zip(sums, shapes, strict=True)] if sums else [a, b]
    for step in schedule.steps:
        if isinstance(step, Sums):
            high, wide = shapes[step.side]
            x, out, shape = (a, b)[step.side], stacked[step.side], (2 * high, 2 * wide)
            block_sums(x, table, step.line, step.side, step.factors, step.many, shape, out, stream)
            continue
        operands = *(own if is_ else array for own, is_, array in zip(stacked, step.written, (a, b), strict=True)), c
        aligned = is_aligned(*operands)
        tile = ALIGNED if aligned else UNALIGNED
        grid = (-(-int(whole[1]) // tile.width), -(-int(whole[0]) // tile.height), step.many)
        numbers = [np.int32(step.line), np.int32(k < depth), *whole]
        pitches = [np.int32(array.strides[0] // ITEM) for array in operands]
        arguments = (*operands, table, *numbers, *pitches)
        launch(kernel(tile, aligned, *step.factors), grid, tile.threads, arguments, stream)


def _stacked(sums: Any, columns: int) -> Any:
    """Sums that lie one behind the other, as a matrix."""
    return sums[: sums.size // columns * columns].reshape(sums.size // columns, columns)
