"""Winograd's F(2x2, 3x3) in one kernel: tiles are transformed, multiplied and transformed back without leaving the SM.

A block makes FILTERS filters of TILES tiles of 2 x 2 outputs. Of eight channels at a time a thread brings a tile of one
channel: 4 x 4 inputs, looked up in the tables (kernels.taps) once and masked where they are padding, transformed in
registers and put into shared memory as [point][channel][tile]; beside them go the filters, transformed ahead
(winograd_filters). There are 16 points, so 16 products of FILTERS x TILES: each of the eight warps does an even and an
odd one of them, a thread 8 x 8 sums of each. Even points make one half of shared memory, odd ones the other: while one
is multiplied the other is filled. At the end the sums, whose points are spread over the warps, go through shared memory
in four rounds to be transformed back. Where outputs are few, several blocks share the channels (partial_sums).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, for the algorithm; Yan, Wang and Chu,
"Optimizing Batched Winograd Convolution on GPUs", PPoPP 2020, for the shape of the block.
"""

import functools
import math
from typing import Any

import numpy as np
from numba import cuda, float32, from_dtype, int32

from ..cpu.epilogue import NONE
from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .geometry import entry, located
from .intrinsics import bits_float, float_bits, ld1, st4
from .memory import address, load, moved, quotient, spread_sign, store
from .partial_sums import partial_sums, parts_of
from .weights import blocks
from .winograd_block import (
    OF_FILTERS,
    OF_TILES,
    SHARED,
    THREADS,
    TILES,
    TILES_AT,
    back,
    fetched,
    half,
    put_filters,
    put_tile,
    transformed,
)  # fmt: skip
from .winograd_filters import CHANNELS, EDGE, FILTERS, OUTPUTS, POINTS, TAPS, slices

_WARP = 32
_SLOTS = 16  # filters of a round of the way back
_PITCH = SHARED // (POINTS * _SLOTS)  # between them: 16 banks further on than a multiple of all
# Blocks that are enough for a large device, and slices that are enough for a block.
_BLOCKS, _LEAST = 2 * 128, 4
_ONES = 1 + TAPS + TAPS  # offsets of taps before the sources in the table


