"""Depthwise and narrow grouped convolution: vectors of neighbouring outputs, a strip of the image at a time.

A task takes some rows of outputs of one group. Their input, padded, goes to a strip in L1 (depthwise_strip.py); a
small kernel slides over it with all its weights in registers, several rows of outputs at once (depthwise_window.py);
the sums, in L1 too, get their activation and go out. Channels, and planes of a volume, are taken one after the other
and added up there.
"""

import math
from typing import Any

from ..compile import jit
from . import depthwise_window as window
from . import memory, simd
from .depthwise_slide import convolve
from .depthwise_strip import clear, gather, gather_rest, longest_run, put, put_each
from .epilogue import NONE, RELU, RELU6, activate
from .flat import extent_in, taps_in
from .parallel import split
from .tensor import Tensor

# Bytes of a strip, and of the sums of its outputs: both, and what streams by, stay in an L1 of 32 KiB.
STRIP_BYTES, SUMS_BYTES = 16 * 1024, 12 * 1024
# Vectors behind them, which whole vectors run over.
_SLACK = 4
STRIP_VECTORS = STRIP_BYTES // simd.VECTOR_BYTES + _SLACK
SUMS_VECTORS = SUMS_BYTES // simd.VECTOR_BYTES + _SLACK
_WHOLE = 1
# Taps of a line, at the most.
MAX_POINTS = 128
_ROWS_WANTED = 7


