"""backward_weights: a block sums up, over all outputs of all images, what filters × channels of one tap get.

The threads of a block take the outputs in turn; each holds its sums for the block of filters and channels in
registers: an outer product of the gradients at its output and of the input that the tap reads there. Neighbouring
threads take neighbouring outputs. In the end the sums of the threads are added up, always in the same order: warp by
warp in a butterfly, then the warps. So the bits are the same in every run.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32

from .compile import inlined, jit, launch
from .geometry import entry, line_of, located
from .memory import address, load, moved, quotient, scale_of, store

_WARP, _WARPS = 32, 4
_THREADS = _WARP * _WARPS
_ALL = 0xFFFFFFFF  # lanes


def sizes(filters: int, channels: int, item: int) -> tuple[int, int]:
    """Filters and channels of a block: few where a group has few, or where sums of `item` bytes fill the registers."""
    return 8 if filters > 1 else 1, 8 if channels > 4 and item == 4 else 4 if channels > 1 else 1


def share(filter_block: int, channel_block: int) -> float:
    """Of multiply-adds in the hot loop: beside them an output takes two instructions a filter, four a channel and forty
    of its own (tests/cuda_static/test_cuda_gradient.py)."""
    products = filter_block * channel_block
    return products / (products + 2 * filter_block + 4 * channel_block + 40)


@inlined
def over_warp(value: Any) -> Any:
    """The sum over the lanes of a warp, in a butterfly."""
    value += cuda.shfl_xor_sync(_ALL, value, 16)
    value += cuda.shfl_xor_sync(_ALL, value, 8)
    value += cuda.shfl_xor_sync(_ALL, value, 4)
    value += cuda.shfl_xor_sync(_ALL, value, 2)
    return value + cuda.shfl_xor_sync(_ALL, value, 1)


@functools.cache
def kernel(storage: Any, total: Any, filter_block: int, channel_block: int, whole: bool) -> Any:
    """The kernel for arrays of numba type `storage`, sums of type `total`, blocks of so many filters and channels.

    whole: all blocks are full. Elsewhere the last filter and channel are read again.
    """
    zero, one = total(0), int32(1)
    pairs = filter_block * channel_block

    @inlined
    def carried(low: Any, high: Any, length: Any) -> Any:
        """Two digits of a number, the lower one below its length again."""
        return (int32(low - length), int32(high + 1)) if low >= length else (low, high)

    @jit(_THREADS, 3 if total.bitwidth == 32 else 2)
    def gradient(
        x: Any, g: Any, table: Any, w: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any, x_column: Any,
        g_image: Any, g_channel: Any, g_plane: Any, g_row: Any, g_column: Any, w_filter: Any, w_channel: Any,
        w_i: Any, w_j: Any, w_k: Any, channels: Any, filters: Any, outputs: Any, filter_blocks: Any,
        channel_blocks: Any, i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines: Any, plane_step: Any,
        line_step: Any, point_step: Any, depth: Any, height: Any, width: Any,
    ) -> None:  # fmt: skip
        partial = cuda.shared.array((_WARPS, pairs), total)
        sums = cuda.local.array((filter_block, channel_block), total)
        a, b = cuda.local.array(filter_block, total), cuda.local.array(channel_block, total)
        for f in range(filter_block):
            for c in range(channel_block):
                sums[f, c] = zero
        t = cuda.threadIdx.x & (_THREADS - 1)
        rest, k = quotient(cuda.blockIdx.x, k_taps)
        rest, j = quotient(rest, j_taps)
        rest, i = quotient(rest, i_taps)
        rest, index = quotient(rest, channel_blocks)
        first_channel = index * channel_block
        group, index = quotient(rest, filter_blocks)
        first_filter = index * filter_block
        x_start = address(x) + (group * channels + first_channel) * x_channel
        g_start = address(g) + (group * filters + first_filter) * g_channel
        last_filter, last_channel = filters - 1 - first_filter, channels - 1 - first_channel
        planes_at = i_taps + j_taps + k_taps
        plane_at = int32(planes_at + entry(table, i))
        line_at = int32(planes_at + planes + entry(table, i_taps + j))
        point_at = int32(planes_at + planes + lines + entry(table, i_taps + j_taps + k))
        image, plane, row, column = located(t, depth, height, width)
        image, plane, row, column = int32(image), int32(plane), int32(row), int32(column)
        images_on, planes_on, rows_on, columns_on = located(_THREADS, depth, height, width)
        output = int32(t)
        while output < outputs:
            start = moved(x_start, image, x_image)
            places = int32(plane_at + plane * plane_step), int32(line_at + row * line_step)
            start = line_of(table, start, places[0], places[1], x_plane, x_row)
            point = entry(table, point_at + column * point_step)
            inside = start != 0 and point >= 0
            # A padding zero is multiplied, so that an infinite gradient makes NaN of it.
            start = moved(start, point, x_column) if inside else x_start
            moves = scale_of(inside)
            for c in range(channel_block):
                value = total(load(x, start, (c if whole else min(c, last_channel)) * x_channel, moves))
                b[c] = value if inside else zero
            here = moved(moved(g_start, image, g_image), plane, g_plane)
            here = moved(moved(here, row, g_row), column, g_column)
            for f in range(filter_block):
                a[f] = total(load(g, here, (f if whole else min(f, last_filter)) * g_channel, one))
            for f in range(filter_block):
                for c in range(channel_block):
                    sums[f, c] += a[f] * b[c]
            output = int32(output + _THREADS)
            column, row = carried(int32(column + columns_on), int32(row + rows_on), width)
            row, plane = carried(row, int32(plane + planes_on), height)
            plane, image = carried(plane, int32(image + images_on), depth)
        lane, warp = t & (_WARP - 1), t // _WARP
        for f in range(filter_block):
            for c in range(channel_block):
                value = over_warp(sums[f, c])
                if lane == 0:
                    partial[warp, f * channel_block + c] = value
        cuda.syncthreads()
        if t < pairs:
            value = partial[0, t] + partial[1, t] + (partial[2, t] + partial[3, t])
            f, c = t // channel_block, t % channel_block
            if f <= last_filter and c <= last_channel:
                target = address(w) + (group * filters + first_filter + f) * w_filter
                target += (first_channel + c) * w_channel + i * w_i + j * w_j + k * w_k
                store(w, target, storage(value))

    return gradient


def gradient(x: Any, g: Any, taps: Any, extent: Any, zero: Any, w: Any, stream: Any = 0) -> None:
    """The gradient of the weights.

    x, g: Tensors of device arrays (cuda.tensor), the input and the gradient of the output. taps: Tables
    (cuda.geometry) of the forward convolution. zero: of the accumulators' type: float32, for float16 too, or float64.
    w: the Tensor of the result (K, C/groups, *kernel), K and C as images and channels.
    """
    filter_block, channel_block = sizes(extent.filters, extent.channels, zero.itemsize)
    filter_blocks, channel_blocks = -(-extent.filters // filter_block), -(-extent.channels // channel_block)
    grid = extent.groups * filter_blocks * channel_blocks * taps.taps
    if grid == 0:
        return
    if not 0 <= extent.channels * x.channel < 1 << 32 or not 0 <= extent.filters * g.channel < 1 << 32:
        raise ValueError("the channels of an image must lie in order within 4 GiB")
    numbers = (extent.channels, extent.filters, extent.images * taps.outputs, filter_blocks, channel_blocks)
    arguments = (
        x.data, g.data, taps.table, w.data,
        *(np.int64(n) for n in (*x[1:], *g[1:], *w[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    storage, total = from_dtype(w.data.dtype), from_dtype(np.dtype(type(zero)))
    whole = extent.filters % filter_block == extent.channels % channel_block == 0
    launch(kernel(storage, total, filter_block, channel_block, whole), grid, _THREADS, arguments, stream)
