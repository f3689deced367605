"""Direct convolution: sums in registers, the input read where it lies, no workspace.

A register tile is ROWS outputs × a block of lanes (out-channels). At every tap and channel it takes one vector
row of the weights' panel and the one input element each of its outputs reads: an outer product. Which element that
is, a table says (kernels.taps), so stride, dilation, padding and layout do not matter to the inner loop. A
padding zero is the address of a zero with step 0: it is multiplied like any other element.

Outputs are counted in row-major order through all images and cut into tiles regardless of rows, so that no image
divides badly.
"""

from typing import Any

from ..compile import jit
from . import memory, simd, tile
from .epilogue import consecutive, finish, write
from .extent import locate, outputs_of, taps_of
from .parallel import split
from .tile import ROWS, TILE, VECTORS
from .weights import block, blocks

# The last outputs take half a tile, where that is enough for them.
_HALF = ROWS // 2


@jit
def accumulate(
    total: Any, x: Any, base: int, taps: Any, image: Any, depth: Any, row: Any, column: Any, channels: int, parts: int,
    panels: Any, panel: int, panel_step: int,
) -> Any:  # fmt: skip
    """total plus the sums over all taps, parts and channels, for the outputs at image, depth, row, column.

    base: byte address of the group's first channel of x; panel: that of the block's first row in panels.
    """
    simd.outlined()
    rows, steps = memory.stack(1, ROWS), memory.stack(1, ROWS)
    moves, entries = memory.stack(1, ROWS), memory.stack(1, ROWS)
    nothing = memory.stack(x.data, 1)
    nothing[0] = 0
    padding, item = memory.address(nothing), x.data.itemsize
    source, planes, lines, points = x.data, taps.planes, taps.lines, taps.points
    i_offsets, j_offsets, k_offsets = taps.i, taps.j, taps.k
    channel_step = x.channel
    for r in range(ROWS):  # by address, because indices are checked for negative ones every time
        entries[r] = memory.address(points) + column[r] * taps.point_step * points.itemsize
    for i in range(len(i_offsets)):
        for j in range(len(j_offsets)):
            for r in range(ROWS):
                a = planes[depth[r] * taps.plane_step + i_offsets[i]]
                b = lines[row[r] * taps.line_step + j_offsets[j]]
                steps[r] = -1 if (a | b) < 0 else base + image[r] * x.image + a * x.plane + b * x.row
            for k in range(len(k_offsets)):
                outside = 0
                for r in range(ROWS):
                    c = memory.raw_at(points, entries[r] + k_offsets[k] * points.itemsize)
                    inside = (steps[r] | c) >= 0
                    rows[r] = steps[r] + c * x.column if inside else padding
                    outside += not inside
                for part in range(parts):
                    position = tile.addresses(rows, 0, ROWS)
                    if outside == 0:
                        shift = part * item
                        for _ in range(channels):
                            total = tile.outer_shifted(total, source, position, shift, panels, panel)
                            shift += channel_step
                            panel += panel_step
                    else:
                        for r in range(ROWS):
                            moves[r] = 0 if rows[r] == padding else channel_step
                            rows[r] += 0 if rows[r] == padding else part * item
                        position, step = tile.addresses(rows, 0, ROWS), tile.addresses(moves, 0, ROWS)
                        for _ in range(channels):
                            total = tile.outer_at(total, source, position, panels, panel)
                            position = tile.advance(position, step)
                            panel += panel_step
    return total


@jit
def direct_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: a tile of outputs and a block of lanes each."""
    width = simd.lanes(zero)
    outputs = extent.images * outputs_of(taps)
    per_group = blocks(extent.filters * extent.parts, VECTORS * width, width)
    return extent.groups * per_group * ((outputs + ROWS - 1) // ROWS)


@jit
def direct_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution.

    x, y: Tensors; y's origin and strides are those of the outputs that the tables describe.
    panels: the weights from `weights.pack`, in blocks of VECTORS vectors and one vector.
    bias: one storage element a channel of y, or empty. taps: Taps. zero: of the accumulator's type.
    """
    simd.outlined()
    width = simd.lanes(zero)
    lanes = extent.filters * extent.parts
    per_group = blocks(lanes, VECTORS * width, width)
    outputs = extent.images * outputs_of(taps)
    tiles = (outputs + ROWS - 1) // ROWS
    reduction = taps_of(taps) * extent.parts * extent.channels
    image, depth = memory.stack(1, ROWS), memory.stack(1, ROWS)
    row, column = memory.stack(1, ROWS), memory.stack(1, ROWS)
    positions = memory.stack(1, ROWS)
    buffer = memory.stack_vectors(zero, TILE)
    for task in range(start, stop):
        index, first = task // tiles, task % tiles * ROWS
        group = index // per_group
        lane, count = block(index % per_group, lanes, VECTORS * width, width)
        locate(first, extent.images, ROWS, taps, image, depth, row, column)
        base = memory.address(x.data) + group * extent.channels * x.channel
        panel = memory.address(panels) + (group * lanes + lane) * reduction * panels.itemsize
        if count > width and outputs - first > _HALF:
            wide = accumulate(
                tile.zeros(zero, ROWS, VECTORS), x, base, taps, image, depth, row, column,
                extent.channels, extent.parts, panels, panel, count * panels.itemsize,
            )  # fmt: skip
            tile.store(wide, buffer, 0)
        elif count > width:
            half = accumulate(
                tile.zeros(zero, _HALF, VECTORS), x, base, taps, image, depth, row, column,
                extent.channels, extent.parts, panels, panel, count * panels.itemsize,
            )  # fmt: skip
            tile.store(half, buffer, 0)
        else:
            narrow = accumulate(
                tile.zeros(zero, ROWS, 1), x, base, taps, image, depth, row, column,
                extent.channels, extent.parts, panels, panel, count * panels.itemsize,
            )  # fmt: skip
            tile.store(narrow, buffer, 0)
        for r in range(ROWS):
            positions[r] = image[r] * y.image + depth[r] * y.plane + row[r] * y.row + column[r] * y.column
        stride, rows_left = VECTORS * width if count > width else width, min(ROWS, outputs - first)
        finish(buffer, 1, stride, count, rows_left, bias, group * lanes + lane, activation, zero)
        channel = group * extent.filters + lane // extent.parts
        target = memory.address(y.data) + channel * y.channel
        joined = consecutive(positions, rows_left, y.data.itemsize)
        write(buffer, 1, stride, count, rows_left, y.data, target, positions, joined, y.channel, extent.parts, zero)


@jit
def direct(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A convolution, its tasks split evenly over `threads`; see direct_serial."""
    split(
        direct_serial, direct_tasks(extent, taps, zero), threads, (x, panels, bias, taps, extent, activation, zero, y)
    )
