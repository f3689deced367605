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
from .depthwise_image import put_rows, slide_image
from .depthwise_strip import clear
from .depthwise_window import PADDING
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
def find_lines(taps: Any, top: int, rows: int, row: int, lines: Any) -> None:
    """The table of what `rows` rows of outputs from row `top` on read: bytes from line 0 to each line, or PADDING."""
    simd.outlined()
    step, many = taps.line_step, (rows - 1) * taps.line_step + len(taps.j)
    for i in range(len(lines)):
        line = taps.lines[top * step + i] if i < many else -1
        lines[i] = line * row if line >= 0 else PADDING


@jit
def find_columns(taps: Any) -> tuple[int, int, int]:
    """The first position that is not padding, the first after it that is, and the input element at the first."""
    simd.outlined()
    begin = 0
    while taps.points[begin] < 0:
        begin += 1
    return begin, begin + taps.runs[begin], taps.points[begin]


@jit
def image_tasks(
    shape: Any, like: Any, start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any,
    activation: int, zero: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks of depthwise_3x3_serial or depthwise_5x5_serial, of one Square, in vectors like that of `like`."""
    simd.outlined()
    low, high, _ = limits(activation, zero)
    zeros, lines = memory.stack_vectors(zero, _ZEROS), memory.stack(1, LINES)
    clear(zeros)
    item, nothing, lines_at = zeros.itemsize, memory.address(zeros), memory.address(lines)
    begin, end, element = find_columns(taps)
    source = memory.address(x.data) + taps.planes[taps.i[0]] * x.plane + (element - begin) * item
    tall, lanes, step, size, width = window.height(shape), simd.lanes(like), taps.point_step, len(taps.k), taps.width
    down, filled = (taps.height + ROWS - 1) // ROWS, -1
    top, group = start % down * ROWS, start // down
    image, group = group // extent.groups, group % extent.groups
    # A vector wider than a row runs over into what is written after it: the next channel, if that follows at once, is
    # as long, and is of the same thread. Elsewhere the last rows are cut.
    together = y.row == width * item and y.channel == taps.height * y.row and down == 1 and taps.height * width >= lanes
    together = together and (extent.images == 1 or y.image == extent.groups * extent.filters * y.channel)
    last = (lanes - 1) // width if y.row == width * item else ROWS
    for task in range(start, stop):
        rows = min(ROWS, taps.height - top)
        if filled != top:
            filled = top
            find_lines(taps, top, rows, x.row, lines)
        plane = source + image * x.image + group * x.channel
        for f in range(group * extent.filters, (group + 1) * extent.filters):
            weight = memory.address(weights) + f * size * size * item
            kernel = window.taken(like, weights, weight, shape)
            first = zero
            if len(bias):
                first = memory.load_at(bias, zero, memory.address(bias) + f * bias.itemsize)
            initial = window.filled(like, first)
            target = memory.address(y.data) + image * y.image + f * y.channel + top * y.row
            cut = last
            if width >= lanes or (together and (task + 1 < stop or f + 1 < (group + 1) * extent.filters)):
                cut = 0
            for r in range(0, rows, tall):
                count = min(tall, rows - r)
                for column in range(0, width, lanes):
                    c = max(0, min(column, width - lanes))  # the last vector overlaps the one before
                    at = c * step
                    sums = slide_image(
                        kernel, initial, weights, weight, plane + at * item, lines_at + r * step * 8, nothing,
                        begin - at, end - at, shape,
                    )  # fmt: skip
                    to = target + r * y.row + c * item
                    put_rows(sums, to, y.row, min(count, rows - cut - r), count, width, low, high)
        top += ROWS
        if top >= taps.height:
            top, group = 0, group + 1
            if group == extent.groups:
                group, image = 0, image + 1


def is_direct(taps: Any, extent: Any) -> bool:
    """Whether depthwise_3x3 or depthwise_5x5 serves: a plane and a channel a group, neighbours together."""
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
def depthwise_3x3_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution that is_direct, of 3x3; parameters as depthwise_serial's.

    Columns of x and y lie side by side, in the accumulator's type; activation is NONE, RELU or RELU6.
    """
    simd.outlined()
    task = start, stop, x, weights, bias, taps, extent, activation, zero, y
    whole, half, narrow = window.constant(zero, _ONE), window.constant(zero, _TWO), 2 * taps.width <= simd.lanes(zero)
    if taps.point_step == 1 and narrow:
        image_tasks(window.square(_THREE, _ONE), half, *task)
    elif taps.point_step == 1:
        image_tasks(window.square(_THREE, _ONE), whole, *task)
    elif narrow:
        image_tasks(window.square(_THREE, _TWO), half, *task)
    else:
        image_tasks(window.square(_THREE, _TWO), whole, *task)


@jit
def depthwise_5x5_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """depthwise_3x3_serial of 5x5; a kernel of its own, as each is half of what there is to compile."""
    simd.outlined()
    task = start, stop, x, weights, bias, taps, extent, activation, zero, y
    whole, half = window.constant(zero, _ONE), window.constant(zero, _TWO)
    if taps.point_step == 1 and 2 * taps.width <= simd.lanes(zero):
        image_tasks(window.square(_FIVE, _ONE), half, *task)
    elif taps.point_step == 1:
        image_tasks(window.square(_FIVE, _ONE), whole, *task)
    else:
        image_tasks(window.square(_FIVE, _TWO), whole, *task)


@jit
def depthwise_3x3(
    x: Any, weights: Any, bias: Any, geometry: Any, strides: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_3x3_serial.

    geometry: taps and extent, `flat`. x, y, strides: the data of two Tensors, and the other fields of both, flat too.
    """
    source, target = Tensor(x, *strides[:5]), Tensor(y, *strides[5:])
    taps, extent = taps_in(geometry), extent_in(geometry)
    arguments = (source, weights, bias, taps, extent, activation, zero, target)
    split(depthwise_3x3_serial, depthwise_direct_tasks(extent, taps, zero), threads, arguments)


@jit
def depthwise_5x5(
    x: Any, weights: Any, bias: Any, geometry: Any, strides: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_5x5_serial.

    geometry: taps and extent, `flat`. x, y, strides: the data of two Tensors, and the other fields of both, flat too.
    """
    source, target = Tensor(x, *strides[:5]), Tensor(y, *strides[5:])
    taps, extent = taps_in(geometry), extent_in(geometry)
    arguments = (source, weights, bias, taps, extent, activation, zero, target)
    split(depthwise_5x5_serial, depthwise_direct_tasks(extent, taps, zero), threads, arguments)
