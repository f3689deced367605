"""Direct convolution for few filters a group: image filters, signals.

Where out-channels are too few to fill a vector, vectors hold neighbouring outputs of a row instead. A task collects
the inputs of a block of outputs into a strip and slides the filter over it (filter_strip.py, filter_slide.py). Its
tiles are HEIGHT rows of an image by one vector or, where an image has few rows, HEIGHT vectors of one row.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .epilogue import NONE, finish
from .extent import taps_of
from .filter_slide import HEIGHT, add_along, add_taps
from .filter_strip import LINES, PITCH, PITCH_BYTES, STRIP, SUMS, WIDTH, block_of, blocks_of, collect, write_lines
from .parallel import split
from .separable import add_factored

# A task is HEIGHT rows × WIDTH vectors of outputs, or _LONG × HEIGHT vectors of one row.
_LONG = 8


@jit
def in_columns(taps: Any, lanes: int) -> bool:
    """Whether a tile's vectors, of `lanes` outputs, lie below each other: unless that takes more than twice the tiles.

    They share more loads there, which makes up for a half of them that lie below the image.
    """
    below = ((taps.height + HEIGHT - 1) // HEIGHT) * ((taps.width + lanes - 1) // lanes)
    return below <= 2 * taps.height * ((taps.width + HEIGHT * lanes - 1) // (HEIGHT * lanes))


@jit
def rows_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: a block of outputs of one image and group each."""
    height, width = _block(taps, zero)
    blocks = ((taps.height + height - 1) // height) * ((taps.width + width - 1) // width)
    return extent.groups * extent.images * taps.depth * blocks


@jit
def _block(taps: Any, zero: Any) -> tuple[int, int]:
    """Rows and columns of a task's outputs."""
    lanes = simd.lanes(zero)
    return (HEIGHT, WIDTH * lanes) if in_columns(taps, lanes) else (1, _LONG * HEIGHT * lanes)


@jit
def add_block(
    sums: int, sums_pitch: int, fresh: bool, strip: Any, place: int, stacked: bool, count: int, rows: Any,
    row_taps: int, columns: Any, column_taps: int, panels: Any, panel: int, row_step: int, column_step: int, zero: Any,
) -> None:  # fmt: skip
    """Add row_taps × column_taps taps, whose inputs lie from byte address `place` on, to sums of `count` columns."""
    lanes, item = simd.lanes(zero), strip.itemsize
    vector, apart = lanes * item, columns.apart
    if stacked:
        add_taps(
            sums, sums_pitch, fresh, strip, place, PITCH_BYTES, (count + lanes - 1) // lanes, vector, row_taps,
            rows.apart, column_taps, apart * item, panels, panel, row_step, column_step, zero,
        )  # fmt: skip
        return
    add_along(
        sums, fresh, strip, place, (count + HEIGHT * lanes - 1) // (HEIGHT * lanes), column_taps, apart, panels, panel,
        column_step, zero,
    )  # fmt: skip


@jit
def add_lane(
    sums: int, sums_pitch: int, strip: Any, fill: bool, whole: bool, x: Any, base: int, d: int, h: int, height: int,
    w: int, width: int, taps: Any, channels: int, parts: int, panels: Any, panel: int, zero: Any,
) -> int:  # fmt: skip
    """The sums of one filter for outputs (d, h …, w …), height × width of them.

    sums: byte address of the first, their lines sums_pitch bytes apart. base: that of the image's and the group's
    first element; panel: that of the filter's weights. Where `fill` is False, the strip already holds the first
    block of inputs; `whole`: whether these outputs are whole tiles. Returns the number of blocks.
    """
    simd.outlined()
    planes, lines, points, runs, depths = taps.planes, taps.lines, taps.points, taps.runs, taps.i
    lanes, item, source = simd.lanes(zero), panels.itemsize, x.data
    stacked = in_columns(taps, lanes)
    # What a strip has more than a task: lines and columns, or all that a task of one row leaves of it.
    below = LINES - HEIGHT if stacked else 0
    beside = (PITCH - WIDTH if stacked else STRIP - _LONG * HEIGHT) * lanes
    rows, columns = blocks_of(taps.j, taps.line_step, below), blocks_of(taps.k, taps.point_step, beside)
    tap = channels * parts * item  # bytes of weights
    blocks = 0
    for i in range(len(depths)):
        plane = planes[d * taps.plane_step + depths[i]]
        for row_block in range(rows.number):
            j, row_taps = block_of(rows, row_block)
            for column_block in range(columns.number):
                k, column_taps = block_of(columns, column_block)
                if row_taps == 0 or column_taps == 0:
                    continue
                weight = (i * rows.taps + rows.first + rows.sign * j) * columns.taps + columns.first + columns.sign * k
                top = rows.start + j * rows.distance + h * taps.line_step
                left = columns.start + k * columns.distance + w * taps.point_step
                reach = width + (column_taps - 1) * columns.apart
                row = lines[top]
                # One row needs no strip where all that whole tiles read of it lies side by side in the image.
                there = whole and not stacked and (plane | row) >= 0 and runs[left] >= reach
                there = there and taps.point_step == 1 and x.column == source.itemsize == strip.itemsize
                for part in range(parts):
                    for channel in range(channels):
                        here = base + plane * x.plane + channel * x.channel + part * source.itemsize
                        if there:
                            place = here + row * x.row + points[left] * source.itemsize
                        else:
                            place = memory.address(strip)
                            if fill or blocks:
                                collect(
                                    source, -1 if plane < 0 else here, x.row, x.column,
                                    lines, top, taps.line_step, height + (row_taps - 1) * rows.apart,
                                    points, runs, left, taps.point_step, reach, zero, strip, PITCH_BYTES,
                                )  # fmt: skip
                        add_block(
                            sums, sums_pitch, blocks == 0, strip, place, stacked, width, rows, row_taps,
                            columns, column_taps, panels, panel + weight * tap + (part * channels + channel) * item,
                            rows.sign * rows.skip * columns.taps * tap, columns.sign * columns.skip * tap, zero,
                        )  # fmt: skip
                        blocks += 1
    return blocks


@jit
def rows_serial(
    start: int, stop: int, x: Any, panels: Any, factored: bool, bias: Any, taps: Any, extent: Any, activation: int,
    zero: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of a convolution; parameters as direct_serial's, panels in blocks of one lane.

    factored: instead of its weights, panels hold of every lane a column and a row whose product they are. That takes
    `in_columns`, one plane of taps, one channel a group, and real numbers.
    """
    simd.outlined()
    lanes, vector = extent.filters * extent.parts, simd.lanes(zero)
    tall, wide = _block(taps, zero)
    down, across = (taps.height + tall - 1) // tall, (taps.width + wide - 1) // wide
    reduction = taps_of(taps) * extent.parts * extent.channels
    if factored:
        reduction = len(taps.j) + len(taps.k)
    strip, sums, middle = (
        memory.stack_vectors(zero, STRIP),
        memory.stack_vectors(zero, SUMS),
        memory.stack_vectors(zero, SUMS),
    )
    # Whole tiles of finished sums go straight to y.
    plain = len(bias) == 0 and activation == NONE and y.column == y.data.itemsize == sums.itemsize
    for task in range(start, stop):
        w, h, rest = task % across * wide, task // across % down * tall, task // (across * down)
        d, image, group = rest % taps.depth, rest // taps.depth % extent.images, rest // (taps.depth * extent.images)
        height, width = min(tall, taps.height - h), min(wide, taps.width - w)
        base = memory.address(x.data) + image * x.image + group * extent.channels * x.channel
        target = memory.address(y.data) + image * y.image + d * y.plane + h * y.row + w * y.column
        whole = height == tall and width % (vector if tall > 1 else HEIGHT * vector) == 0
        straight, blocks = plain and whole, 0
        for lane in range(lanes):
            panel = memory.address(panels) + (group * lanes + lane) * reduction * panels.itemsize
            channel = group * extent.filters + lane // extent.parts
            here = target + channel * y.channel + lane % extent.parts * y.data.itemsize
            goal, pitch = (here, y.row) if straight else (memory.address(sums), PITCH_BYTES)
            if factored:
                blocks = add_factored(
                    goal, pitch, middle, strip, blocks != 1, x, base, d, h, height, w, width, taps, panels, panel, zero
                )
            else:
                blocks = add_lane(
                    goal, pitch, strip, blocks != 1, whole, x, base, d, h, height, w, width, taps, extent.channels,
                    extent.parts, panels, panel, zero,
                )  # fmt: skip
            if straight and blocks:
                continue
            if blocks == 0:  # nothing is summed
                for i in range(len(sums)):
                    sums[i] = 0
            used = height * PITCH * vector if height > 1 else width
            finish(sums, 0, 1, 1, used, bias, group * lanes + lane, activation, zero)
            write_lines(sums, PITCH_BYTES, height, width, y.data, here, y.row, y.column, zero)


@jit
def rows(
    x: Any, panels: Any, factored: bool, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int,
    y: Any,
) -> None:  # fmt: skip
    """A convolution with few filters, its tasks split evenly over `threads`; see rows_serial."""
    arguments = (x, panels, factored, bias, taps, extent, activation, zero, y)
    split(rows_serial, rows_tasks(extent, taps, zero), threads, arguments)
