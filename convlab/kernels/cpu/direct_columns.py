"""Direct convolution for few channels: vectors of neighbouring columns, stored straight to the image.

With few channels to sum over, what bounds a convolution is how its result is written. So a tile is here some filters ×
vectors of neighbouring outputs of a row, which lie side by side in channels_first: it is stored as it is, in whole
vectors, bias and activation applied in registers. The weights are broadcast.

What the outputs of a band of rows read is copied to a strip on the stack: padding written out, halves widened, columns
sorted by their phase of the stride, so that every tap of a vector is one load. A table then holds where in the strip
each step of the reduction reads, for any geometry.
"""

import math
from typing import Any

from ..compile import jit
from . import memory, simd, tile
from .epilogue import NONE, RELU, RELU6, activate
from .extent import span, taps_of
from .filter_strip import copy_run
from .parallel import split
from .weights import block, blocks

# A tile: filters × vectors of outputs; what remains of a row takes one vector.
FILTERS = simd.REGISTERS // 4
_PAIR, _ONE = 2, 1
_TILE = FILTERS * _PAIR
# Vectors of a strip, which stays in L2; steps of the reduction.
_STRIP = (1 << 16) // simd.VECTOR_BYTES
_STEPS = 1 << 10
_WEIGHTS = FILTERS * _STEPS + simd.VECTOR_BYTES  # and a vector that is read and not used


