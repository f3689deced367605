"""Depthwise kernels of 3x3 and 5x5 straight from the image to the result, without a strip.

Where the positions of an axis are one run of the input between zeros, a line of the image is read by masked loads, one
for each tap across: the mask is what a strip's padding would be. A line of padding is read from a few zeros. So no
byte is copied, and no load waits for a store that it only partly covers.
"""

from typing import Any

from ..compile import jit
from . import depthwise_window as window
from . import memory, simd
from .depthwise import limits
from .depthwise_image import PADDING, put_rows, slide_image
from .flat import extent_in, taps_in
from .parallel import split
from .tensor import Tensor

# Literals, by name: intrinsics take no others.
_ONE, _TWO, _THREE, _FIVE = 1, 2, 3, 5
# Rows of outputs in a task (which 7 and 4 divide), and the entries of its table of lines, beyond them too.
ROWS, LINES = 56, 128
# Vectors of zeros that a line of padding reads.
_ZEROS = 4


@jit
def image_rows(
    shape: Any, start: Any, weights: Any, weight: int, plane: int, table: int, zeros: int, begin: int, end: int,
    step: int, rows: int, width: int, target: int, row: int, low: Any, high: Any,
) -> None:  # fmt: skip
    """Some rows of outputs of one channel.

    shape: a Square, and step its step. start: one vector, the bias. weight: byte address of the weights. plane: byte
    address in line 0 of what the first tap reads; for table to end see slide_image. target: byte address of the first
    output, row: bytes from row to row; low and high: bounds of the result.
    """
    simd.outlined()
    kernel = window.taken(start, weights, weight, shape)
    tall, lanes, item = window.height(kernel), simd.lanes(start), weights.itemsize
    # A vector wider than a row runs over into rows that are written after it; the last rows, `cut` of them, may not.
    cut = 0
    if width < lanes:
        cut = (lanes - 1) // width if row == width * item else rows
    for r in range(0, rows, tall):
        count = min(tall, rows - r)
        for column in range(0, width, lanes):
            c = max(0, min(column, width - lanes))  # the last vector overlaps the one before
            at = c * step
            sums = slide_image(
                kernel, start, plane + at * item, table + r * step * 8, zeros, begin - at, end - at, shape
            )  # fmt: skip
            put_rows(sums, target + r * row + c * item, row, min(count, rows - cut - r), count, width, low, high)


def is_direct(taps: Any, extent: Any) -> bool:
    """Whether depthwise_direct serves the geometry: a plane and a channel a group, 3x3 or 5x5, neighbours together."""
    size, step = len(taps.k), taps.point_step
    whole = size in (3, 5) and len(taps.j) == size and taps.j[-1] == taps.k[-1] == size - 1
    if not whole or step > 2 or step != taps.line_step or extent.channels > 1 or taps.depth * len(taps.i) > 1:
        return False
    inside = taps.points >= 0
    first = inside.argmax()
    return bool(taps.planes[taps.i[0]] >= 0 and inside.any() and taps.runs[first] == inside.sum())


@jit
def depthwise_direct_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: some rows of an image's group each."""
    return extent.images * extent.groups * ((taps.height + ROWS - 1) // ROWS)


@jit
def depthwise_direct_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution that is_direct; parameters as depthwise_serial's.

    Columns of x and y lie side by side, in the accumulator's type; activation is NONE, RELU or RELU6.
    """
    simd.outlined()
    low, high, _ = limits(activation, zero)
    zeros, table = memory.stack_vectors(zero, _ZEROS), memory.stack(1, LINES)
    for i in range(len(zeros)):
        zeros[i] = 0
    item, nothing, step, size = zeros.itemsize, memory.address(zeros), taps.point_step, len(taps.k)
    begin = 0
    while taps.points[begin] < 0:
        begin += 1
    end = begin + taps.runs[begin]
    source = memory.address(x.data) + taps.planes[taps.i[0]] * x.plane + (taps.points[begin] - begin) * item
    down, filled, narrow = (taps.height + ROWS - 1) // ROWS, -1, 2 * taps.width <= simd.lanes(zero)
    top, group = start % down * ROWS, start // down
    image, group = group // extent.groups, group % extent.groups
    for _ in range(start, stop):
        rows = min(ROWS, taps.height - top)
        if filled != top:
            filled, lines = top, (rows - 1) * step + size
            for i in range(LINES):
                line = taps.lines[top * step + i] if i < lines else -1
                table[i] = line * x.row if line >= 0 else PADDING
        plane, at = source + image * x.image + group * x.channel, memory.address(table)
        for f in range(group * extent.filters, (group + 1) * extent.filters):
            weight = memory.address(weights) + f * size * size * item
            first = zero
            if len(bias):
                first = memory.load_at(bias, zero, memory.address(bias) + f * bias.itemsize)
            target = memory.address(y.data) + image * y.image + f * y.channel + top * y.row
            if size == 3 and step == 1 and not narrow:
                image_rows(
                    window.square(_THREE, _ONE), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif size == 3 and step == 1:
                image_rows(
                    window.square(_THREE, _ONE), window.constant(first, _TWO), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif size == 3 and not narrow:
                image_rows(
                    window.square(_THREE, _TWO), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif size == 3:
                image_rows(
                    window.square(_THREE, _TWO), window.constant(first, _TWO), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif step == 1 and not narrow:
                image_rows(
                    window.square(_FIVE, _ONE), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif step == 1:
                image_rows(
                    window.square(_FIVE, _ONE), window.constant(first, _TWO), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            else:
                image_rows(
                    window.square(_FIVE, _TWO), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin,
                    end, step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
        top += ROWS
        if top >= taps.height:
            top, group = 0, group + 1
            if group == extent.groups:
                group, image = 0, image + 1


@jit
def depthwise_direct(
    x: Any, weights: Any, bias: Any, geometry: Any, strides: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_direct_serial.

    geometry: taps and extent, `flat`. x, y, strides: the data of two Tensors, and the other fields of both, flat too.
    """
    source, target = Tensor(x, *strides[:5]), Tensor(y, *strides[5:])
    taps, extent = taps_in(geometry), extent_in(geometry)
    arguments = (source, weights, bias, taps, extent, activation, zero, target)
    split(depthwise_direct_serial, depthwise_direct_tasks(extent, taps, zero), threads, arguments)
