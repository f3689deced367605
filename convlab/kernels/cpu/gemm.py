"""The product of two packed operands, block by block in the caches, summed in register tiles.

Panels: a in panels of ROWS rows, [depth][row], the last as wide as the rows left; b in panels of VECTORS
vectors, [depth][lane], always whole. The result is kept tile after tile in a block of accumulators, from which
the epilogue writes it out: partial sums never pass through the result's own memory or type.

Block sizes: DEPTH steps of the reduction at a time make a panel of a 14 KiB (a third of L1) and one of b 32 KiB
(AVX-512, float32; half on AVX2); BLOCK_BYTES of lanes make b's block 128 KiB, which stays in L2.
"""

from typing import Any

from ..compile import jit
from . import simd, tile
from .tile import ROWS, VECTORS

DEPTH = 256
BLOCK_BYTES = 512
# Lanes of a block of the narrowest type, and bounds of as many runs: what arrays on the stack must hold.
MAX_LANES, MAX_RUNS = BLOCK_BYTES, BLOCK_BYTES + 1


@jit
def block_lanes(zero: Any) -> int:
    """Lanes of b that are packed at a time: whole panels."""
    return BLOCK_BYTES // simd.VECTOR_BYTES * simd.lanes(zero)


def workspace(rows: int, item: int) -> tuple[int, int]:
    """Elements of the two blocks a thread needs for `rows` rows of a: accumulators, and packed b.

    item: bytes of an accumulator.
    """
    lanes = BLOCK_BYTES // item
    return -(-rows // ROWS) * ROWS * lanes, DEPTH * lanes


@jit
def multiply(
    rows: int, lanes: int, depth: int, a: Any, a_base: int, a_panel: int, a_skip: int, b: Any, b_base: int,
    more: bool, sums: Any, zero: Any,
) -> None:  # fmt: skip
    """sums = a · b, or sums += a · b with `more`, over `depth` steps; tile (i, j) is at (i · panels of b + j) tiles.

    a_base, b_base: byte addresses; a_panel: bytes from one panel of a to the next; a_skip: steps of a to pass over.
    """
    simd.outlined()
    width = VECTORS * simd.lanes(zero)
    panels = (lanes + width - 1) // width
    b_step = width * b.itemsize
    for i in range((rows + ROWS - 1) // ROWS):
        a_step = min(ROWS, rows - i * ROWS) * a.itemsize
        start = a_base + i * a_panel + a_skip * a_step
        for j in range(panels):
            position = (i * panels + j) * ROWS * width
            total = tile.zeros(zero, ROWS, VECTORS)
            if more:
                total = tile.load(total, sums, position)
            p, q = start, b_base + j * depth * b_step
            for _ in range(depth):
                total = tile.outer_strided(total, a, p, a.itemsize, b, q)
                p += a_step
                q += b_step
            tile.store(total, sums, position)
