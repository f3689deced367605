"""Depthwise convolution of images whose channels lie side by side: vectors of channels, a strip of the image at a time.

As depthwise.py, and by its kernels, but an element of a strip is a whole vector of channels, and so is a weight.
Channels beyond the last whole vector are done together with some before them.
"""

from typing import Any

from ..compile import jit
from . import depthwise_window as window
from . import memory, simd
from .depthwise import MAX_POINTS, STRIP_VECTORS, SUMS_VECTORS, activate_all, limits, strip_shape
from .depthwise_slide import convolve
from .depthwise_strip import put_each, put_vector, take_whole
from .parallel import split

_WHOLE = 1


@jit
def gather_cells(
    source: Any, plane: int, row: int, column: int, channel: int, lines: Any, line: int, height: int, points: Any,
    first: int, count: int, step: int, strip: Any, target: int, phase: int, pitch: int,
) -> None:  # fmt: skip
    """Fill `height` lines of a strip, from position `line` of their axis on, with `count` positions from `first` on.

    plane: byte address in the image of the first of a vector of channels, negative for a plane of padding; row, column,
    channel: bytes from one to the next. target, phase, pitch: as in strip.gather.
    """
    simd.outlined()
    nothing, lanes, wide = window.constant(simd.cast_like(0, strip[0]), _WHOLE), simd.lanes(strip[0]), strip.itemsize
    for i in range(height):
        down = lines[line + i]
        here = plane + down * row
        for q in range(min(step, count)):
            to = target + i * pitch + q * phase
            for p in range(q, count, step):
                across = points[first + p]
                if (plane | down | across) < 0:
                    window.keep(nothing, strip, to, 0, False)
                elif channel == source.itemsize:
                    take_whole(source, here + across * column, strip, to)
                else:
                    for lane in range(lanes):
                        value = memory.load_at(source, strip[0], here + across * column + lane * channel)
                        memory.store_at(strip, to + lane * wide, value)
                to += simd.VECTOR_BYTES


@jit
def _cells(taps: Any) -> tuple[int, int, int, int]:
    """strip_shape in vectors instead of elements."""
    return strip_shape(
        taps.height, taps.width, taps.line_step, taps.point_step, taps.j[-1] + 1, taps.k[-1] + 1, 1, 1,
        simd.VECTOR_BYTES,
    )  # fmt: skip


@jit
def depthwise_last_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: some rows and columns of the outputs of an image, for a vector of channels."""
    rows, columns, _, _ = _cells(taps)
    blocks, lanes = ((taps.height + rows - 1) // rows) * ((taps.width + columns - 1) // columns), simd.lanes(zero)
    return extent.images * taps.depth * blocks * ((extent.groups + lanes - 1) // lanes)


@jit
def depthwise_last_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution of one channel and one filter a group, at least a vector of groups.

    weights: accumulators (taps, channels). Other parameters as depthwise_serial's.
    """
    simd.outlined()
    strip, sums = memory.stack_vectors(zero, STRIP_VECTORS), memory.stack_vectors(zero, SUMS_VECTORS)
    rows, columns, phase, pitch = _cells(taps)
    down, along = (taps.height + rows - 1) // rows, (taps.width + columns - 1) // columns
    cell, step, lanes = simd.VECTOR_BYTES, taps.point_step, simd.lanes(zero)
    blocks, planes, window_size = (extent.groups + lanes - 1) // lanes, len(taps.i), len(taps.j) * len(taps.k)
    across = memory.stack(1, MAX_POINTS)
    for k in range(len(taps.k)):
        across[k] = (taps.k[k] % step * phase + taps.k[k] // step) * cell
    low, high, simple = limits(activation, zero)
    base = memory.address(strip)
    for task in range(start, stop):
        group, rest = min(task % blocks * lanes, extent.groups - lanes), task // blocks
        top, rest = rest % down * rows, rest // down
        left, rest = rest % along * columns, rest // along
        d, image = rest % taps.depth, rest // taps.depth
        tall, wide = min(rows, taps.height - top), min(columns, taps.width - left)
        lines = (tall - 1) * taps.line_step + taps.j[-1] + 1
        count = (wide - 1) * step + taps.k[-1] + 1
        first = window.constant(zero, _WHOLE)
        if len(bias):
            first = window.loaded(first, bias, memory.address(bias) + group * bias.itemsize)
        for i in range(planes):
            above = taps.planes[d * taps.plane_step + taps.i[i]]
            plane = memory.address(x.data) + image * x.image + above * x.plane + group * x.channel
            gather_cells(
                x.data, -1 if above < 0 else plane, x.row, x.column, x.channel, taps.lines, top * taps.line_step, lines,
                taps.points, left * step, count, step, strip, base, phase * cell, pitch * cell,
            )  # fmt: skip
            weight = memory.address(weights) + i * window_size * weights.strides[0] + group * weights.itemsize
            convolve(
                weights, weight, first, strip, base, pitch * cell, taps.j, across, len(taps.k), taps.line_step, tall,
                wide * lanes, lanes, True, sums, memory.address(sums), wide * cell, i > 0,
            )  # fmt: skip
            first = window.constant(zero, _WHOLE)
        if not simple:
            activate_all(sums, 0, tall * wide * lanes, activation)
        here, item = memory.address(sums), y.data.itemsize
        target = memory.address(y.data) + image * y.image + d * y.plane + group * y.channel
        for h in range(top, top + tall):
            for w in range(left, left + wide):
                to = target + h * y.row + w * y.column
                if y.channel == item:
                    put_vector(sums, here, y.data, to, low, high, _WHOLE)
                else:
                    put_each(sums, here, sums.itemsize, y.data, to, y.channel, lanes, low, high)
                here += cell


@jit
def depthwise_last(
    x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_last_serial."""
    arguments = (x, weights, bias, taps, extent, activation, zero, y)
    split(depthwise_last_serial, depthwise_last_tasks(extent, taps, zero), threads, arguments)
