"""Filters that are a column times a row: two sums instead of one, within a block of outputs, never over an image.

convlab.algorithms.factors finds the two and says why the result stays within direct's bound.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .filter_slide import HEIGHT, add_taps
from .filter_strip import LINES, PITCH, PITCH_BYTES, WIDTH, block_of, blocks_of, collect


@jit
def add_factored(
    sums: int, sums_pitch: int, middle: Any, strip: Any, fill: bool, x: Any, base: int, d: int, h: int, height: int,
    w: int, width: int, taps: Any, factors: Any, factor: int, zero: Any,
) -> int:  # fmt: skip
    """add_lane for a filter that is a column times a row, of one plane, channel and part, in columns of vectors.

    The strip's lines are summed with the column's weights into `middle`, whose columns then with the row's.
    factor: byte address of the weights, the column's first.
    """
    simd.outlined()
    lines, points, runs = taps.lines, taps.points, taps.runs
    lanes, item, source = simd.lanes(zero), factors.itemsize, x.data
    vector, place = lanes * strip.itemsize, memory.address(middle)
    rows = blocks_of(taps.j, taps.line_step, LINES - HEIGHT)
    columns = blocks_of(taps.k, taps.point_step, (PITCH - WIDTH) * lanes)
    plane = taps.planes[d * taps.plane_step + taps.i[0]]
    here = -1 if plane < 0 else base + plane * x.plane
    blocks, fresh = 0, True
    for column_block in range(columns.number):
        k, column_taps = block_of(columns, column_block)
        if column_taps == 0:
            continue
        reach = width + (column_taps - 1) * columns.apart
        left = columns.start + k * columns.distance + w * taps.point_step
        empty = True
        for row_block in range(rows.number):
            j, row_taps = block_of(rows, row_block)
            if row_taps == 0:
                continue
            if fill or blocks:
                collect(
                    source, here, x.row, x.column, lines, rows.start + j * rows.distance + h * taps.line_step,
                    taps.line_step, height + (row_taps - 1) * rows.apart, points, runs, left, taps.point_step,
                    reach, zero, strip, PITCH_BYTES,
                )  # fmt: skip
            add_taps(
                place, PITCH_BYTES, empty, strip, memory.address(strip), PITCH_BYTES, (reach + lanes - 1) // lanes,
                vector, row_taps, rows.apart, 1, 0, factors, factor + (rows.first + rows.sign * j) * item,
                rows.sign * rows.skip * item, 0, zero,
            )  # fmt: skip
            empty = False
            blocks += 1
        add_taps(
            sums, sums_pitch, fresh, middle, place, PITCH_BYTES, (width + lanes - 1) // lanes, vector, 1, 1,
            column_taps, columns.apart * strip.itemsize, factors,
            factor + (rows.taps + columns.first + columns.sign * k) * item, 0, columns.sign * columns.skip * item, zero,
        )  # fmt: skip
        fresh = False
    return blocks
