"""A strip: what a band of outputs reads of some channels, copied side by side, padding written out, halves widened.

Neighbours stay neighbours: columns where these lie closest in the image, else channels; so both layouts are copied
by vectors. Lines of padding and every padding mode come from the tables (kernels.taps), as everywhere.
"""

from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd


class Strip(NamedTuple):
    """Elements of a strip from one to the next along each of its axes."""

    plane: int
    line: int
    column: int
    part: int
    channel: int


@jit
def strip_of(x: Any, planes: int, lines: int, positions: int, parts: int, channels: int) -> Any:
    """The Strip that has room for that many planes of taps, lines, positions, parts and channels of x."""
    if abs(x.channel) < abs(x.column):
        column = parts * channels
        return Strip(lines * positions * column, positions * column, column, channels, 1)
    channel = planes * lines * positions
    return Strip(lines * positions, positions, 1, channels * channel, channel)


@jit
def copy_run(source: Any, first: int, target: Any, start: int, count: int, zero: Any) -> None:
    """`count` neighbours from byte address `first`, widened, to target[start] and on.

    The last vector overlaps the one before it; less than a vector is two halves or two quarters of one that overlap.
    """
    simd.inlined()
    vector, item = simd.lanes(zero), source.itemsize
    if count >= vector:
        for i in range(0, count - vector, vector):
            memory.widen(source, first + i * item, target, start + i, 1)
        memory.widen(source, first + (count - vector) * item, target, start + count - vector, 1)
    elif count >= vector // 2:
        last = count - vector // 2
        memory.widen(source, first, target, start, 2)
        memory.widen(source, first + last * item, target, start + last, 2)
    elif count >= max(1, vector // 4):
        last = count - max(1, vector // 4)
        memory.widen(source, first, target, start, 4)
        memory.widen(source, first + last * item, target, start + last, 4)
    else:
        for i in range(count):
            target[start + i] = memory.load_at(source, zero, first + i * item)


@jit
def copy_line(
    x: Any, line: int, points: Any, runs: Any, first: int, count: int, channels: int, strip: Any, target: Any,
    start: int, zero: Any,
) -> None:  # fmt: skip
    """One line of a strip: `count` positions of the last axis from `first` on; what padding there is stays as it is.

    line: byte address of element 0 of the line in x. channels: how many are copied side by side; 1 for columns.
    """
    simd.inlined()
    source, item = x.data, x.data.itemsize
    at = 0
    while at < count:
        length = min(runs[first + at], count - at)
        here, there = line + points[first + at] * x.column, start + at * strip.column
        if x.column == channels * item and strip.column == channels:
            copy_run(source, here, target, there, length * channels, zero)
        else:
            for i in range(length):
                copy_run(source, here + i * x.column, target, there + i * strip.column, channels, zero)
        at += max(length, 1)


@jit
def copy_strip(
    x: Any, base: int, taps: Any, depth: int, row: int, column: int, lines: int, positions: int, channels: int,
    parts: int, strip: Any, target: Any, zero: Any,
) -> None:  # fmt: skip
    """What the outputs of a band from depth, row, column on read of `channels` channels, but for the padding.

    lines, positions: how many the band reads of the last two axes; base: byte address of the first of the channels in
    the image; target: an array of accumulators.
    """
    simd.outlined()
    planes, table, points, runs, offsets = taps.planes, taps.lines, taps.points, taps.runs, taps.i
    item, first = x.data.itemsize, column * taps.point_step
    together = channels if strip.channel == 1 and x.channel == item else 1
    for channel in range(0, channels, together):
        for part in range(parts):
            for i in range(len(offsets)):
                a = planes[depth * taps.plane_step + offsets[i]]
                start = channel * strip.channel + part * strip.part + i * strip.plane
                here = base + channel * x.channel + part * item + a * x.plane
                for line in range(lines):
                    b = table[row * taps.line_step + line]
                    if (a | b) >= 0:
                        copy_line(
                            x, here + b * x.row, points, runs, first, positions, together, strip, target,
                            start + line * strip.line, zero,
                        )  # fmt: skip
