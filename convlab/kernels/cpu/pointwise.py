"""1x1 convolution as a matrix product whose operand is the image itself.

Weights in panels times a block of outputs, which are packed as they are read, or read where they lie. Vectors hold
either: outputs, where these lie side by side and fill vectors; or filters, for channels_last and for small images. The
two are the same product with its rows and its lanes exchanged: `Side` says which is which.

The whole reduction passes through a tile's registers: panels of even 2048 channels stay in L2, and there are no
partial sums.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .blis import aligned, even_block, stripe
from .epilogue import NONE, consecutive, finish, write
from .extent import locate, outputs_of, taps_of
from .matrix import copy_panel
from .microkernel import tile_product
from .parallel import split
from .patches import NOWHERE, find_runs, read_positions
from .simd import CACHE_LINE
from .tile import ROWS, TILE, VECTORS
from .weights import block, blocks

# Outputs that are packed at a time where vectors hold filters: so many tiles, or what takes half of L2.
_TILES, BLOCK_BYTES = 8, 1 << 19
# Outputs of a block at the most, lanes of a panel of the narrowest type, and bounds of as many runs.
_LANES = VECTORS * simd.VECTOR_BYTES
_OUTPUTS, _RUNS = max(_TILES * ROWS, _LANES), _LANES + 1


@jit
def block_outputs(depth: int, item: int) -> int:
    """Outputs in a block where vectors hold filters, at the most: whole tiles."""
    return max(ROWS, min(_TILES * ROWS, BLOCK_BYTES // max(depth * item, 1) // ROWS * ROWS))


def workspace(depth: int, stored: int) -> int:
    """Elements, of `stored` bytes, that a thread packs at a time."""
    return max(block_outputs.py_func(depth, stored), _LANES) * max(depth, 1) + 2 * CACHE_LINE


@jit
def dense(t: Any, taps: Any, size: int) -> bool:
    """Whether the elements of a Tensor that are as many as the outputs lie `size` bytes apart, in their order."""
    height, width = taps.height, taps.width
    return (
        t.column == size
        and (height == 1 or t.row == width * size)
        and (taps.depth == 1 or t.plane == height * width * size)
    )


@jit
def in_order(source: Any, first: int, step: int, count: int) -> bool:
    """Whether the outputs of an axis read elements 0, 1, … of the input."""
    for o in range(count):  # noqa: SIM110 (Numba has no generator expressions)
        if source[first + o * step] != o:
            return False
    return True


@jit
def reads_all(taps: Any) -> bool:
    """Whether each output reads the input of the same place, and nothing else."""
    return (
        taps_of(taps) == 1
        and in_order(taps.planes, taps.i[0], taps.plane_step, taps.depth)
        and in_order(taps.lines, taps.j[0], taps.line_step, taps.height)
        and in_order(taps.points, taps.k[0], taps.point_step, taps.width)
    )


@jit
def pack_outputs(
    x: Any, channels: int, positions: Any, steps: Any, count: int, width: int, zero: Any, packed: Any, q: int
) -> None:
    """A panel: `count` outputs, which read at `positions`, over all channels, each [channel][output of width]."""
    simd.outlined()
    starts, gaps = memory.stack(1, _RUNS), memory.stack(1, _LANES)
    item = packed.itemsize
    runs = find_runs(positions, steps, count, starts, gaps)
    for run in range(runs):
        first, length, gap = starts[run], starts[run + 1] - starts[run], gaps[run]
        step = 0 if steps[first] == NOWHERE else steps[first]
        if runs == 1:
            copy_panel(x.data, positions[0], gap, step, count, width, channels, zero, packed, q)
        else:
            for channel in range(channels):
                source, target = positions[first] + channel * step, q + (channel * width + first) * item
                for i in range(length):
                    memory.copy_at(x.data, source + i * gap, packed, target + i * item)


@jit
def keep(
    upright: bool, sums: Any, step: int, rows: int, lanes: int, channel: int, places: Any, bias: Any, activation: int,
    y: Any, zero: Any,
) -> None:  # fmt: skip
    """A tile of sums, rows `step` apart, to channels from `channel` on at `places`, with bias and activation."""
    simd.outlined()
    channels, points, channel_step, point_step = rows, lanes, step, 1
    if upright:
        channels, points, channel_step, point_step = lanes, rows, 1, step
    finish(sums, channel_step, point_step, channels, points, bias, channel, activation, zero)
    write(
        sums, channel_step, point_step, channels, points, y.data, memory.address(y.data) + channel * y.channel, places,
        consecutive(places, points, y.data.itemsize), y.channel, 1, zero,
    )  # fmt: skip


@jit
def multiply(
    upright: bool, rows: int, lanes: int, depth: int, panels: Any, a: int, b: int, b_step: int, places: Any,
    channel: int, bias: Any, activation: int, y: Any, zero: Any,
) -> None:  # fmt: skip
    """A block of outputs times filters, `channel` the first, tile by tile, to `places`.

    a, b: byte addresses of the panels of rows and of lanes; b_step: bytes between steps of the latter where vectors
    hold outputs.
    """
    simd.outlined()
    item, vector = panels.itemsize, simd.lanes(zero)
    width = VECTORS * vector
    narrow = vector if upright else width
    sums = memory.stack_vectors(zero, TILE)
    plain = len(bias) == 0 and activation == NONE and item == y.data.itemsize and (not upright or y.channel == item)
    for j in range(blocks(lanes, width, narrow)):
        lane, here = block(j, lanes, width, narrow)
        vectors = (here + vector - 1) // vector
        for i in range(0, rows, ROWS):
            height = min(ROWS, rows - i)
            even = height + height % 2
            if upright:
                where, first, a_step, step = places[i:], channel + lane, even * item, here * item
                gap = where[1] - where[0] if height > 1 else 0
                joined = consecutive(where, height, gap)
            else:
                where, first, a_step, step, gap = places, channel + i, height * item, b_step, y.channel
                joined = consecutive(where, here, y.data.itemsize)
            at = memory.address(y.data) + first * y.channel + where[0]
            placed = plain and joined and height == even and here == vectors * vector
            if not placed:
                at, gap = memory.address(sums), vectors * vector * sums.itemsize
            tile_product(
                even, vectors, depth, panels, a + i * depth * item, item, a_step, panels, b + lane * depth * item, step,
                False, at, gap, zero,
            )  # fmt: skip
            if not placed:
                keep(upright, sums, vectors * vector, height, here, first, where, bias, activation, y, zero)


@jit
def pointwise_serial(
    start: int, stop: int, pieces: int, upright: bool, x: Any, panels: Any, bias: Any, taps: Any, extent: Any,
    activation: int, zero: Any, packed: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of as many as `pieces`: whole groups, where these come out even, or else a piece of each
    group's product, whose longer side is cut: outputs or filters.

    upright: whether vectors hold filters. x, y: Tensors; panels: the weights from `weights.pack`, in panels of ROWS,
    or upright in blocks of VECTORS vectors and of one; the others as in direct_serial. packed: a row of workspace for
    each piece. It and panels are of the accumulator's type: to widen halves takes longer than their products.
    """
    simd.outlined()
    item, width = panels.itemsize, VECTORS * simd.lanes(zero)
    points, depth = outputs_of(taps), taps_of(taps) * extent.channels
    padding = memory.stack(x.data, 1)
    padding[0] = 0
    image, plane, places = memory.stack(1, _OUTPUTS), memory.stack(1, _OUTPUTS), memory.stack(1, _OUTPUTS)
    row, column = memory.stack(1, _OUTPUTS), memory.stack(1, _OUTPUTS)
    positions, steps = memory.stack(1, _OUTPUTS), memory.stack(1, _OUTPUTS)
    in_place = not upright and x.data.itemsize == item and dense(x, taps, item) and reads_all(taps)
    tall, unit = (ROWS, width) if upright else (width, ROWS)  # outputs that are packed as one, filters of a panel
    for piece in range(start, stop):
        part, parts, start_group, groups, room = piece, pieces, 0, extent.groups, aligned(packed[piece])
        if groups % pieces == 0:
            part, parts, start_group, groups = 0, 1, groups // pieces * piece, groups // pieces
        first, count, filter, filters = 0, extent.images * points, 0, extent.filters
        if count > filters:
            first, count = stripe(count, part, parts, tall)
        else:
            filter, filters = stripe(filters, part, parts, unit)
        size = even_block(count, block_outputs(depth, item), ROWS) if upright else width
        for group in range(start_group, start_group + groups):
            weights = memory.address(panels) + (group * extent.filters + filter) * depth * item
            for begin in range(first, first + count, size):
                outputs = min(size, first + count - begin)
                locate(begin, extent.images, outputs, taps, image, plane, row, column)
                for p in range(outputs):
                    places[p] = image[p] * y.image + plane[p] * y.plane + row[p] * y.row + column[p] * y.column
                a_at, b_at, b_step = weights, room, width * item
                if upright:
                    a_at, b_at = b_at, weights
                if in_place and outputs == width and image[0] == image[outputs - 1]:
                    b_at = memory.address(x.data) + group * extent.channels * x.channel
                    b_at, b_step = b_at + image[0] * x.image + begin % points * item, x.channel
                elif depth > 0:
                    read_positions(
                        x, memory.address(x.data), group * extent.channels * x.channel, taps, 0, image, plane, row,
                        column, outputs, memory.address(padding), positions, steps,
                    )  # fmt: skip
                    for i in range(0, outputs, tall):
                        some = min(tall, outputs - i)
                        pack_outputs(
                            x, depth, positions[i:], steps[i:], some, some + some % 2 if upright else width, zero,
                            packed[piece], room + i * depth * item,
                        )  # fmt: skip
                rows, lanes = (outputs, filters) if upright else (filters, outputs)
                multiply(
                    upright, rows, lanes, depth, panels, a_at, b_at, b_step, places, group * extent.filters + filter,
                    bias, activation, y, zero,
                )  # fmt: skip


@jit
def pointwise(
    upright: bool, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, packed: Any,
    threads: int, y: Any,
) -> None:  # fmt: skip
    """A 1x1 convolution, split evenly over `threads`; see pointwise_serial."""
    split(
        pointwise_serial, threads, threads,
        (threads, upright, x, panels, bias, taps, extent, activation, zero, packed, y),
    )  # fmt: skip