@jit
def pitch_of(columns: int, taps: Any, zero: Any) -> int:
    """Elements from one line of a strip to the next: an odd number of vectors for each phase."""
    phase = (span(columns, taps.point_step, taps.k) + taps.point_step - 1) // taps.point_step
    return (((phase + simd.lanes(zero) - 1) // simd.lanes(zero)) | 1) * simd.lanes(zero)


@jit
def cut_columns(taps: Any, extent: Any, zero: Any) -> tuple[int, int]:
    """Rows and columns of the outputs of a band; no rows where a strip has no room for what one needs."""
    lanes, lines = simd.lanes(zero), max(1, extent.channels * len(taps.i))
    if extent.parts > 1 or taps.width < lanes or taps_of(taps) * extent.channels > _STEPS:
        return 0, 0
    columns = taps.width
    while True:
        room = _STRIP * lanes // (pitch_of(columns, taps, zero) * taps.point_step * lines)
        rows = (room - span(1, taps.line_step, taps.j)) // max(taps.line_step, 1) + 1
        if rows > 0 or columns < 2 * lanes:
            return max(0, min(rows, taps.height)), columns
        columns = (columns // 2 + lanes - 1) // lanes * lanes


@jit
def copy_phases(
    source: Any, line: int, column: int, points: Any, runs: Any, left: int, step: int, count: int, phase_pitch: int,
    target: Any, start: int, zero: Any,
) -> None:  # fmt: skip
    """A line of a strip: `count` positions from `left` on, each phase of `step` side by side, to target[start] and on.

    line: byte address of the row, or a negative number for a row of padding; column: bytes between its elements.
    """
    simd.outlined()
    vector, item = simd.lanes(zero), source.itemsize
    for phase in range(min(step, count)):
        at, last = phase, start + phase * phase_pitch
        while at < count:
            first, length = points[left + at], min(runs[left + at], count - at)
            if (line | first) < 0:
                target[last] = zero
                at += step
                last += 1
                continue
            here, number = line + first * column, (length + step - 1) // step
            there = memory.address(target) + last * target.itemsize
            if step == 1 and column == item and number >= vector:
                copy_run(source, here, target, there, number, zero)
            else:
                i = 0
                if step == 2 and column == item:
                    while 2 * (i + vector) <= length:
                        memory.widen_halved(source, here + i * 2 * item, target, there + i * target.itemsize)
                        i += vector
                while i < number:
                    target[last + i] = memory.load_at(source, zero, here + i * step * column)
                    i += 1
            at += number * step
            last += number


@jit
def copy_band(
    x: Any, base: int, taps: Any, channels: int, d: int, h: int, w: int, lines: int, columns: int, room: int,
    phase_pitch: int, strip: Any, zero: Any,
) -> None:  # fmt: skip
    """The strip of the outputs from (d, h, w) on: `lines` lines of each channel and plane of taps, in room for `room`.

    base: byte address of the group's first channel in the image.
    """
    simd.outlined()
    count, left, at = span(columns, taps.point_step, taps.k), w * taps.point_step, 0
    for channel in range(channels):
        for i in taps.i:
            plane = taps.planes[d * taps.plane_step + i]
            for n in range(lines):
                line = taps.lines[h * taps.line_step + n]
                here = base + channel * x.channel + plane * x.plane + line * x.row
                copy_phases(
                    x.data, -1 if (plane | line) < 0 else here, x.column, taps.points, taps.runs, left,
                    taps.point_step, count, phase_pitch, strip, at + n * phase_pitch * taps.point_step, zero,
                )  # fmt: skip
            at += room * phase_pitch * taps.point_step


@jit
def fill_steps(taps: Any, channels: int, room: int, phase_pitch: int, item: int, steps: Any) -> int:
    """Where each step of the reduction reads, in bytes from an output's own place in the strip; how many they are."""
    at = 0
    for i in range(len(taps.i)):
        for j in taps.j:
            for k in taps.k:
                for channel in range(channels):
                    line = (channel * len(taps.i) + i) * room + j
                    phase = line * taps.point_step + k % taps.point_step
                    steps[at] = (phase * phase_pitch + k // taps.point_step) * item
                    at += 1
    return at


@jit
def sum_tile(total: Any, steps: Any, reduction: int, strip: Any, place: int, panel: int, panel_step: int) -> Any:
    """total plus the sums over all steps: row r's weights, broadcast, times vectors from byte address `place` on."""
    simd.inlined()
    for step in range(reduction):
        total = tile.outer_packed(total, strip, panel, strip, place + steps[step])
        panel += panel_step
    return total


@jit
def store_tile(
    total: Any, vectors: int, count: int, straight: bool, activation: int, buffer: Any, y: Any, target: int, zero: Any
) -> None:
    """`count` rows of a tile to y, from byte address `target` on, after the activation."""
    simd.inlined()
    if straight:
        low = simd.cast_like(0 if activation in (RELU, RELU6) else -math.inf, zero)
        high = simd.cast_like(6 if activation == RELU6 else math.inf, zero)
        tile.put(total, count, low, high, y.data, target, y.channel)
        return
    tile.store(total, buffer, 0)
    columns = vectors * simd.lanes(zero)
    for row in range(count):
        for column in range(columns):
            value = buffer[row * columns + column]
            if activation != NONE:
                value = activate(value, activation)
            memory.store_at(y.data, target + row * y.channel + column * y.column, value)


@jit
def sum_row(
    columns: int, begin: Any, steps: Any, reduction: int, strip: Any, place: int, panel: int, panel_step: int,
    count: int, straight: bool, activation: int, buffer: Any, y: Any, target: int, zero: Any,
) -> None:  # fmt: skip
    """A row of outputs of `count` filters, tile after tile; where a row is no multiple of them the last overlap.

    begin: the biases. place, panel, target: byte addresses of the row in the strip, of the filters' weights
    (accumulators, panel_step bytes from step to step), and of the row in y.
    """
    simd.outlined()
    lanes, item, column = simd.lanes(zero), strip.itemsize, 0
    pair = _PAIR * lanes
    while column < columns:
        if columns - column > lanes and columns >= pair:
            column = min(column, columns - pair)
            two = tile.spread(zero, begin, FILTERS, _PAIR)
            two = sum_tile(two, steps, reduction, strip, place + column * item, panel, panel_step)
            store_tile(two, _PAIR, count, straight, activation, buffer, y, target + column * y.column, zero)
            column += pair
        else:
            column = min(column, columns - lanes)
            one = tile.spread(zero, begin, FILTERS, _ONE)
            one = sum_tile(one, steps, reduction, strip, place + column * item, panel, panel_step)
            store_tile(one, _ONE, count, straight, activation, buffer, y, target + column * y.column, zero)
            column += lanes


@jit
def columns_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Rows start … stop − 1 of outputs, counted through all groups, images and planes.

    panels: the weights from `weights.pack`, in blocks of FILTERS. Other parameters as direct_serial's.
    """
    simd.outlined()
    vector, filters, channels = simd.lanes(zero), extent.filters, extent.channels
    strip, kernel = memory.stack_vectors(zero, _STRIP), memory.stack(zero, _WEIGHTS)
    steps, begin, buffer = memory.stack(1, _STEPS), memory.stack(zero, FILTERS), memory.stack_vectors(zero, _TILE)
    rows, columns = cut_columns(taps, extent, zero)
    room, item, phase_pitch = span(rows, taps.line_step, taps.j), strip.itemsize, pitch_of(columns, taps, zero)
    reduction = fill_steps(taps, channels, room, phase_pitch, item, steps)
    straight = y.column == y.data.itemsize and activation in (NONE, RELU, RELU6)
    row = start
    while row < stop:
        h, rest = row % taps.height, row // taps.height
        d, image, group = rest % taps.depth, rest // taps.depth % extent.images, rest // (taps.depth * extent.images)
        high = min(rows, taps.height - h, stop - row)
        base = memory.address(x.data) + image * x.image + group * channels * x.channel
        for left in range(0, taps.width, columns):
            w = min(left, taps.width - columns)
            lines = span(high, taps.line_step, taps.j)
            copy_band(x, base, taps, channels, d, h, w, lines, columns, room, phase_pitch, strip, zero)
            corner = memory.address(y.data) + image * y.image + d * y.plane + h * y.row + w * y.column
            for index in range(blocks(filters, FILTERS, FILTERS)):
                first, count = block(index, filters, FILTERS, FILTERS)
                first += group * filters
                panel = memory.address(panels) + first * reduction * panels.itemsize
                for at in range(0, count * reduction, vector):  # up to a vector more, for which both have room
                    memory.widen(panels, panel + at * panels.itemsize, kernel, at, 1)
                for r in range(FILTERS):
                    where = memory.address(bias) + (first + min(r, count - 1)) * bias.itemsize
                    begin[r] = memory.load_at(bias, zero, where) if len(bias) else zero
                for r in range(high):
                    sum_row(
                        columns, begin, steps, reduction, strip,
                        memory.address(strip) + r * taps.line_step * taps.point_step * phase_pitch * item,
                        memory.address(kernel), count * item, count, straight, activation, buffer,
                        y, corner + first * y.channel + r * y.row, zero,
                    )  # fmt: skip
        row += high


@jit
def columns(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A convolution of few channels, its rows split evenly over `threads`; see columns_serial.

    Only where `cut_columns` finds any.
    """
    rows = extent.groups * extent.images * taps.depth * taps.height
    split(columns_serial, rows, threads, (x, panels, bias, taps, extent, activation, zero, y))