@functools.cache
def kernel(storage: Any, activation: int, biased: bool) -> Any:
    """The kernel for images of numba type `storage`, float32 or float16."""
    activate, zero = activated(activation, float32), float32(0)

    @inlined
    def tile_of(x: Any, rows: Any, columns: Any, row_holes: Any, column_holes: Any, step: Any, v: Any) -> Any:
        """A tile of inputs; the bits of what is padding are cleared, whatever was read in its place."""
        for i in range(EDGE):
            for j in range(EDGE):
                bits = float_bits(float32(load(x, rows[i], columns[j], step)))
                v[4 * i + j] = bits_float(bits & ~row_holes[i] & ~column_holes[j])

    @inlined
    def round_(
        s: Any, sums: Any, put: Any, take: Any, h: Any, pair: Any, bias: Any, y: Any, target: Any, filter_: Any,
        filters: Any, base: Any, y_channel: Any, y_row: Any, y_column: Any, one: Any, below: Any, beside: Any,
        v: Any,
    ) -> Any:  # fmt: skip
        """Two of each group of four filters, half of all: the sums to shared memory, and back as tiles to y."""
        cuda.syncthreads()
        for q in range(2):
            for point in range(2):
                for g in range(2):
                    f = h * 4 + 2 * pair + q
                    st4(
                        s, put + (point * _SLOTS + q * 8) * _PITCH + g * (TILES // 2), sums[point, f, 4 * g],
                        sums[point, f, 4 * g + 1], sums[point, f, 4 * g + 2], sums[point, f, 4 * g + 3],
                    )  # fmt: skip
        cuda.syncthreads()
        for q in range(2):
            own = filter_ + h * (FILTERS // 2) + 2 * pair + q
            if one and own < filters:
                for point in range(POINTS):
                    v[point] = ld1(s, take + (point * _SLOTS + q * 8) * _PITCH)
                for j in range(EDGE):
                    v[j], v[4 + j] = back(v[j], v[4 + j], v[8 + j], v[12 + j])
                channel = base + own
                extra = float32(ld1(bias, channel)) if biased else zero
                to = target + channel * y_channel
                for i in range(OUTPUTS):
                    left, right = back(v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3])
                    if i == 0 or below:
                        store(y, to + i * y_row, storage(activate(left + extra)))
                        if beside:
                            store(y, to + i * y_row + y_column, storage(activate(right + extra)))

    @jit(THREADS)
    def winograd_fused(
        x: Any, panels: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, y_part: Any,
        channels: Any, filters: Any, units: Any, per_group: Any, parts: Any, share: Any, turns: Any, tiles: Any,
        down: Any, across: Any, planes: Any, depth: Any, height: Any, width: Any,
    ) -> None:  # fmt: skip
        s = cuda.shared.array(SHARED, float32, 16)
        sums = cuda.local.array((2, 8, 8), float32)
        a, b = cuda.local.array(8, float32), cuda.local.array(8, float32)
        v = cuda.local.array(POINTS, float32)
        rows, row_holes = cuda.local.array(EDGE, np.int64), cuda.local.array(EDGE, np.int32)
        columns, column_holes = cuda.local.array(EDGE, np.int32), cuda.local.array(EDGE, np.int32)
        for i in range(8):
            for j in range(8):
                sums[0, i, j] = zero
                sums[1, i, j] = zero
        t = cuda.threadIdx.x & (THREADS - 1)
        lane, warp = t & (_WARP - 1), t // _WARP
        rest, part = quotient(cuda.blockIdx.x, parts)
        block, unit = quotient(rest, units)
        group, index = quotient(unit, per_group)

        # The tile that it brings, of the warp's channel of each slice. For one that does not exist, whose filters are
        # zeros, it brings again what it has brought, or the first: so NaN comes of no input that is not the tile's.
        image, plane, row, column = located(min(block * TILES + lane, tiles - 1), depth, down, across)
        channel = int32(warp + part * share * CHANNELS)
        start = address(x) + image * x_image + group * channels * x_channel
        if channel < channels:
            start += channel * x_channel
        of_plane, lines_at = entry(table, _ONES + plane), int32(_ONES + planes)
        start = moved(start, max(of_plane, 0), x_plane)
        points_at = int32(lines_at + height + TAPS - 1)
        for i in range(EDGE):  # past the end the last line again: no output that exists takes anything of it
            source = entry(table, lines_at + min(OUTPUTS * row + i, height + TAPS - 2))
            rows[i], row_holes[i] = moved(start, max(source, 0), x_row), spread_sign(source | of_plane)
        for i in range(EDGE):
            source = entry(table, points_at + min(OUTPUTS * column + i, width + TAPS - 2))
            columns[i], column_holes[i] = int32(max(source, 0)), spread_sign(source)
        advance = CHANNELS * x_channel
        tile_at = TILES_AT + warp * TILES + lane
        weights = address(panels) + ((unit * turns + part * share) * 2 * OF_FILTERS + 4 * t) * 4
        turns = min(share, turns - part * share)
        # What it multiplies: groups of four of 8 x 4 lanes.
        up, along = lane // 4, lane % 4
        at_a = warp * CHANNELS * FILTERS + up * 4
        at_b = TILES_AT + warp * CHANNELS * TILES + along * 4
        if turns > 0:
            tile_of(x, rows, columns, row_holes, column_holes, x_column, v)
            put_filters(s, 4 * t, fetched(panels, weights))
            put_filters(s, OF_FILTERS + 4 * t, fetched(panels, weights + 4 * OF_FILTERS))
            transformed(v)
            put_tile(s, tile_at, v, 0)
            put_tile(s, tile_at, v, 1)
            cuda.syncthreads()
            for _ in range(1, turns):
                channel = int32(channel + CHANNELS)
                step = advance if channel < channels else 0
                for i in range(EDGE):
                    rows[i] += step
                tile_of(x, rows, columns, row_holes, column_holes, x_column, v)
                weights += 8 * OF_FILTERS
                brought = fetched(panels, weights)
                half(s, at_a, at_b, sums, 0, a, b)
                cuda.syncthreads()
                put_filters(s, 4 * t, brought)
                transformed(v)
                put_tile(s, tile_at, v, 0)
                brought = fetched(panels, weights + 4 * OF_FILTERS)
                half(s, at_a + OF_FILTERS, at_b + OF_TILES, sums, 1, a, b)
                cuda.syncthreads()
                put_filters(s, OF_FILTERS + 4 * t, brought)
                put_tile(s, tile_at, v, 1)
            half(s, at_a, at_b, sums, 0, a, b)
            cuda.syncthreads()
            half(s, at_a + OF_FILTERS, at_b + OF_TILES, sums, 1, a, b)

        image, plane, row, column = located(min(block * TILES + lane, tiles - 1), depth, down, across)
        target = address(y) + part * y_part + image * y_image + plane * y_plane
        target += OUTPUTS * (row * y_row + column * y_column)
        one = block * TILES + lane < tiles
        below, beside = OUTPUTS * row + 1 < height, OUTPUTS * column + 1 < width
        first, base = index * FILTERS + warp * 4, group * filters
        put, take = (2 * warp * _SLOTS + up) * _PITCH + along * 4, warp * _PITCH + lane
        for h in range(2):
            for pair in range(2):
                round_(
                    s, sums, put, take, h, pair, bias, y, target, first, filters, base, y_channel, y_row, y_column,
                    one, below, beside, v,
                )  # fmt: skip

    return winograd_fused


def tiles_of(outputs: Any) -> int:
    """Tiles of an image whose outputs are so many along each axis, of which the last two are tiled."""
    *planes, height, width = outputs
    return math.prod(planes) * -(-height // OUTPUTS) * -(-width // OUTPUTS)


def share_of(images: int, outputs: Any, groups: int, filters: int, channels: int) -> tuple[int, int]:
    """(how many blocks share the channels of an output, how many slices each of them takes).

    So many that there are two blocks for each SM of a large device, none with less to do than its own beginning and end
    are worth. outputs: along each axis.
    """
    count = -(-images * tiles_of(outputs) // TILES) * groups * blocks(filters, FILTERS)
    turns = slices(channels)
    parts = min(turns // _LEAST, _BLOCKS // max(count, 1))
    share = -(-turns // max(parts, 1))
    return (-(-turns // share) if share else 1), share


def winograd_fused(
    x: Any, filters: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0,
    *, sums: Any = None,
) -> None:  # fmt: skip
    """A convolution of 3 x 3 taps, stride and dilation 1, in tiles of 2 x 2 outputs.

    x, y: Tensors of device arrays (cuda.tensor), float32 or float16. filters: from winograd_filters. bias: a device
    array of one element a channel of y, or empty. taps: Tables (cuda.geometry). activation: its code (cpu.epilogue).
    zero: float32, the type of the sums. sums: float32 device array, as many times y's elements as blocks share the
    channels (`share_of`); without it none do.
    """
    outputs, channels = (taps.depth, taps.height, taps.width), extent.groups * extent.filters
    tiles, per_group = extent.images * tiles_of(outputs), blocks(extent.filters, FILTERS)
    units, turns = extent.groups * per_group, slices(extent.channels)
    if tiles == 0 or units == 0:
        return
    parts, share, to, sizes = 1, turns, y, (extent.images, channels, *outputs)
    if sums is not None:
        parts, share = share_of(extent.images, outputs, extent.groups, extent.filters, extent.channels)
        to = parts_of(sums, sizes, y)
    down, across = (-(-n // OUTPUTS) for n in outputs[1:])
    numbers = (
        extent.channels, extent.filters, units, per_group, parts, share, turns, tiles, down, across, taps.planes,
        *outputs,
    )  # fmt: skip
    values, own = (bias, activation) if sums is None else (bias[:0], NONE)
    arguments = (
        x.data, filters, values, taps.table, to.data,
        *(np.int64(n) for n in (*x[1:], *to[1:], 4 * math.prod(sizes))), *(np.int32(n) for n in numbers),
    )  # fmt: skip
    code = kernel(from_dtype(to.data.dtype), own, with_bias(values))
    launch(code, -(-tiles // TILES) * units * parts, THREADS, arguments, stream)
    if sums is not None:
        partial_sums(sums, parts, bias, activation, sizes, y, stream)
