"""A product in blocks: the five loops of Goto and van de Geijn, as BLIS has them, around the micro-kernel.

Operands are packed block by block, b's block for the outer cache, a's for L2, and the micro-kernel reads both in the
order in which it needs them. What the operands and the result are, `operands` leaves open.
Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; Van Zee and van de Geijn,
"BLIS: a framework for rapidly instantiating BLAS functionality", 2015.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .microkernel import tile_product, tile_start, tiles_of
from .operands import keep, pack_lanes, pack_rows, place, row_step
from .simd import CACHE_LINE
from .tile import ROWS, TILE, VECTORS

# The blocks, in bytes, so that each type has its own. The deeper, the rarer a tile meets the result; rows are then few
# enough to leave a's block half of L2; b's block is what is left of a shared L3 (Zen 4 on a rented machine: reads are
# 15-18 ns up to 4 MiB and 140-165 from 8 MiB on). Against OpenBLAS at 2048³, float64, one thread and two: 4096 bytes
# deep with 7 tiles 0.93 and 0.90, 8192 with 4 tiles 0.98 and 0.99; float32 and smaller matrices hardly differ.
DEPTH_BYTES, ROWS_BLOCK, LANES_BYTES = 8192, 4 * ROWS, 3 << 20


def workspace(item: int) -> tuple[int, int]:
    """Elements of a's and of b's packed blocks that a thread needs, for elements of `item` bytes."""
    slack = (CACHE_LINE + simd.VECTOR_BYTES) // item
    return (ROWS_BLOCK + 1) * DEPTH_BYTES // item + slack, LANES_BYTES // item + slack


@jit
def even_block(total: int, most: int, multiple: int) -> int:
    """Size of the blocks that `total` is cut into: no more than `most`, a multiple, and as even as that allows."""
    blocks = max((total + most - 1) // most, 1)
    return max(((total + blocks - 1) // blocks + multiple - 1) // multiple * multiple, multiple)


@jit
def row_block(rows: int) -> int:
    """Rows of a that are packed at a time."""
    return even_block(rows, ROWS_BLOCK, ROWS)


@jit
def stripe(size: int, index: int, parts: int, multiple: int) -> tuple[int, int]:
    """First and number of one of `parts` pieces of `size`: of whole multiples, as even as these allow."""
    units = (size + multiple - 1) // multiple
    first, end = min(units * index // parts * multiple, size), min(units * (index + 1) // parts * multiple, size)
    return first, end - first


@jit
def aligned(array: Any) -> int:
    """Address of the first cache line that begins in an array."""
    return (memory.address(array) + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


@jit
def keep_tile(
    height: int, rows: int, lanes: int, depth: int, a: Any, p: int, b: Any, q: int, row: int, lane: int,
    more: bool, zero: Any, result: Any,
) -> None:  # fmt: skip
    """A tile of packed panels at p and q, `height` rows high, of which `rows` and `lanes` are the result's."""
    simd.outlined()
    item, vector = b.itemsize, simd.lanes(zero)
    vectors = (lanes + vector - 1) // vector
    step = vectors * vector
    sums = memory.stack_vectors(zero, TILE)
    at = place(result, row, lane, rows, lanes) if rows == height and lanes == step else 0
    placed, stride = at != 0, row_step(result)
    if not placed:
        at, stride = memory.address(sums), step * sums.itemsize
    tile_product(
        height, vectors, depth, a, p, item, height * item, b, q, VECTORS * vector * item,
        more and placed, at, stride, zero,
    )  # fmt: skip
    if not placed:
        keep(result, sums, step, row, lane, rows, lanes, more)


@jit
def product(
    a: Any, b: Any, rows: int, lanes: int, depth: int, tall: int, more: bool, zero: Any, a_panels: Any, b_panels: Any,
    result: Any,
) -> None:  # fmt: skip
    """result = a · b, or result += a · b with `more`, on the calling thread: (rows × depth) · (depth × lanes).

    tall: rows of a that are packed at a time, the row_block of these rows or of more. a_panels, b_panels: `workspace`,
    of the accumulator's type, as is what they are packed into.
    """
    simd.outlined()
    item, width = b_panels.itemsize, VECTORS * simd.lanes(zero)
    deep = even_block(depth, DEPTH_BYTES // item, CACHE_LINE // item)
    wide = even_block(lanes, LANES_BYTES // (deep * width * item) * width, width)
    a_at, b_at = aligned(a_panels), aligned(b_panels)
    for lane in range(0, lanes, wide):
        lanes_here = min(wide, lanes - lane)
        for step in range(0, max(depth, 1), deep):
            steps = min(deep, depth - step)
            pack_lanes(b, lane, lanes_here, step, steps, zero, b_at)
            for row in range(0, rows, tall):
                rows_here = min(tall, rows - row)
                panels = pack_rows(a, row, rows_here, step, steps, zero, a_at)
                for j in range(0, lanes_here, width):
                    count = min(width, lanes_here - j)
                    for i in range(tiles_of(rows_here)):
                        start, end = tile_start(i, rows_here), tile_start(i + 1, rows_here)
                        keep_tile(
                            end - start, min(end, rows_here) - start, count, steps, a_panels,
                            panels + start * steps * item, b_panels, b_at + j * steps * item, row + start, lane + j,
                            more or step > 0, zero, result,
                        )  # fmt: skip
