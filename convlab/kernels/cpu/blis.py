"""The five loops of Goto and Van de Geijn around the micro-kernel, in BLIS's form, over operands of any kind.

Block sizes, per accumulator type's bytes: see the table.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .microkernel import tile_product, tile_start, tiles_of
from .operands import pack_lanes, pack_rows
from .simd import CACHE_LINE
from .tile import ROWS, VECTORS

DEPTH_BYTES = 1536
ROWS_BLOCK = 24 * ROWS
LANE_PANELS = 64


@jit
def even_block(total: int, most: int, multiple: int) -> int:
    """Size of a block, no larger than `most` …"""
    blocks = max((total + most - 1) // most, 1)
    return max(((total + blocks - 1) // blocks + multiple - 1) // multiple * multiple, multiple)


@jit
def aligned(array: Any) -> int:
    return (memory.address(array) + simd.CACHE_LINE - 1) // simd.CACHE_LINE * simd.CACHE_LINE


@jit
def product_serial(
    a: Any, b: Any, rows: int, lanes: int, depth: int, more: bool, zero: Any, a_panels: Any, b_panels: Any, result: Any
) -> None:
    simd.outlined()
    item, width = b_panels.itemsize, VECTORS * simd.lanes(zero)
    tall = even_block(rows, ROWS_BLOCK, ROWS)
    deep = even_block(depth, DEPTH_BYTES // item, CACHE_LINE // item)
    wide = even_block(lanes, LANE_PANELS * width, width)
    a_at, b_at = aligned(a_panels), aligned(b_panels)
    for lane in range(0, lanes, wide):
        lanes_here = min(wide, lanes - lane)
        for step in range(0, max(depth, 1), deep):
            steps = min(deep, depth - step)
            pack_lanes(b, lane, lanes_here, step, steps, zero, b_at)
            for row in range(0, rows, tall):
                rows_here = min(tall, rows - row)
                pack_rows(a, row, rows_here, step, steps, zero, a_at)
                for j in range(0, lanes_here, width):
                    for i in range(tiles_of(rows_here)):
                        start, end = tile_start(i, rows_here), tile_start(i + 1, rows_here)
                        tile_product(
                            steps, a_panels, a_at + start * steps * item, (end - start) * item, b_panels,
                            b_at + j * steps * item, width * item, result, row + start, lane + j,
                            min(end, rows_here) - start, min(width, lanes_here - j), more or step > 0, zero,
                        )  # fmt: skip