@jit
def strip_shape(
    height: int, width: int, line_step: int, step: int, lines: int, points: int, filters: int, lanes: int, item: int
) -> tuple[int, int, int, int]:
    """Rows and columns of outputs in a task; elements from phase to phase and from line to line of its strip.

    lines, points: extent of the kernel; item: bytes of an accumulator. No rows: the kernel is too large.
    """
    slack = 0 if step == 1 else lanes  # what whole vectors run over must not be the next phase
    room, sums = STRIP_BYTES // item, SUMS_BYTES // item // filters
    wanted = min(_ROWS_WANTED, height)
    most = min(room // (lines + (wanted - 1) * line_step) // step - points // step - slack - lanes, sums // wanted)
    columns = min(width, max(lanes, most // lanes * lanes))
    parts = (width + columns - 1) // columns  # as even as can be
    columns = min(columns, ((width + parts - 1) // parts + lanes - 1) // lanes * lanes)
    phase = (columns + (points - 1) // step + lanes - 1) // lanes * lanes + slack
    pitch = step * phase
    whole = (columns + lanes - 1) // lanes * lanes
    rows = min(height, (room // pitch - lines) // line_step + 1, sums // whole)
    if rows > 0:
        parts = (height + rows - 1) // rows
        even = (height + parts - 1) // parts
        rows = min(rows, (even + _ROWS_WANTED - 1) // _ROWS_WANTED * _ROWS_WANTED)
    return max(rows, 0), columns, phase, pitch


@jit
def _shape(taps: Any, filters: int, zero: Any) -> tuple[int, int, int, int]:
    """strip_shape of tables."""
    simd.outlined()
    return strip_shape(
        taps.height, taps.width, taps.line_step, taps.point_step, taps.j[-1] + 1, taps.k[-1] + 1, filters,
        simd.lanes(zero), simd.VECTOR_BYTES // simd.lanes(zero),
    )  # fmt: skip


@jit
def limits(activation: int, zero: Any) -> tuple[Any, Any, bool]:
    """Between which numbers an activation leaves a sum, and whether that is all that it does."""
    infinity, simple = simd.cast_like(math.inf, zero), activation in (NONE, RELU, RELU6)
    low = zero if activation in (RELU, RELU6) else -infinity
    return low, simd.cast_like(6, zero) if activation == RELU6 else infinity, simple


@jit
def activate_all(sums: Any, first: int, count: int, activation: int) -> None:
    simd.outlined()
    for i in range(first, first + count):
        sums[i] = activate(sums[i], activation)


@jit
def write_rows(
    sums: Any, first: int, pitch: int, rows: int, width: int, activation: int, y: Any, target: int, row: int,
    column: int, zero: Any,
) -> None:  # fmt: skip
    """The sums from element `first` on, `pitch` elements a row, with the activation, to byte address `target` of y.

    row and column: bytes in y from one to the next.
    """
    simd.outlined()
    item = sums.itemsize
    low, high, simple = limits(activation, zero)
    if not simple:
        activate_all(sums, first, rows * pitch, activation)
    if column == y.itemsize and pitch == width and row == width * column:
        rows, width = 1, rows * width
    here = memory.address(sums) + first * item
    for _ in range(rows):
        if column == y.itemsize:
            put(sums, here, y, target, width, low, high)
        else:
            put_each(sums, here, item, y, target, column, width, low, high)
        here, target = here + pitch * item, target + row


@jit
def depthwise_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: some rows and columns of the outputs of an image and a group each."""
    rows, columns, _, _ = _shape(taps, extent.filters, zero)
    blocks = ((taps.height + rows - 1) // rows) * ((taps.width + columns - 1) // columns)
    return extent.images * extent.groups * taps.depth * blocks


@jit
def depthwise_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution.

    x, y: Tensors. weights: accumulators [group][filter][channel][plane][line][point]. bias: one storage element a
    channel of y, or empty. taps: Taps whose offsets ascend. zero: of the accumulator's type. Real floating-point only.
    """
    simd.outlined()
    strip, sums = memory.stack_vectors(zero, STRIP_VECTORS), memory.stack_vectors(zero, SUMS_VECTORS)
    rows, columns, phase, pitch = _shape(taps, extent.filters, zero)
    down, along = (taps.height + rows - 1) // rows, (taps.width + columns - 1) // columns
    lanes, item, step = simd.lanes(zero), strip.itemsize, taps.point_step
    points, planes, window_size = len(taps.k), len(taps.i), len(taps.j) * len(taps.k)
    reductions = extent.channels * planes
    compact, straight = reductions == 1, step <= 2 and x.column == x.data.itemsize
    across = memory.stack(1, MAX_POINTS)
    for k in range(points):
        across[k] = (taps.k[k] % step * phase + taps.k[k] // step) * item
    part, rest = start % (down * along), start // (down * along)
    top, left = part % down * rows, part // down * columns
    d, rest = rest % taps.depth, rest // taps.depth
    group, image = rest % extent.groups, rest // extent.groups
    run, length, alone, base, clean = 0, 0, True, memory.address(strip), False
    for _ in range(start, stop):
        high, wide = min(rows, taps.height - top), min(columns, taps.width - left)
        lines = (high - 1) * taps.line_step + taps.j[-1] + 1
        count = (wide - 1) * step + taps.k[-1] + 1
        if not clean:
            clear(strip)
            clean = True
            run, length, alone = longest_run(taps.points, taps.runs, left * step, count)
            if not straight:
                run, length, alone = 0, 0, False
            # What is copied most begins on a whole vector.
            base = memory.address(strip) + (lanes - run % lanes if step == 1 else 0) * item
        pitch_out = wide if compact else (wide + lanes - 1) // lanes * lanes
        for reduction in range(reductions):
            channel, i = (0, 0) if compact else (reduction // planes, reduction % planes)
            above = taps.planes[d * taps.plane_step + taps.i[i]]
            plane = -1
            if above >= 0:
                plane = memory.address(x.data) + image * x.image + above * x.plane
                plane += (group * extent.channels + channel) * x.channel
            begin = plane if above < 0 else plane + taps.points[left * step + run] * x.column
            gather(
                x.data, begin, x.row, taps.lines, top * taps.line_step, lines, step, run, length, strip, base,
                phase * item, pitch * item,
            )  # fmt: skip
            if not alone:
                gather_rest(
                    x.data, plane, x.row, x.column, taps.lines, top * taps.line_step, lines, taps.points, left * step,
                    count, step, run, length, strip, base, phase * item, pitch * item,
                )  # fmt: skip
            for f in range(extent.filters):
                filter_ = group * extent.filters + f
                weight = memory.address(weights) + (filter_ * reductions + reduction) * window_size * item
                first = zero
                if len(bias) and reduction == 0:
                    first = memory.load_at(bias, zero, memory.address(bias) + filter_ * bias.itemsize)
                target = memory.address(sums) + f * high * pitch_out * item
                convolve(
                    weights, weight, window.constant(first, _WHOLE), strip, base, pitch * item, taps.j, across,
                    points, taps.line_step, high, wide, lanes, compact, sums, target, pitch_out * item,
                    reduction > 0,
                )  # fmt: skip
        for f in range(extent.filters):
            to = memory.address(y.data) + image * y.image + (group * extent.filters + f) * y.channel
            to += d * y.plane + top * y.row + left * y.column
            write_rows(
                sums, f * high * pitch_out, pitch_out, high, wide, activation, y.data, to, y.row, y.column, zero
            )  # fmt: skip
        # The next task: rows, columns, planes, groups, images.
        top += rows
        if top >= taps.height:
            top, left, clean = 0, left + columns, along == 1
            if left >= taps.width:
                left, d = 0, d + 1
                if d == taps.depth:
                    d, group = 0, group + 1
                    if group == extent.groups:
                        group, image = 0, image + 1


@jit
def depthwise(
    x: Any, weights: Any, bias: Any, geometry: Any, strides: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_serial.

    geometry: taps and extent, `flat`. x, y, strides: the data of two Tensors, and the other fields of both, flat too.
    """
    source, target = Tensor(x, *strides[:5]), Tensor(y, *strides[5:])
    taps, extent = taps_in(geometry), extent_in(geometry)
    arguments = (source, weights, bias, taps, extent, activation, zero, target)
    split(depthwise_serial, depthwise_tasks(extent, taps, zero), threads, arguments)
