"""Convolution as a matrix product, weights × patches, whose matrix of patches never exists (implicit GEMM).

A block makes a tile of filters × outputs as gemm does: slices of both factors lie twice in shared memory. A slice is
DEPTH channels of one tap. Of the weights it is a piece of the panels, which are in its order; of the patches a thread
brings four channels of one output, looked up in the tables when the tap changes (kernels.taps): the lanes of a warp are
neighbouring outputs. A padding zero is a zero behind the panels, channels that fill up a slice are zeros.
Chetlur et al., "cuDNN", 2014, section 3, for not making the matrix.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32, int64

from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .gemm import DEPTH, LARGE, SMALL, Tile, multiplied
from .geometry import entry, line_of, located
from .intrinsics import ld1, st1, st4
from .memory import address, load, load4, moved, quotient, scale_of, store
from .weights import SLACK, blocks

_ROWS = 8  # of a thread
_BROUGHT = 4  # elements of a slice of either factor that a thread brings


def tile_for(outputs: int, filters: int, item: int) -> Tile:
    """The tile for so many outputs and filters of a group, `item` bytes a sum. Its height is the panels' block.

    Large ones where filters fill them and there are enough for the SMs of a large device; float64 has no registers for
    them.
    """
    large = item == 4 and filters > SMALL.height and outputs * filters >= 128 * LARGE.width * LARGE.height
    return LARGE if large else SMALL


@functools.cache
def kernel(storage: Any, total: Any, tile: Tile, activation: int, biased: bool, even: bool) -> Any:
    """The kernel for images of numba type `storage` and sums of type `total`.

    even: channels fill pairs of slices; then a tap changes after every other slice at most, and no channel is missing.
    """
    activate, zero, item = activated(activation, total), total(0), total.bitwidth // 8
    height, width, columns, resident = tile
    threads, across, groups = tile.threads, width // columns, columns // 4
    half_rows, half_columns = height // 2, width // 2
    stage_a, stage_b = DEPTH * height, DEPTH * width
    size_a, size_b, aligned = 2 * stage_a, 2 * stage_b, 4 * item
    three = 3 * threads
    rows_b = threads // width  # channels that all threads bring at once
    slice_ = multiplied(tile, height)

    @inlined
    def channels_of(x: Any, start: Any, offset: Any, moves: Any, step: Any, left: Any) -> Any:
        """Four channels at a place in the input, `step` bytes apart; of the last `left` those that do not exist are 0.

        left: how many more there are from the first of the four on."""
        if even:
            return (
                total(load(x, start, offset, moves)),
                total(load(x, start, offset + step, moves)),
                total(load(x, start, offset + 2 * step, moves)),
                total(load(x, start, offset + 3 * step, moves)),
            )
        return (
            one_of(x, start, offset, moves, left > 0),
            one_of(x, start, offset + step, moves, left > rows_b),
            one_of(x, start, offset + 2 * step, moves, left > 2 * rows_b),
            one_of(x, start, offset + 3 * step, moves, left > 3 * rows_b),
        )

    @inlined
    def one_of(x: Any, start: Any, offset: Any, moves: Any, exists: Any) -> Any:
        value = total(load(x, start, offset if exists else 0, moves))
        return value if exists else zero

    @inlined
    def put(s_a: Any, s_b: Any, at_a: Any, at_b: Any, of_a: Any, of_b: Any) -> Any:
        """What this thread brings of the next slice."""
        st4(s_a, at_a, of_a[0], of_a[1], of_a[2], of_a[3])
        for i in range(_BROUGHT):
            st1(s_b, at_b + i * threads, of_b[i])

    @inlined
    def place(
        table: Any, i: Any, j: Any, k: Any, images: Any, places: Any, t: Any, nothing: Any,
        x_plane: Any, x_row: Any, x_column: Any,
    ) -> Any:  # fmt: skip
        """(address of what an output reads at a tap, 1, or that of a zero, 0); i, j, k: places in the table."""
        image, plane_at = ld1(images, t), ld1(places, t) + entry(table, i)
        line_at = ld1(places, t + threads) + entry(table, j)
        point_at = ld1(places, t + 2 * threads) + entry(table, k)
        line, point = line_of(table, image, plane_at, line_at, x_plane, x_row), entry(table, point_at)
        inside = point >= 0 and line != 0
        return moved(line, point, x_column) if inside else nothing, scale_of(inside)

    @inlined
    def following(i: Any, j: Any, k: Any, j_at: Any, k_at: Any, planes_at: Any) -> Any:
        """The next tap, as the places of its offsets in the table."""
        k = int32(k + 1)
        if k == planes_at:
            j, k = int32(j + 1), k_at
            if j == k_at:
                i, j = int32(i + 1), j_at
        return i, j, k

    @jit(threads, resident * 4 // item - (not even))  # what is not even takes more registers
    def im2col(
        x: Any, panels: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, channels: Any,
        filters: Any, units: Any, per_group: Any, outputs: Any, slack: Any,
        i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines: Any, plane_step: Any, line_step: Any,
        point_step: Any, depth: Any, rows: Any, line: Any,
    ) -> None:  # fmt: skip
        s_a = cuda.shared.array(size_a, total, aligned)
        s_b = cuda.shared.array(size_b, total, aligned)
        images, places = cuda.shared.array(threads, int64), cuda.shared.array(three, int32)
        sums = cuda.local.array((_ROWS, columns), total)
        own_a, own_b = cuda.local.array(_ROWS, total), cuda.local.array(columns, total)
        for f in range(_ROWS):
            for r in range(columns):
                sums[f, r] = zero
        t = cuda.threadIdx.x & (threads - 1)
        tile, unit = quotient(cuda.blockIdx.x, units)
        group, index = quotient(unit, per_group)
        low = tile * width

        # What it brings.
        image, plane, row, column = located(min(low + t % width, outputs - 1), depth, rows, line)
        image = address(x) + group * channels * x_channel + image * x_image
        j_at, k_at = i_taps, int32(i_taps + j_taps)
        planes_at = int32(k_at + k_taps)
        # Its output's place in the input waits in shared memory for the next tap: there are no registers for it.
        st1(images, t, image)
        st1(places, t, int32(planes_at + plane * plane_step))
        st1(places, t + threads, int32(planes_at + planes + row * line_step))
        st1(places, t + 2 * threads, int32(planes_at + planes + lines + column * point_step))
        nothing = address(panels) + slack * item
        first = t // width  # channel of a slice
        padded = int32((channels + DEPTH - 1) // DEPTH * DEPTH)
        slices = int32(padded // DEPTH * (i_taps * j_taps * k_taps))
        weights = address(panels) + (unit * slices * stage_a + t * _BROUGHT) * item
        put_a, put_b, step = t * _BROUGHT, t, int32(rows_b * x_channel)
        advance = int32(DEPTH * x_channel)
        offset, left = int32(first * x_channel), int32(channels)
        back = int32(padded * x_channel)
        # What it multiplies.
        up, across_ = t // across * 4, t % across * 4
        if slices > 0:
            i, j, k = int32(0), j_at, k_at
            start, moves = place(
                table, i, j, k, images, places, t, nothing, x_plane, x_row, x_column
            )  # fmt: skip
            va, vb = load4(panels, weights), channels_of(x, start, offset, moves, step, left - first)
            put(s_a, s_b, put_a, put_b, va, vb)
            cuda.syncthreads()
            n = int32(1)
            while True:  # two turns, so that where a slice lies in shared memory is a constant
                if even or n < slices:
                    offset, left = int32(offset + advance), int32(left - DEPTH)
                    if not even and left <= 0:
                        i, j, k = following(i, j, k, j_at, k_at, planes_at)
                        offset, left = int32(offset - back), channels
                        start, moves = place(
                            table, i, j, k, images, places, t, nothing, x_plane, x_row, x_column
                        )  # fmt: skip
                    weights += stage_a * item
                    va, vb = load4(panels, weights), channels_of(x, start, offset, moves, step, left - first)
                slice_(s_a, s_b, up, across_, sums, own_a, own_b)
                if not even and n >= slices:
                    break
                put(s_a, s_b, stage_a + put_a, stage_b + put_b, va, vb)
                cuda.syncthreads()
                n = int32(n + 1)
                if n < slices:
                    offset, left = int32(offset + advance), int32(left - DEPTH)
                    if left <= 0:
                        i, j, k = following(i, j, k, j_at, k_at, planes_at)
                        offset, left = int32(offset - back), channels
                        start, moves = place(
                            table, i, j, k, images, places, t, nothing, x_plane, x_row, x_column
                        )  # fmt: skip
                    weights += stage_a * item
                    va, vb = load4(panels, weights), channels_of(x, start, offset, moves, step, left - first)
                slice_(s_a, s_b, stage_a + up, stage_b + across_, sums, own_a, own_b)
                if n >= slices:
                    break
                put(s_a, s_b, put_a, put_b, va, vb)
                cuda.syncthreads()
                n = int32(n + 1)
        top = index * height + up
        for g in range(groups):
            for r in range(4):
                output = low + g * half_columns + across_ + r
                if output < outputs:
                    image, plane, row, column = located(output, depth, rows, line)
                    target = address(y) + image * y_image + plane * y_plane + row * y_row + column * y_column
                    for h in range(2):
                        for f in range(4):
                            filter_ = top + h * half_rows + f
                            if filter_ < filters:
                                channel = group * filters + filter_
                                own = total(ld1(bias, channel)) if biased else zero
                                value = storage(activate(sums[h * 4 + f, g * 4 + r] + own))
                                store(y, target + channel * y_channel, value)

    return im2col


def im2col(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0,
    *, tile: Tile = SMALL,
) -> None:  # fmt: skip
    """A convolution by implicit GEMM, with no workspace.

    x, y: Tensors of device arrays (cuda.tensor); y's origin and strides are those of the outputs that the tables
    describe. panels: the weights from cuda.weights.pack, in blocks of tile.height filters and DEPTH channels. bias: a
    device array of one storage element a channel of y, or empty. taps: Tables (cuda.geometry). activation: its code
    (cpu.epilogue). zero: of the accumulators' type: float32, for float16 too, or float64, which takes SMALL tiles.
    tile: the one that the panels are made for (`tile_for`).
    """
    outputs = extent.images * taps.outputs
    per_group = blocks(extent.filters, tile.height)
    units = extent.groups * per_group
    if outputs == 0 or units == 0:
        return
    if not 0 <= extent.channels * x.channel < 1 << 32:
        raise ValueError(f"channels {x.channel} bytes apart: those of an image must lie in order within 4 GiB")
    storage, total = from_dtype(y.data.dtype), from_dtype(np.dtype(type(zero)))
    numbers = (extent.channels, extent.filters, units, per_group, outputs, panels.size - SLACK)
    arguments = (
        x.data, panels, bias, taps.table, y.data,
        *(np.int64(n) for n in (*x[1:], *y[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    even = extent.channels % (2 * DEPTH) == 0
    grid = -(-outputs // tile.width) * units
    launch(kernel(storage, total, tile, activation, with_bias(bias), even), grid, tile.threads, arguments, stream)
