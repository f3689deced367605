"""Direct convolution for few filters a group: depthwise layers, image filters, signals.

Where out-channels are too few to fill a vector, vectors hold neighbouring outputs of a row instead. At a tap they read
neighbouring inputs, straight from the image, wherever the stride is 1 and no padding lies between; at the
borders, under a stride and in channels_last the elements are collected one by one first.
"""

from typing import Any

from ..compile import jit
from . import memory, simd, tile
from .epilogue import consecutive, finish, write
from .extent import taps_of
from .parallel import split

# A register tile: one filter × 4 vectors of outputs, or FILTERS × 2.
FILTERS = 4
_ONE, _ONE_VECTORS, _FEW_VECTORS = 1, 4, 2
_BUFFER = max(_ONE * _ONE_VECTORS, FILTERS * _FEW_VECTORS)
# Outputs of a row that are one task; a long signal is many tasks.
_CHUNK = 4096
# What a stack array of outputs must hold: the widest tile's, of the narrowest type.
_MAX_SPAN = max(_ONE_VECTORS, _FEW_VECTORS) * simd.VECTOR_BYTES


@jit
def collect(
    source: Any, line: int, column: int, points: Any, runs: Any, at: int, step: int, count: int, zero: Any, into: Any
) -> None:  # fmt: skip
    """What `count` outputs of a row read at a tap, side by side: the input at positions at, at + step, … of the axis.

    line: byte address of the row, or a negative number for a row of padding; column: bytes between its elements.
    """
    lane, vector, item = 0, simd.lanes(zero), source.itemsize
    while lane < count:
        first = points[at + lane * step]
        length = min(runs[at + lane], count - lane) if step == 1 and column == item and line >= 0 else 1
        if line < 0 or first < 0:
            into[lane] = 0
            length = 1
        elif length < vector:
            for i in range(length):
                into[lane + i] = memory.raw_at(source, line + (first + i) * column)
        else:
            for i in range(0, length, vector):
                i = min(i, length - vector)  # the last vector overlaps the one before
                here = line + (first + i) * item
                memory.copy_vector(source, here, into, memory.address(into) + (lane + i) * item, zero)
        lane += length


@jit
def accumulate(
    total: Any, x: Any, base: int, d: int, h: int, first: int, count: int, span: int, taps: Any,
    channels: int, parts: int, panels: Any, panel: int, panel_step: int, zero: Any,
) -> Any:  # fmt: skip
    """total plus the sums over all taps, parts and channels for outputs first, …, first + count − 1 of row (d, h).

    base: byte address of the image's and the group's first element; span: outputs that a row of the tile holds.
    """
    simd.outlined()
    collected = memory.stack_vectors(x.data, _ONE_VECTORS)
    for lane in range(len(collected)):
        collected[lane] = 0
    source, planes, lines, points, runs = x.data, taps.planes, taps.lines, taps.points, taps.runs
    i_offsets, j_offsets, k_offsets = taps.i, taps.j, taps.k
    item, weight, step = source.itemsize, panels.itemsize, taps.point_step
    straight = step == 1 and x.column == item and count == span
    for i in range(len(i_offsets)):
        for j in range(len(j_offsets)):
            a, b = planes[d * taps.plane_step + i_offsets[i]], lines[h * taps.line_step + j_offsets[j]]
            line = base + a * x.plane + b * x.row
            for k in range(len(k_offsets)):
                at = first * step + k_offsets[k]
                if straight and (a | b) >= 0 and runs[at] >= span:
                    position = line + points[at] * item
                    for _ in range(channels):
                        total = tile.outer_strided(total, panels, panel, weight, source, position)
                        position += x.channel
                        panel += panel_step
                    continue
                for part in range(parts):
                    for channel in range(channels):
                        here = -1 if (a | b) < 0 else line + channel * x.channel + part * item
                        collect(source, here, x.column, points, runs, at, step, count, zero, collected)
                        total = tile.outer_strided(total, panels, panel, weight, source, memory.address(collected))
                        panel += panel_step
    return total


@jit
def rows_tasks(extent: Any, taps: Any) -> int:
    """Independent pieces of work: a stretch of a row of one image and group each."""
    return extent.groups * extent.images * taps.depth * taps.height * ((taps.width + _CHUNK - 1) // _CHUNK)


@jit
def rows_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution; parameters as direct_serial's, panels in blocks of FILTERS (or of 1)."""
    simd.outlined()
    lanes = extent.filters * extent.parts
    span = (_ONE_VECTORS if lanes == 1 else _FEW_VECTORS) * simd.lanes(zero)
    chunks = (taps.width + _CHUNK - 1) // _CHUNK
    reduction = taps_of(taps) * extent.parts * extent.channels
    buffer, positions = memory.stack_vectors(zero, _BUFFER), memory.stack(1, _MAX_SPAN)
    for i in range(span):
        positions[i] = i * y.column
    joined = consecutive(positions, span, y.data.itemsize)
    for task in range(start, stop):
        first, row = task % chunks * _CHUNK, task // chunks
        h, d = row % taps.height, row // taps.height % taps.depth
        image = row // (taps.height * taps.depth) % extent.images
        group = row // (taps.height * taps.depth * extent.images)
        base = memory.address(x.data) + image * x.image + group * extent.channels * x.channel
        target = memory.address(y.data) + image * y.image + d * y.plane + h * y.row
        end = min(first + _CHUNK, taps.width)
        for output in range(first, end, span):
            # The last outputs of a row are done together with some before them, if these are this task's as well.
            begin = output if output + span <= end else max(first, end - span)
            count = min(span, end - begin)
            for lane in range(0, lanes, FILTERS):
                filters = min(FILTERS, lanes - lane)
                panel = memory.address(panels) + (group * lanes + lane) * reduction * panels.itemsize
                if lanes == 1:
                    one = accumulate(
                        tile.zeros(zero, _ONE, _ONE_VECTORS), x, base, d, h, begin, count, span, taps,
                        extent.channels, extent.parts, panels, panel, panels.itemsize, zero,
                    )  # fmt: skip
                    tile.store(one, buffer, 0)
                else:
                    few = accumulate(
                        tile.zeros(zero, FILTERS, _FEW_VECTORS), x, base, d, h, begin, count, span, taps,
                        extent.channels, extent.parts, panels, panel, filters * panels.itemsize, zero,
                    )  # fmt: skip
                    tile.store(few, buffer, 0)
                finish(buffer, span, 1, filters, count, bias, group * lanes + lane, activation, zero)
                channel = group * extent.filters + lane // extent.parts
                here = target + begin * y.column + channel * y.channel
                write(buffer, span, 1, filters, count, y.data, here, positions, joined, y.channel, extent.parts, zero)


@jit
def rows(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A convolution with few filters, its tasks split evenly over `threads`; see rows_serial."""
    split(rows_serial, rows_tasks(extent, taps), threads, (x, panels, bias, taps, extent, activation, zero, y))
