"""Depthwise convolution, the lanes of a warp side by side along a row: every input is read about once.

A lane stands for a position of the padded row, an input or a zero, and holds what lies there in some rows below each
other: all that the outputs of its column read in this one. What they read in others, other lanes hold, and shuffles
bring it, and the weights, which are a warp's in common. Of an image only what surrounds a tile is read more than once,
and padding is looked up once a column and row. Narrow images lie next to each other in a warp.
Lu, Zhang and Wang, "Optimizing GPU Memory Transactions for Convolution Operations", CLUSTER 2020, whose
column reuse and row reuse these are.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32

from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .intrinsics import ld1
from .memory import address, load, moved, store
from .window import divided, images_as_rows, source_of

_WARP, _WARPS = 32, 4
_THREADS = _WARP * _WARPS
_ALL = 0xFFFFFFFF  # lanes
ROWS = (1, 2, 4, 7, 14)  # of outputs of a thread: 224 and its halves are multiples of 7
_HELD = 20  # rows of inputs that registers hold
_FIXED = 8  # rows that take as long as what a thread does besides them
_REACH = 24  # positions from the first to the last tap of a row that are taken together: a warp has 32


@functools.cache
def kernel(storage: Any, total: Any, block: Any, rows: int, mapped: Any, activation: int, biased: bool) -> Any:
    """The kernel for images of numba type `storage` and sums of type `total`.

    block: (lines, points, step): taps of a column and of a row that are taken together, and lines between the outputs
    of a column. rows: of outputs of a thread. mapped: as in Window.
    """
    activate, zero, item = activated(activation, total), total(0), total.bitwidth // 8
    lines, points, step = block
    plane_of, line_of, point_of = (source_of(axis) for axis in mapped)
    height, taps = (rows - 1) * step + lines, lines * points

    @inlined
    def own(weights: Any, start: Any, tap: Any, row: Any, stride: Any) -> Any:
        """The weight that this lane holds for its warp; row: taps of the kernel's."""
        value = zero
        if tap < taps:
            value = load(weights, start, tap // points * row + tap % points, stride)
        return value

    @inlined
    def products(values: Any, low: Any, high: Any, column: Any, sums: Any) -> Any:
        """The taps of one column times what lies there."""
        for m in range(lines):
            tap = m * points + column
            w = cuda.shfl_sync(_ALL, low if tap < _WARP else high, tap & (_WARP - 1))
            for o in range(rows):
                sums[o] += w * values[o * step + m]

    @jit(_THREADS, 5 if item == 4 else 3)
    def depthwise(
        x: Any, weights: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, channels: Any,
        strips: Any, together: Any, span: Any, of_span: Any, columns: Any, of_step: Any, tiles: Any, blocks: Any,
        unit: Any, i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines_: Any, plane_step: Any, line_step: Any,
        point_step: Any, depth: Any, height_: Any, width: Any, i_space: Any, j_space: Any, k_space: Any, i_shift: Any,
        i_size: Any, j_shift: Any, j_size: Any, k_shift: Any, k_size: Any,
    ) -> None:  # fmt: skip
        t = cuda.threadIdx.x & (_THREADS - 1)
        lane = int32(t & (_WARP - 1))
        group = int32(cuda.blockIdx.y)
        filter_ = int32(group * cuda.gridDim.z + cuda.blockIdx.z)
        first_strip = int32((cuda.blockIdx.x * _WARPS + t // _WARP) * together)
        if first_strip >= strips:
            return
        member = int32(int32(lane * of_span) >> 16)
        place, strip = int32(lane - member * span), int32(first_strip + member)
        exists = member < together and strip < strips
        rest, tile = divided(min(strip, int32(strips - 1)), tiles)
        rest, block = divided(rest, blocks)
        image, plane = divided(rest, depth)
        row = int32(block * rows)

        sums = cuda.local.array(rows, total)
        v, s = cuda.local.array(height, total), cuda.local.array(height, total)
        for o in range(rows):
            sums[o] = zero
        planes_at = int32(i_taps + j_taps + k_taps)
        lines_at, points_at = int32(planes_at + planes), int32(planes_at + planes + lines_)
        points_ = int32(table.size - points_at)
        position = int32(tile * columns * point_step + place)
        x_start = address(x) + group * channels * x_channel + image * x_image
        weight_step = int32(channels * item)  # from a tap to the next
        all_taps = int32(i_taps * j_taps * k_taps)
        channel = int32(0)
        while channel < channels:
            weight = address(weights) + filter_ * all_taps * weight_step + channel * item
            i = int32(0)
            while i < i_taps:
                above, there = plane_of(
                    table, planes_at, planes, int32(plane * plane_step + i * i_space), i_shift, i_size
                )
                there = there and exists
                j = int32(0)
                while j < j_taps:
                    first = int32(row * line_step + j * j_space)
                    k = int32(0)
                    while k < k_taps:
                        point, inside = point_of(
                            table, points_at, points_, int32(position + k * k_space), k_shift, k_size
                        )
                        inside = inside and there
                        start = moved(moved(x_start, above, x_plane), point, x_column)
                        for r in range(height):
                            line, is_line = line_of(table, lines_at, lines_, int32(first + r * unit), j_shift, j_size)
                            v[r] = total(load(x, start, line, x_row)) if inside and is_line else zero
                        of_block = moved(weight, j * k_taps + k, weight_step)
                        low, high = own(weights, of_block, lane, k_taps, weight_step), zero
                        if taps > _WARP:
                            high = own(weights, of_block, lane + _WARP, k_taps, weight_step)
                        products(v, low, high, 0, sums)
                        for n in range(1, points):
                            for r in range(height):
                                s[r] = cuda.shfl_down_sync(_ALL, v[r], int32(n * k_space))
                            products(s, low, high, n, sums)
                        k = int32(k + points)
                    j = int32(j + lines)
                weight = moved(weight, j_taps * k_taps, weight_step)
                i = int32(i + 1)
            x_start += x_channel
            channel = int32(channel + 1)

        column = int32(int32(place * of_step) >> 16)
        output = int32(tile * columns + column)
        if exists and column * point_step == place and column < columns and output < width:
            of_filter = total(ld1(bias, filter_)) if biased else zero
            target = moved(address(y) + image * y_image + filter_ * y_channel, plane, y_plane)
            target = moved(moved(target, row, y_row), output, y_column)
            for o in range(rows):
                if int32(row + o) < height_:
                    store(y, moved(target, int32(o), y_row), storage(activate(sums[o] + of_filter)))

    return depthwise


def depthwise(
    x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0
) -> None:
    """A depthwise convolution.

    x, y: Tensors of device arrays (cuda.tensor); y's origin and strides are those of the outputs that the tables
    describe. weights: [filter][tap][channel] of all groups, in the accumulators' type (cuda.weights.pack in blocks of
    one filter). bias: a device array of one storage element a channel of y, or empty. taps: a Window (cuda.window).
    activation: its code (cpu.epilogue). zero: of the accumulators' type: float32, for float16 too, or float64.
    """
    if extent.images * taps.tables.outputs * extent.groups * extent.filters == 0:
        return
    taps, images, x, y = images_as_rows(taps, extent.images, x, y)
    table, (lines, step), points = taps.tables, taps.sliding(1), taps.together(2)
    points = points if (points - 1) * taps.spaces[2] <= _REACH else 1
    reach = (points - 1) * taps.spaces[2]
    columns = min(table.width, (_WARP - 1 - reach) // table.point_step + 1)
    tiles = -(-table.width // columns)
    columns = -(-table.width // tiles)  # as even as can be
    span = (columns - 1) * table.point_step + 1 + reach
    together = _WARP // span
    rows = min((n for n in ROWS if (n - 1) * step + lines <= _HELD), key=lambda n: -(-table.height // n) * (n + _FIXED))
    blocks = -(-table.height // rows)
    strips = images * table.depth * blocks * tiles
    # Quotients of numbers below 32 are products with these, shifted.
    of_span, of_step = ((1 << 16) // n + 1 for n in (span, table.point_step))
    numbers = (
        extent.channels,
        strips,
        together,
        span,
        of_span,
        columns,
        of_step,
        tiles,
        blocks,
        table.line_step // step,
    )
    arguments = (
        x.data, weights, bias, table.table, y.data,
        *(np.int64(n) for n in (*x[1:], *y[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    storage, total = from_dtype(y.data.dtype), from_dtype(np.dtype(type(zero)))
    own = kernel(storage, total, (lines, points, step), rows, taps.mapped, activation, with_bias(bias))
    launch(own, (-(-strips // (_WARPS * together)), extent.groups, extent.filters), _THREADS, arguments, stream)
