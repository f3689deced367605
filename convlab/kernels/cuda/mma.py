"""What the warps of a block do with a tile of filters × outputs on tensor cores: products of slices that lie in shared
memory in rows (cuda.rows), and the sums' way out of the registers.

Four warps have a quarter of the tile each. Which element of a product's operands and result a lane holds: PTX ISA,
"Matrix Fragments for mma.m16n8k8" and "mma.m16n8k16".
"""

import functools
from typing import Any

from numba.types import float16

from .compile import inlined
from .intrinsics import float_bits, ldmatrix4, mma_float16, mma_tf32, st1
from .rows import CHUNK, WORDS

THREADS = WIDTH = 128  # outputs of a tile, a thread each
LARGE, SMALL = 128, 64  # filters of a tile
# Filters whose sums pass through shared memory at once, and words from one to the next: 4 beyond a multiple of the 32
# banks, with `placed`, put what a warp stores at once, and what it loads, in banks of their own.
ROUND, PITCH = 32, WIDTH + 4
_ROWS, _COLUMNS = 16, 8  # of a product
_ACROSS = WIDTH // 2 // _COLUMNS  # products of a warp side by side


@functools.cache
def multiplied(storage: Any, height: int) -> Any:
    """The device function that adds a slice's products to a warp's sums."""
    down, across, pairs = height // 2 // _ROWS, _ACROSS, _ACROSS // 2
    product = mma_float16 if storage == float16 else mma_tf32

    @inlined
    def step(shared: Any, at_a: Any, at_b: Any, sums: Any, b: Any) -> None:
        """One product deep. b: two words for every column of products."""
        for p in range(pairs):
            v = ldmatrix4(shared, at_b + p * (2 * _COLUMNS * WORDS))
            for i in range(4):
                b[p * 4 + i] = v[i]
        for i in range(down):
            a = ldmatrix4(shared, at_a + i * (_ROWS * WORDS))
            for j in range(across):
                at = (i * across + j) * 4
                d = product(a, (b[2 * j], b[2 * j + 1]), (sums[at], sums[at + 1], sums[at + 2], sums[at + 3]))
                for n in range(4):
                    sums[at + n] = d[n]

    @inlined
    def multiply(shared: Any, stage: Any, at_a: Any, at_b: Any, sums: Any, b: Any) -> None:
        step(shared, stage + at_a, stage + at_b, sums, b)
        step(shared, stage + (at_a ^ 2 * CHUNK), stage + (at_b ^ 2 * CHUNK), sums, b)

    return multiply


@inlined
def placed(output: Any) -> Any:
    """Where the sum of an output is in its row of shared memory."""
    return output & ~7 | (output & 1) << 2 | output >> 1 & 3


@functools.cache
def left_behind(height: int) -> Any:
    """The device function that leaves the sums of the part-th ROUND filters in shared memory."""
    down, together = height // 2 // _ROWS, ROUND // _ROWS
    rounds, across = down // together, _ACROSS

    @inlined
    def one(shared: Any, row: Any, column: Any, sums: Any, first: Any) -> None:
        """Products side by side. Of each a lane has two neighbours in row lane // 4, and two 8 rows below."""
        for q in range(across):
            for h in range(2):
                for e in range(2):
                    at = (row + h * 8) * PITCH + column + q * _COLUMNS + e * 4
                    st1(shared, at, float_bits(sums[first + q * 4 + h * 2 + e]))

    @inlined
    def leave(shared: Any, part: Any, warp: Any, lane: Any, sums: Any) -> None:
        if warp % 2 == part // rounds:
            for p in range(down):
                if p // together == part % rounds:
                    row, column = p % together * _ROWS + lane // 4, warp // 2 * (WIDTH // 2) + lane % 4
                    one(shared, row, column, sums, p * across * 4)

    return leave
