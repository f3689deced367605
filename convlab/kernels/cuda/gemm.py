"""C = A · B in float32: tiles of C in registers, slices of A and B in shared memory, the next slice on its way.

A block makes a tile of C. It goes through the depth in slices of DEPTH, two of which lie in shared memory: one that
all threads multiply from, one that they fill for the next turn. A thread holds two groups of four rows, half a tile
apart, by two such groups of columns: so the loads of a warp, 16 bytes a lane, meet no bank twice, and four of them
serve 64 products. Beyond the edges of C rows and columns that exist are read instead, and nothing is stored; if the
depth leaves part of a slice, that is the first one, filled up with zeros (Lai and Seznec, CGO'13, and cutlass's
"efficient GEMM" describe the scheme). The products of a batch are the third dimension of the grid.

What makes the loop multiply-adds to nine tenths: addresses in bytes that move on by constants, one turn of the loop a
slice, and nothing kept through it that its end can compute again.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, float32, int32

from .compile import inlined, jit, launch
from .intrinsics import block_x, block_z, ld4, st1, st4, thread_x
from .memory import address, load, load4, moved, quotient
from .tensor import flat

DEPTH = 8
_ROWS = 8  # of a thread
# Between the rows of A in shared memory, which threads write column by column: four floats that keep them off each
# other's banks.
_PAD = 4
_GRID_Z = 65535  # blocks that a grid may have in its third dimension


class Tile(NamedTuple):
    """What a block makes of C, `columns` of it a thread, and of how many blocks an SM shall hold the registers.

    16 warps with 128 registers a thread, or 12 with 168: what a thread of a small tile brings takes more.
    """

    height: int
    width: int
    columns: int
    blocks: int

    @property
    def threads(self) -> int:
        return self.height // _ROWS * self.width // self.columns


LARGE, TALL, WIDE, SMALL = Tile(128, 128, 8, 2), Tile(128, 64, 8, 3), Tile(64, 128, 8, 3), Tile(64, 64, 8, 6)
FINE = Tile(64, 64, 4, 4)  # half the sums a thread: more warps of a product that does not fill a device


@functools.cache
def one_step(tile: Tile) -> Any:
    """The device function that adds the products of a column of A and a row of B to a thread's sums."""
    columns, groups = tile.columns, tile.columns // 4
    half_rows, half_columns = tile.height // 2, tile.width // 2

    @inlined
    def step(s_a: Any, s_b: Any, at_a: Any, at_b: Any, total: Any, a: Any, b: Any) -> Any:
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

    return step


@functools.cache
def multiplied(tile: Tile, pitch: int, pitch_b: int = 0) -> Any:
    """The device function that adds a slice's products.

    pitch: elements of a row of A, which is a slice's depth by the tile's height in shared memory. pitch_b: of a row
    of B, by default the tile's width.
    """
    one, pitch_b = one_step(tile), pitch_b or tile.width

    @inlined
    def slice_(s_a: Any, s_b: Any, at_a: Any, at_b: Any, total: Any, a: Any, b: Any) -> Any:
        one(s_a, s_b, at_a, at_b, total, a, b)  # a loop would stay one
        one(s_a, s_b, at_a + pitch, at_b + pitch_b, total, a, b)
        one(s_a, s_b, at_a + 2 * pitch, at_b + 2 * pitch_b, total, a, b)
        one(s_a, s_b, at_a + 3 * pitch, at_b + 3 * pitch_b, total, a, b)
        one(s_a, s_b, at_a + 4 * pitch, at_b + 4 * pitch_b, total, a, b)
        one(s_a, s_b, at_a + 5 * pitch, at_b + 5 * pitch_b, total, a, b)
        one(s_a, s_b, at_a + 6 * pitch, at_b + 6 * pitch_b, total, a, b)
        one(s_a, s_b, at_a + 7 * pitch, at_b + 7 * pitch_b, total, a, b)

    return slice_


