"""C = A · B in float32: tiles of C in registers, slices of A and B in shared memory, the next slice on its way.

A block makes a tile of C. It goes through the depth in slices of DEPTH, two of which lie in shared memory: one that
all threads multiply from, one that they fill for the next turn. A thread holds two groups of four rows, half a tile
apart, by one or two such groups of columns: so the loads of a warp, 16 bytes a lane, meet no bank twice. Beyond the
edges of C rows and columns that exist are read instead, and nothing is stored; the last slice, if the depth leaves
part of one, is filled up with zeros (Lai and Seznec, CGO'13, and cutlass's "efficient GEMM" describe the scheme).
The products of a batch are the third dimension of the grid.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, float32

from .compile import inlined, jit, launch
from .intrinsics import ld1, ld4, st1, st4
from .memory import quotient
from .tensor import flat

DEPTH = 8
_ROWS = 8  # of a thread
# Between the rows of A in shared memory, which threads write column by column: four floats that keep them off each
# other's banks.
_PAD = 4
_GRID_Z = 65535  # blocks that a grid may have in its third dimension


class Tile(NamedTuple):
    """What a block makes of C, `columns` of it a thread, and of how many blocks an SM shall hold the registers."""

    height: int
    width: int
    columns: int
    blocks: int

    @property
    def threads(self) -> int:
        return self.height // _ROWS * self.width // self.columns


LARGE, SMALL = Tile(128, 128, 8, 2), Tile(64, 64, 4, 4)


@inlined
def _row(array: Any, at: Any, a: Any, b: Any, c: Any) -> Any:
    """Four elements in a row."""
    return ld4(array, at)


@inlined
def _apart(array: Any, at: Any, a: Any, b: Any, c: Any) -> Any:
    """Four elements, the last three at these distances from the first."""
    return ld1(array, at), ld1(array, at + a), ld1(array, at + b), ld1(array, at + c)


@functools.cache
def multiplied(tile: Tile, pitch: int) -> Any:
    """The device function that adds a slice's products to a thread's sums.

    pitch: elements of a row of A, which is a slice's depth by the tile's height in shared memory.
    """
    columns, width, groups = tile.columns, tile.width, tile.columns // 4
    half_rows, half_columns = tile.height // 2, width // 2

    @inlined
    def step(s_a: Any, s_b: Any, at_a: Any, at_b: Any, total: Any, a: Any, b: Any) -> Any:
        """One of the slice's products of a column of A and a row of B."""
        for h in range(2):
            v = ld4(s_a, at_a + h * half_rows)
            for i in range(4):
                a[h * 4 + i] = v[i]
        for h in range(groups):
            v = ld4(s_b, at_b + h * half_columns)
            for i in range(4):
                b[h * 4 + i] = v[i]
        for i in range(_ROWS):
            for j in range(columns):
                total[i, j] += a[i] * b[j]

    @inlined
    def slice_(s_a: Any, s_b: Any, at_a: Any, at_b: Any, total: Any, a: Any, b: Any) -> Any:
        step(s_a, s_b, at_a, at_b, total, a, b)  # a loop would stay one
        step(s_a, s_b, at_a + pitch, at_b + width, total, a, b)
        step(s_a, s_b, at_a + 2 * pitch, at_b + 2 * width, total, a, b)
        step(s_a, s_b, at_a + 3 * pitch, at_b + 3 * width, total, a, b)
        step(s_a, s_b, at_a + 4 * pitch, at_b + 4 * width, total, a, b)
        step(s_a, s_b, at_a + 5 * pitch, at_b + 5 * width, total, a, b)
        step(s_a, s_b, at_a + 6 * pitch, at_b + 6 * width, total, a, b)
        step(s_a, s_b, at_a + 7 * pitch, at_b + 7 * width, total, a, b)

    return slice_


