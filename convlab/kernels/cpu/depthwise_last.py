"""Depthwise convolution of images whose channels lie side by side: a vector holds channels, and so does a weight.

A task is a few rows of outputs of one vector of channels. Each of its columns is summed in registers, straight from
the image to the result: several outputs below each other, so that a cell that some of them read is loaded once. The
weights of kernels of 3x3 and 5x5 stay in registers too; of any other they pass by. Channels beyond the last whole
vector are done together with some before them.
"""

from typing import Any

from ..compile import jit
from . import depthwise_cells as cells
from . import depthwise_window as window
from . import memory, simd
from .depthwise import MAX_POINTS, activate_all, limits
from .depthwise_window import FEW, ONE
from .flat import extent_in, taps_in
from .parallel import split
from .tensor import Tensor

# Literals, by name: intrinsics take no others.
_ONE, _TWO, _THREE, _FIVE = 1, 2, 3, 5
# Vectors that are summed at once, at the most, and entries of a table of lines.
_MOST = 8
_LINES = FEW * MAX_POINTS
# Lines in a column of the ring, at the most.
_COLUMN = 17
_RING = cells.RING * _COLUMN


@jit
def near(taps: Any) -> int:
    """3 or 5: the side of a square kernel of neighbours, whose weights stay in registers; 0: any other kernel."""
    side, step = len(taps.k), taps.point_step
    whole = (side == 3 or side == 5) and len(taps.j) == side and len(taps.i) == 1
    whole = whole and taps.j[-1] == taps.k[-1] == side - 1  # offsets ascend, so these are 0, 1, 2, …
    return side if whole and step == taps.line_step and step <= 2 else 0


@jit
def _rows(taps: Any) -> int:
    """Rows of outputs in a task."""
    side = near(taps)
    if side == 3:
        return window.height(window.square(_THREE, _ONE))
    return window.height(window.square(_FIVE, _ONE)) if side == 5 else FEW


@jit
def put(
    sums: Any, y: Any, target: int, count: int, buffer: Any, activation: int, low: Any, high: Any, simple: bool
) -> None:
    """The first `count` vectors of sums, with the activation, to byte address `target` of y and the rows below it.

    low, high, simple: the activation's `limits`; where that is not all, sums go through the buffer.
    """
    simd.inlined()
    if not simple:
        window.keep(sums, buffer, memory.address(buffer), simd.VECTOR_BYTES, False)
        activate_all(buffer, 0, len(buffer), activation)
        sums = window.kept(sums, buffer, memory.address(buffer), simd.VECTOR_BYTES)
    cells.put_cells(sums, y.data, target, y.row, count, low, high)


@jit
def find_columns(plane: int, x: Any, taps: Any, column: int, across: Any) -> None:
    """The columns that an output's taps read; plane: byte address of the channels in a plane, PADDING for none."""
    for k in range(len(taps.k)):
        point = taps.points[column * taps.point_step + taps.k[k]]
        across[k] = plane + point * x.column if (plane | point) >= 0 else window.PADDING


@jit
def near_columns(
    shape: Any, start: Any, x: Any, plane: int, weights: Any, weight: int, taps: Any, lines: Any, places: Any,
    found: int, ring: Any, y: Any, target: int, count: int, activation: int, zero: Any,
) -> None:  # fmt: skip
    """`count` rows of outputs of a kernel that is `near`, of which shape is the Square.

    start: one vector, the bias. plane, target: byte addresses of the channels in the image and in the first row of
    results; weight: of their first weight. lines, places: the `found` lines that the rows read and that are not
    padding, in bytes from line 0, and where they go in a column of the ring.
    """
    simd.outlined()
    kernel, ready, side, step = window.taken(start, weights, weight, shape), 0, len(taps.k), taps.point_step
    low, high, simple = limits(activation, zero)
    buffer, column_bytes = memory.stack_vectors(zero, _MOST), cells.ring_lines(shape) * simd.VECTOR_BYTES
    base = memory.address(ring)
    for column in range(taps.width):
        while ready < column * step + side:
            point, place = taps.points[ready], base + (ready & (cells.RING - 1)) * column_bytes
            if (plane | point) >= 0:
                for i in range(found):
                    memory.widen_vector(x.data, plane + point * x.column + lines[i], ring, place + places[i])
            else:
                for i in range(found):
                    memory.fill_vector(ring, place + places[i], zero)
            ready += 1
        sums = cells.slide_ring(kernel, start, weights, weight, base, column * step, shape)
        put(sums, y, target + column * y.column, count, buffer, activation, low, high, simple)


