"""Depthwise convolution, channels side by side: the lanes of a warp are neighbouring filters.

A thread has a tile of outputs of one filter and goes through the columns of input that these read, from left to right:
it takes one, as high as all rows of the tile read it, and adds it to the outputs of every column that reads it. So it
reads what is under its tile once, and nothing is exchanged. What tiles share they find in L1 or L2.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32

from .compile import jit, launch
from .epilogue import activated, with_bias
from .intrinsics import ld1
from .memory import address, load, moved, quotient, store
from .window import divided, images_as_rows, source_of

_THREADS = 128
# Lines that a tile of so many rows reads, and columns that a tile reads, at the most: what registers hold, and what the
# compiler writes out.
_HEIGHT, _ACROSS = {7: 9, 4: 11}, 8


@functools.cache
def kernel(storage: Any, total: Any, block: Any, tile: Any, mapped: Any, activation: int, biased: bool) -> Any:
    """The kernel for images of numba type `storage` and sums of type `total`.

    block: (lines, points, down, along): taps of a column and of a row that are taken together, and lines and points
    between neighbouring outputs of a column and of a row. tile: (rows, columns) of outputs of a thread. mapped: as in
    window.Window.
    """
    activate, zero, item = activated(activation, total), total(0), total.bitwidth // 8
    (lines, points, down, along), (rows, columns) = block, tile
    plane_of, line_of, point_of = (source_of(axis) for axis in mapped)
    height, across = (rows - 1) * down + lines, (columns - 1) * along + points

    @jit(_THREADS, 4 if item == 4 else 2)
    def depthwise_last(
        x: Any, weights: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, channels: Any,
        filters: Any, of_group: Any, threads: Any, tiles: Any, blocks: Any, line_unit: Any, point_unit: Any,
        i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines_: Any, plane_step: Any, line_step: Any,
        point_step: Any, depth: Any, height_: Any, width: Any, i_space: Any, j_space: Any, k_space: Any, i_shift: Any,
        i_size: Any, j_shift: Any, j_size: Any, k_shift: Any, k_size: Any,
    ) -> None:  # fmt: skip
        thread = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if thread >= threads:
            return
        rest, filter_ = quotient(thread, filters)
        rest, tile = divided(rest, tiles)
        rest, block = divided(rest, blocks)
        image, plane = divided(rest, depth)
        row, column = int32(block * rows), int32(tile * columns)
        group, _ = divided(filter_, of_group)

        sums, w = cuda.local.array((rows, columns), total), cuda.local.array((lines, points), total)
        v, starts = cuda.local.array(height, total), cuda.local.array(height, int32)
        for o in range(rows):
            for q in range(columns):
                sums[o, q] = zero
        planes_at = int32(i_taps + j_taps + k_taps)
        lines_at, points_at = int32(planes_at + planes), int32(planes_at + planes + lines_)
        points_ = int32(table.size - points_at)
        x_start = moved(address(x) + image * x_image, int32(group * channels), x_channel)
        tap_step = int32(channels * filters * item)
        channel = int32(0)
        while channel < channels:
            weight = address(weights) + (channel * filters + filter_) * item
            i = int32(0)
            while i < i_taps:
                above, there = plane_of(
                    table, planes_at, planes, int32(plane * plane_step + i * i_space), i_shift, i_size
                )
                start = moved(x_start, above, x_plane)
                j = int32(0)
                while j < j_taps:
                    for r in range(height):
                        at = int32(row * line_step + j * j_space + r * line_unit)
                        line, is_line = line_of(table, lines_at, lines_, at, j_shift, j_size)
                        starts[r] = line if there and is_line else int32(-1)
                    k = int32(0)
                    while k < k_taps:
                        for m in range(lines):
                            for n in range(points):
                                w[m, n] = load(weights, weight, int32((j + m) * k_taps + k + n), tap_step)
                        for c in range(across):
                            at = int32(column * point_step + k * k_space + c * point_unit)
                            point, inside = point_of(table, points_at, points_, at, k_shift, k_size)
                            here = moved(start, point, x_column)
                            for r in range(height):
                                v[r] = total(load(x, here, starts[r], x_row)) if inside and starts[r] >= 0 else zero
                            for q in range(columns):
                                n = c - q * along
                                if 0 <= n < points:
                                    for m in range(lines):
                                        for o in range(rows):
                                            sums[o, q] += w[m, n] * v[o * down + m]
                        k = int32(k + points)
                    j = int32(j + lines)
                weight = moved(weight, j_taps * k_taps, tap_step)
                i = int32(i + 1)
            x_start += x_channel
            channel = int32(channel + 1)

        of_filter = total(ld1(bias, filter_)) if biased else zero
        target = moved(moved(address(y) + image * y_image, filter_, y_channel), plane, y_plane)
        target = moved(moved(target, row, y_row), column, y_column)
        for o in range(rows):
            for q in range(columns):
                if int32(row + o) < height_ and int32(column + q) < width:
                    place = moved(moved(target, int32(o), y_row), int32(q), y_column)
                    store(y, place, storage(activate(sums[o, q] + of_filter)))

    return depthwise_last


def tile_for(block: tuple[int, int, int, int], height: int) -> tuple[int, int]:
    """(rows, columns) of a thread, as `kernel` takes them, for outputs that high: as many as its registers hold."""
    lines, points, down, along = block
    most = next((n for n in (7, 4) if (n - 1) * down + lines <= _HEIGHT[n]), 2)
    rows = min((n for n in (1, 2, 4, 7) if n <= most), key=lambda n: -(-height // n) * (n + lines))
    return rows, next((n for n in (4, 2) if (n - 1) * along + points <= _ACROSS), 1)


def depthwise_last(
    x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0
) -> None:
    """A depthwise convolution, as cuda.depthwise; weights: [tap][channel][filter] of all groups (cuda.weights.pack in
    one block of filters)."""
    filters = extent.groups * extent.filters
    if extent.images * taps.tables.outputs * filters == 0:
        return
    taps, images, x, y = images_as_rows(taps, extent.images, x, y)
    table, (lines, down), (points, along) = taps.tables, taps.sliding(1), taps.sliding(2)
    block = (lines, points, down, along)
    rows, columns = tile_for(block, table.height)
    tiles, blocks = -(-table.width // columns), -(-table.height // rows)
    threads = images * table.depth * blocks * tiles * filters
    units = table.line_step // down, table.point_step // along
    numbers = (extent.channels, filters, extent.filters, threads, tiles, blocks, *units)
    arguments = (
        x.data, weights, bias, table.table, y.data,
        *(np.int64(n) for n in (*x[1:], *y[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    storage, total = from_dtype(y.data.dtype), from_dtype(np.dtype(type(zero)))
    own = kernel(storage, total, block, (rows, columns), taps.mapped, activation, with_bias(bias))
    launch(own, -(-threads // _THREADS), _THREADS, arguments, stream)