@functools.cache
def kernel(tile: Tile, aligned_a: bool, aligned_b: bool) -> Any:
    """The kernel for a tile. aligned: rows of A, of B and C, begin at multiples of 16 bytes, and C's width is one of 4.

    Then a thread brings fours of neighbours in rows. Otherwise it brings elements of which a warp's lie together, of A
    in columns.
    """
    height, width, columns, _ = tile
    threads, lanes, groups = tile.threads, width // columns, columns // 4
    pitch = height + _PAD
    start_b = DEPTH * pitch  # where B's slice lies behind A's
    stage = start_b + DEPTH * width
    size = 2 * stage
    half_rows, half_columns = height // 2, width // 2
    slice_ = multiplied(tile, pitch)
    count_a, count_b = DEPTH * height // threads, DEPTH * width // threads  # what a thread brings of a slice
    lanes_a, lanes_b = DEPTH // 4, width // 4  # that bring a row, if they bring neighbours
    rows_a, rows_b = threads // lanes_a, threads // (lanes_b if aligned_b else width)  # that all bring at once

    @inlined
    def bring(a: Any, b: Any, from_a: Any, from_b: Any, last: Any, step_a: Any, step_b: Any, va: Any, vb: Any) -> Any:
        """What this thread brings of the slices, of which its first elements are at these addresses.

        last: of its rows of A the last one that exists. step: bytes between its rows.
        """
        if aligned_a:
            for i in range(count_a // 4):
                four = load4(a, moved(from_a, min(int32(i * rows_a), last), step_a))
                for j in range(4):
                    va[4 * i + j] = four[j]
        else:
            for i in range(count_a):
                va[i] = load(a, from_a, min(int32(i), last), step_a)
        if aligned_b:
            for i in range(count_b // 4):
                four = load4(b, moved(from_b, int32(i), step_b))
                for j in range(4):
                    vb[4 * i + j] = four[j]
        else:
            for i in range(count_b):
                vb[i] = load(b, from_b, int32(i), step_b)

    @inlined
    def put(shared: Any, at_a: Any, at_b: Any, va: Any, vb: Any) -> Any:
        if aligned_a:
            for i in range(count_a):
                st1(shared, at_a + i // 4 * rows_a + i % 4 * pitch, va[i])
        else:
            for i in range(count_a // 4):
                st4(shared, at_a + 4 * i, va[4 * i], va[4 * i + 1], va[4 * i + 2], va[4 * i + 3])
        if aligned_b:
            for i in range(count_b // 4):
                st4(shared, at_b + i * rows_b * width, vb[4 * i], vb[4 * i + 1], vb[4 * i + 2], vb[4 * i + 3])
        else:
            for i in range(count_b):
                st1(shared, at_b + i * threads, vb[i])

    @inlined
    def put_rest(
        shared: Any, a: Any, b: Any, at_a: Any, at_b: Any, t: Any, top: Any, left: Any, at: Any, rows: Any, cols: Any,
        depth: Any, lda: Any, ldb: Any,
    ) -> Any:  # fmt: skip
        """The slice of which the depth leaves a part, from `at` on, and zeros."""
        for i in range(count_a):
            row, k = t // DEPTH * count_a + i, at + t % DEPTH
            value = load(a, at_a, min(top + row, rows - 1) * lda + min(k, depth - 1), 4)
            st1(shared, t % DEPTH * pitch + row, value if k < depth else float32(0))
        for i in range(count_b):
            row, col = (t + i * threads) // width, t % width
            k = at + row
            value = load(b, at_b, min(k, depth - 1) * ldb + min(left + col, cols - 1), 4)
            st1(shared, start_b + row * width + col, value if k < depth else float32(0))

    @jit(tile.threads, tile.blocks, f"gemm {height}x{width}")
    def gemm(
        a: Any, b: Any, c: Any, rows: Any, cols: Any, depth: Any, across: Any, lda: Any, ldb: Any, ldc: Any,
        batch_a: Any, batch_b: Any, batch_c: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(size, float32, 16)
        total = cuda.local.array((_ROWS, columns), float32)
        own_a, own_b = cuda.local.array(_ROWS, float32), cuda.local.array(columns, float32)
        va, vb = cuda.local.array(count_a, float32), cuda.local.array(count_b, float32)
        for i in range(_ROWS):
            for j in range(columns):
                total[i, j] = float32(0)
        t, index = cuda.threadIdx.x & (threads - 1), cuda.blockIdx.z
        tile_y, tile_x = quotient(cuda.blockIdx.x, across)
        top, left = tile_y * height, tile_x * width
        # What it brings.
        row_a, k_a = t // DEPTH * count_a, t % DEPTH
        if aligned_a:
            row_a, k_a = t // lanes_a, t % lanes_a * 4
        k_b, col_b, last_col = t // width, t % width, cols - 1
        if aligned_b:
            k_b, col_b, last_col = t // lanes_b, t % lanes_b * 4, cols - 4
        row = min(top + row_a, rows - 1)
        from_a = address(a) + (index * batch_a + row * lda + k_a) * 4
        from_b = address(b) + (index * batch_b + k_b * ldb + min(left + col_b, last_col)) * 4
        last, step_a, step_b = int32(rows - 1 - row), int32(lda * 4), int32(rows_b * ldb * 4)
        to_a, to_b = int32(k_a * pitch + row_a), int32(start_b + k_b * width + col_b)
        # What it multiplies.
        y, x, turn = int32(t // lanes * 4), int32(start_b + t % lanes * 4), int32(stage)
        slices = int32((depth + DEPTH - 1) // DEPTH)
        if slices > 0:
            rest = depth % DEPTH
            if rest > 0:  # first, when the sums take no registers yet
                at_a, at_b = address(a) + index * batch_a * 4, address(b) + index * batch_b * 4
                put_rest(shared, a, b, at_a, at_b, t, top, left, depth - rest, rows, cols, depth, lda, ldb)
                from_a -= DEPTH * 4
                from_b -= DEPTH * ldb * 4
            else:
                bring(a, b, from_a, from_b, last, step_a, step_b, va, vb)
                put(shared, to_a, to_b, va, vb)
            cuda.syncthreads()
            n = int32(1)
            while n < slices:
                from_a += DEPTH * 4
                from_b += DEPTH * ldb * 4
                bring(a, b, from_a, from_b, last, step_a, step_b, va, vb)
                slice_(shared, shared, y, x, total, own_a, own_b)
                to_a, to_b = int32(to_a + turn), int32(to_b + turn)
                put(shared, to_a, to_b, va, vb)
                cuda.syncthreads()
                y, x, turn = int32(y + turn), int32(x + turn), int32(-turn)
                n = int32(n + 1)
            slice_(shared, shared, y, x, total, own_a, own_b)
        # Where it is, anew: kept for this, it would take registers from the loop.
        t, index = thread_x() & (threads - 1), block_z()
        tile_y, tile_x = quotient(block_x(), across)
        top, left, y, x = tile_y * height, tile_x * width, t // lanes * 4, t % lanes * 4
        for h in range(2):
            for i in range(4):
                row = top + h * half_rows + y + i
                if row < rows:
                    for g in range(groups):
                        col, r, q = left + g * half_columns + x, h * 4 + i, g * 4
                        to_c = index * batch_c + row * ldc + col
                        if aligned_b:
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
    operands = (*(flat(array) for array in arrays), *sizes, *pitches, *steps)
    made = kernel(tile, is_aligned(a), cols % 4 == 0 and is_aligned(b, c))
    launch(made, (across * down, 1, *batch), tile.threads, operands, stream)