@jit
def any_columns(
    start: Any, x: Any, image: int, d: int, top: int, weights: Any, weight: int, taps: Any, lines: Any, across: Any,
    zeros: int, y: Any, target: int, count: int, activation: int, zero: Any,
) -> None:  # fmt: skip
    """`count` rows of outputs, from row `top` of plane d on, of any kernel; see near_columns.

    image: byte address of the channels in the image.
    """
    simd.outlined()
    low, high, simple = limits(activation, zero)
    buffer = memory.stack_vectors(zero, FEW)
    for j in range(len(taps.j)):
        for r in range(FEW):
            line = -1
            if r < count:
                line = taps.lines[(top + r) * taps.line_step + taps.j[j]]
            lines[j * FEW + r] = line * x.row if line >= 0 else window.PADDING
    for column in range(taps.width):
        sums, at = window.repeated(start, FEW), weight
        for i in range(len(taps.i)):
            above = taps.planes[d * taps.plane_step + taps.i[i]]
            find_columns(image + above * x.plane if above >= 0 else window.PADDING, x, taps, column, across)
            for j in range(len(taps.j)):
                down = memory.address(lines) + j * FEW * lines.itemsize
                for k in range(len(taps.k)):
                    factor = window.taken(start, weights, at, ONE)
                    sums = cells.summed_cells(sums, factor, x.data, across[k], down, zeros)
                    at += weights.strides[0]
        put(sums, y, target + column * y.column, count, buffer, activation, low, high, simple)


@jit
def depthwise_last_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: some rows of an image, for a vector of channels."""
    rows, lanes = _rows(taps), simd.lanes(zero)
    return extent.images * taps.depth * ((taps.height + rows - 1) // rows) * ((extent.groups + lanes - 1) // lanes)


@jit
def depthwise_last_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution of one channel and one filter a group, at least a vector of groups.

    weights: accumulators (taps, channels). Channels of x and of y are neighbours in memory. Other parameters as
    depthwise_serial's.
    """
    simd.outlined()
    lines, across = memory.stack(1, _LINES), memory.stack(1, MAX_POINTS)
    nothing, ring, places = (
        memory.stack_vectors(zero, _ONE),
        memory.stack_vectors(zero, _RING),
        memory.stack(1, _COLUMN),
    )
    for i in range(len(nothing)):
        nothing[i] = 0
    zeros, lanes, rows, side, step = memory.address(nothing), simd.lanes(zero), _rows(taps), near(taps), taps.line_step
    down, blocks = (taps.height + rows - 1) // rows, (extent.groups + lanes - 1) // lanes
    filled, found = -1, 0
    for task in range(start, stop):
        group, rest = min(task % blocks * lanes, extent.groups - lanes), task // blocks
        top, rest = rest % down * rows, rest // down
        d, image = rest % taps.depth, rest // taps.depth
        count = min(rows, taps.height - top)
        if side and filled != top:
            filled, found = top, 0
            for i in range((count - 1) * step + side):
                line = taps.lines[top * step + i]
                if line >= 0:
                    lines[found], places[found] = line * x.row, i * simd.VECTOR_BYTES
                    found += 1
            for i in range(len(ring)):
                ring[i] = 0
        first = window.constant(zero, _ONE)
        if len(bias):
            first = window.loaded(first, bias, memory.address(bias) + group * bias.itemsize)
        base = memory.address(x.data) + image * x.image + group * x.channel
        above = taps.planes[d * taps.plane_step + taps.i[0]]
        plane = base + above * x.plane if above >= 0 else window.PADDING
        weight = memory.address(weights) + group * weights.itemsize
        target = memory.address(y.data) + image * y.image + d * y.plane + group * y.channel + top * y.row
        task_of = first, x, plane, weights, weight, taps, lines, places, found, ring, y, target, count, activation, zero
        if side == 3 and step == 1:
            near_columns(window.square(_THREE, _ONE), *task_of)
        elif side == 3:
            near_columns(window.square(_THREE, _TWO), *task_of)
        elif side == 5 and step == 1:
            near_columns(window.square(_FIVE, _ONE), *task_of)
        elif side == 5:
            near_columns(window.square(_FIVE, _TWO), *task_of)
        else:
            any_columns(
                first, x, base, d, top, weights, weight, taps, lines, across, zeros, y, target, count, activation, zero
            )


@jit
def depthwise_last(
    x: Any, weights: Any, bias: Any, geometry: Any, strides: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_last_serial.

    geometry: taps and extent, `flat`. x, y, strides: the data of two Tensors, and the other fields of both, flat too.
    """
    source, target = Tensor(x, *strides[:5]), Tensor(y, *strides[5:])
    taps, extent = taps_in(geometry), extent_in(geometry)
    arguments = (source, weights, bias, taps, extent, activation, zero, target)
    split(depthwise_last_serial, depthwise_last_tasks(extent, taps, zero), threads, arguments)