@functools.cache
def kernel(tile: Tile, aligned: bool) -> Any:
    """The kernel for a tile. aligned: rows of A, B and C begin at multiples of 16 bytes, and C's width is one of 4.

    Then a thread brings four neighbours of a row of A and of B; otherwise four elements of which a warp's lie together.
    """
    height, width, columns, _ = tile
    threads, lanes, groups = tile.threads, width // columns, columns // 4
    pitch = height + _PAD
    stage_a, stage_b = DEPTH * pitch, DEPTH * width
    half_rows, half_columns = height // 2, width // 2
    size_a, size_b = 2 * stage_a, 2 * stage_b
    slice_ = multiplied(tile, pitch)
    load = _row if aligned else _apart
    lanes_b = width // 4  # that bring a row of B, if they bring four neighbours
    rows_a, rows_b = threads // DEPTH, threads // width  # that all threads bring at once, if not
    apart_a = pitch if aligned else rows_a  # what a thread brings of A, in shared memory

    @inlined
    def put(s_a: Any, s_b: Any, at_a: Any, at_b: Any, of_a: Any, of_b: Any) -> Any:
        """What this thread brings of the next slice."""
        for i in range(4):
            st1(s_a, at_a + i * apart_a, of_a[i])
        if aligned:
            st4(s_b, at_b, of_b[0], of_b[1], of_b[2], of_b[3])
        else:
            for i in range(4):
                st1(s_b, at_b + i * threads, of_b[i])

    @jit(tile.threads, tile.blocks)
    def gemm(
        a: Any, b: Any, c: Any, rows: Any, cols: Any, depth: Any, across: Any, lda: Any, ldb: Any, ldc: Any,
        step_a: Any, step_b: Any, step_c: Any,
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
        tile_y, tile_x = quotient(cuda.blockIdx.x, across)
        index = cuda.blockIdx.z
        top, left = tile_y * height, tile_x * width
        at_a, at_b = index * step_a, index * step_b
        row_a, k_a = t // DEPTH, t % DEPTH
        k_b, col_b = t // width, t % width
        if aligned:
            row_a, k_a = t // 2, t % 2 * 4
            k_b, col_b = t // lanes_b, t % lanes_b * 4
        put_a, put_b = k_a * pitch + row_a, k_b * width + col_b
        row = min(top + row_a, rows - 1)
        from_a = at_a + row * lda + k_a
        from_b = at_b + k_b * ldb + min(left + col_b, cols - 4 if aligned else cols - 1)
        a1 = (min(top + row_a + rows_a, rows - 1) - row) * lda
        a2 = (min(top + row_a + 2 * rows_a, rows - 1) - row) * lda
        a3 = (min(top + row_a + 3 * rows_a, rows - 1) - row) * lda
        b1, b2, b3 = rows_b * ldb, 2 * rows_b * ldb, 3 * rows_b * ldb
        # What it multiplies.
        y, x = t // lanes * 4, t % lanes * 4
        slices = depth // DEPTH
        if slices > 0:
            va, vb = load(a, from_a, a1, a2, a3), load(b, from_b, b1, b2, b3)
            put(s_a, s_b, put_a, put_b, va, vb)
            cuda.syncthreads()
            k = 1
            while True:  # two turns, so that where a slice lies in shared memory is a constant
                if k < slices:
                    from_a += DEPTH
                    from_b += DEPTH * ldb
                    va, vb = load(a, from_a, a1, a2, a3), load(b, from_b, b1, b2, b3)
                slice_(s_a, s_b, y, x, total, own_a, own_b)
                if k >= slices:
                    break
                put(s_a, s_b, stage_a + put_a, stage_b + put_b, va, vb)
                cuda.syncthreads()
                if k + 1 < slices:
                    from_a += DEPTH
                    from_b += DEPTH * ldb
                    va, vb = load(a, from_a, a1, a2, a3), load(b, from_b, b1, b2, b3)
                slice_(s_a, s_b, stage_a + y, stage_b + x, total, own_a, own_b)
                if k + 1 >= slices:
                    break
                put(s_a, s_b, put_a, put_b, va, vb)
                cuda.syncthreads()
                k += 2
        if slices * DEPTH < depth:
            k = slices * DEPTH
            row_a, k_a, k_b, col_b = t // DEPTH, t % DEPTH, t // width, t % width
            cuda.syncthreads()
            for i in range(4):
                row, of_a, of_b = row_a + i * rows_a, k + k_a, k + k_b + i * rows_b
                from_a = at_a + min(top + row, rows - 1) * lda + of_a
                from_b = at_b + of_b * ldb + min(left + col_b, cols - 1)
                s_a[k_a * pitch + row] = ld1(a, from_a) if of_a < depth else float32(0)
                s_b[(k_b + i * rows_b) * width + col_b] = ld1(b, from_b) if of_b < depth else float32(0)
            cuda.syncthreads()
            slice_(s_a, s_b, y, x, total, own_a, own_b)
        for h in range(2):
            for i in range(4):
                row = top + h * half_rows + y + i
                if row < rows:
                    for g in range(groups):
                        col, r, q = left + g * half_columns + x, h * 4 + i, g * 4
                        to_c = index * step_c + row * ldc + col
                        if aligned:
                            if col < cols:
                                st4(c, to_c, total[r, q], total[r, q + 1], total[r, q + 2], total[r, q + 3])
                        else:
                            for j in range(4):
                                if col + j < cols:
                                    st1(c, to_c + j, total[r, q + j])

    return gemm


def is_aligned(*arrays: Any) -> bool:
    """Whether all rows begin at multiples of 16 bytes."""
    starts = [array.__cuda_array_interface__["data"][0] for array in arrays]
    return all(n % 16 == 0 for n in (*starts, *(step for array in arrays for step in array.strides[:-1])))


def gemm(a: Any, b: Any, c: Any, tile: Tile = LARGE, stream: Any = 0) -> None:
    """Write A · B to C: device arrays of float32, (M, K), (K, N) and (M, N), whose rows lie together.

    A batch of products is (B, M, K), (B, K, N) and (B, M, N), in one launch; an A or B of two dimensions is the same in
    all of them. Rows and matrices may be any distance apart. Rows that begin at multiples of 16 bytes, N a multiple of
    4, are loaded fastest.
    """
    arrays = (a, b, c)
    (rows, depth), cols, batch = a.shape[-2:], b.shape[-1], c.shape[:-2]
    if any(array.strides[-1] != array.dtype.itemsize for array in arrays):
        raise ValueError("the elements of a row must lie together")
    if len(batch) > 1 or any(array.shape[:-2] not in ((), batch) for array in arrays):
        raise ValueError(f"batches of {a.shape}, {b.shape} and {c.shape} are not the same")
    if c.size == 0:
        return
    if batch and batch[0] > _GRID_Z:
        for at in range(0, batch[0], _GRID_Z):
            a, b, c = (x[at : at + _GRID_Z] if x.ndim > 2 else x for x in arrays)
            gemm(a, b, c, tile, stream)
        return
    across, down = -(-cols // tile.width), -(-rows // tile.height)
    sizes = [np.int32(n) for n in (rows, cols, depth, across)]
    pitches = [np.int32(array.strides[-2] // array.dtype.itemsize) for array in arrays]
    steps = [np.int64(array.strides[0] // array.dtype.itemsize if array.ndim > 2 else 0) for array in arrays]
    aligned = cols % 4 == 0 and is_aligned(*arrays)
    operands = (*(flat(array) for array in arrays), *sizes, *pitches, *steps)
    launch(kernel(tile, aligned), (across * down, 1, *batch), tile.threads, operands, stream)
