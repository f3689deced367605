"""Sums of two blocks of a matrix: made as they are loaded (`summed`), or written out for products that read them again.

Blocks are of one size; which they are stands in a table of device memory (cuda.schedule), a line a sum.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, float32, int64

from .compile import inlined, jit, launch
from .gemm import is_aligned
from .intrinsics import ld1, st1, st4
from .memory import address, load, load4, quotient
from .schedule import LINE, OPERAND

ITEM = np.dtype(np.float32).itemsize
_THREADS = 256


@functools.cache
def summed(aligned: bool, factors: tuple[int, ...]) -> Any:
    """The device function that loads four elements of a block, or of a sum of two multiplied by these factors.

    Called with the array, the address of the first block's element, how many bytes on the second block's is, and how
    many elements the other three are from the first; aligned: these are in a row that begins at a multiple of 16 bytes.
    """
    one, two = float32(factors[0]), float32(factors[-1])

    @inlined
    def four(array: Any, at: Any, x: Any, y: Any, z: Any) -> Any:
        if aligned:
            return load4(array, at)
        return load(array, at, 0, 0), load(array, at, x, ITEM), load(array, at, y, ITEM), load(array, at, z, ITEM)

    @inlined
    def of_one(array: Any, at: Any, more: Any, x: Any, y: Any, z: Any) -> Any:
        v = four(array, at, x, y, z)
        return v[0] * one, v[1] * one, v[2] * one, v[3] * one

    @inlined
    def of_two(array: Any, at: Any, more: Any, x: Any, y: Any, z: Any) -> Any:
        v, w = four(array, at, x, y, z), four(array, at + more, x, y, z)
        return v[0] * one + w[0] * two, v[1] * one + w[1] * two, v[2] * one + w[2] * two, v[3] * one + w[3] * two

    return of_one if len(factors) == 1 else of_two


@inlined
def place(table: Any, at: Any, rows: Any, columns: Any, pitch: Any) -> Any:
    """Where the block begins, in elements, whose row and column stand there in the table."""
    return int64(ld1(table, at)) * rows * pitch + int64(ld1(table, at + 1)) * columns


@functools.cache
def kernel(aligned: bool, factors: tuple[int, ...]) -> Any:
    """The kernel for such sums: a thread makes four elements in a row."""
    four = summed(aligned, factors)

    @jit(_THREADS)
    def block_sums(x: Any, table: Any, at: Any, rows: Any, columns: Any, pitch: Any, y: Any) -> None:
        index = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        row, col = quotient(index, columns // 4)
        if row < rows:
            at += cuda.blockIdx.z * LINE
            first, second = place(table, at, rows, columns, pitch), place(table, at + 2, rows, columns, pitch)
            start = address(x) + (first + row * pitch + col * 4) * ITEM
            v = four(x, start, (second - first) * ITEM, 1, 2, 3)
            to = (cuda.blockIdx.z * int64(rows) + row) * columns + col * 4
            if aligned:
                st4(y, to, v[0], v[1], v[2], v[3])
            else:
                for i in range(4):
                    st1(y, to + i, v[i])

    return block_sums


def block_sums(
    x: Any, table: Any, line: int, side: int, factors: tuple[int, ...], many: int, shape: tuple[int, int], out: Any,
    stream: Any = 0,
) -> None:  # fmt: skip
    """Write `many` sums of two blocks of this shape to out, one below the other.

    x: a device array of float32 whose rows lie together, blocks of a multiple of four columns. table: of
    cuda.schedule; line: of the first sum; side: whose blocks stand there, of a (0) or of b (1). out: a device array of
    as many columns as a block.
    """
    rows, columns = shape
    pitch = x.strides[0] // ITEM
    aligned = is_aligned(x, out)
    numbers = [np.int32(n) for n in (line * LINE + side * OPERAND, rows, columns, pitch)]
    grid = (-(-rows * columns // (4 * _THREADS)), 1, many)
    launch(kernel(aligned, factors), grid, _THREADS, (x, table, *numbers, out), stream)
