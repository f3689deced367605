"""Windows of images, or of filters, into points: V[point][channel][tile], or with tiles and channels exchanged.

Neighbouring threads are neighbours in V, so that every store is of whole sectors; what they read of an image overlaps,
and comes from L1. A thread takes a tile in registers. Of two-dimensional Fourier tiles each thread takes two columns,
then, exchanged through shared memory, two rows: Vasilache et al., "Fast Convolutional Nets With fbfft", 2015, section
5, except that lanes of a warp are tiles, not elements of one: all of them take the same steps, and meet no bank twice.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, float32

from . import tiles as programs
from .compile import inlined, jit, launch
from .memory import address, quotient
from .tiles import Passes, Tiles
from .unrolled import keep, kept, transform, window, write_column

WARP = 32
THREADS = 128  # of a block, where each has a tile of its own
LANES = {8: 32, 16: 32, 32: 8}  # tiles of a block, by the points of a row, where they share them


class Grid(NamedTuple):
    """The tiles of a launch: rows and columns of them in an image; the first, counted through all images, how many the
    images have, and how many V has room for: those past the last are the last one again."""

    rows: int
    columns: int
    first: int
    total: int
    room: int


def pitch(n: int) -> int:
    """Elements of a row of shared tiles; of the eight tiles of 32 points a warp meets four rows."""
    return n * LANES[n] + (4 if LANES[n] < WARP else 0)


@inlined
def located(tile: Any, rows: Any, columns: Any) -> Any:
    """(image, row, column) of a tile, counted through all images."""
    rest, column = quotient(tile, columns)
    image, row = quotient(rest, rows)
    return image, row, column


@functools.cache
def kernel(tiles: Tiles, of_filters: bool, channels_last: bool) -> Any:
    """The kernel where a thread has a tile. channels_last: channels are neighbours in V."""
    passes, (rows, columns) = _passes(tiles, of_filters)
    load, transformed = window(rows, columns), transform(programs.forth(passes, columns))

    @jit(THREADS, 4)
    def tile_inputs(
        x: Any, table: Any, v: Any, x_image: Any, x_channel: Any, x_row: Any, x_column: Any, lines_at: Any,
        points_at: Any, height: Any, width: Any, grid_rows: Any, grid_columns: Any, first: Any, total: Any,
        neighbours: Any, units: Any, start: Any, step: Any,
    ) -> None:  # fmt: skip
        unit = cuda.blockIdx.x * THREADS + (cuda.threadIdx.x & (THREADS - 1))
        if unit < units:
            channel, tile = quotient(unit, neighbours)
            if channels_last:
                channel, tile = tile, channel
            image, row, column = located(min(first + tile, total - 1), grid_rows, grid_columns)
            source = address(x) + image * x_image + channel * x_channel
            values = load(
                x, table, source, lines_at + row * height, points_at + column * width, x_row, x_column
            )  # fmt: skip
            write_column(v, address(v) + (start + unit) * 4, step * 4, transformed(values))

    return tile_inputs


@functools.cache
def shared_kernel(tiles: Tiles, of_filters: bool, channels_last: bool) -> Any:
    """The kernel where n / 2 threads share a tile of n by n."""
    passes, (n, _) = _passes(tiles, of_filters)
    lanes, items, row_pitch = LANES[n], n // 2, pitch(n)
    threads, size = lanes * items, n * row_pitch
    load, down = window(n, 1), transform(passes.down)
    put = keep(tuple(i * row_pitch for i in range(n)))
    rows = kept(tuple(i * row_pitch + j * lanes for i in range(2) for j in range(n)))
    first_rows = transform(programs.side_by_side(passes.across[:2]))
    pair = transform(passes.across[2])
    alone, together = 2 * len(passes.across[0].outputs), len(passes.across[2].outputs)

    @jit(threads, 512 // threads, "tile_inputs")
    def shared_tile_inputs(
        x: Any, table: Any, v: Any, x_image: Any, x_channel: Any, x_row: Any, x_column: Any, lines_at: Any,
        points_at: Any, height: Any, width: Any, grid_rows: Any, grid_columns: Any, first: Any, total: Any,
        neighbours: Any, units: Any, start: Any, step: Any,
    ) -> None:  # fmt: skip
        s = cuda.shared.array(size, float32, 16)
        t = cuda.threadIdx.x & (threads - 1)
        lane, item = t & (lanes - 1), t // lanes
        # A block has as many tiles as lanes: units are a multiple of that, or those past the last do not store.
        unit = cuda.blockIdx.x * lanes + lane
        channel, tile = quotient(min(unit, units - 1), neighbours)
        if channels_last:
            channel, tile = tile, channel
        image, row, column = located(min(first + tile, total - 1), grid_rows, grid_columns)
        source = address(x) + image * x_image + channel * x_channel
        line, point = lines_at + row * height, points_at + column * width + item
        put(s, item * lanes + lane, down(load(x, table, source, line, point, x_row, x_column)))
        point += items
        put(s, (item + items) * lanes + lane, down(load(x, table, source, line, point, x_row, x_column)))
        cuda.syncthreads()
        values = rows(s, 2 * item * row_pitch + lane)
        if unit < units:
            target = address(v) + (start + unit) * 4
            if item == 0:
                write_column(v, target, step * 4, first_rows(values))
            else:
                target += (alone + (item - 1) * together) * step * 4
                write_column(v, target, step * 4, pair(values))

    return shared_tile_inputs


def _passes(tiles: Tiles, of_filters: bool) -> tuple[Passes, tuple[int, int]]:
    """The transform, and the rows and columns of its window."""
    if of_filters:
        return programs.filters(tiles), tiles.filter_size
    return programs.inputs(tiles), tiles.size


def _launch(tiles: Tiles, of_filters: bool, channels_last: bool, arguments: Any, units: int, stream: Any) -> None:
    if units == 0:
        return
    if tiles.shared:
        n = tiles.size[0]
        own, per_block, threads = shared_kernel(tiles, of_filters, channels_last), LANES[n], LANES[n] * n // 2
    else:
        own, per_block, threads = kernel(tiles, of_filters, channels_last), THREADS, THREADS
    launch(own, -(-units // per_block), threads, arguments, stream)


def transform_inputs(
    tiles: Tiles, x: Any, taps: Any, channels: int, grid: Grid, channels_last: bool, v: Any, stream: Any = 0
) -> None:
    """Windows of images into V.

    x: Tensor of a device array (cuda.tensor), float32 or float16. taps: Tables (cuda.geometry) whose axes reach as far
    as the tiles do. channels_last: V is [point][tile][channel], else [point][channel][tile]. v: flat, float32.
    """
    units = channels * grid.room
    lines_at = taps.i + taps.j + taps.k + taps.planes
    numbers = (
        lines_at, lines_at + taps.lines, *tiles.outputs, grid.rows, grid.columns, grid.first, grid.total,
        channels if channels_last else grid.room, units, 0, units,
    )  # fmt: skip
    strides = x.image, x.channel, x.row, x.column
    arguments = (x.data, taps.table, v, *(np.int64(n) for n in (*strides, *numbers)))
    _launch(tiles, False, channels_last, arguments, units, stream)


def transform_filters(
    tiles: Tiles, w: Any, table: Any, filters: int, channels: int, filters_last: bool, u: Any, start: int, step: int,
    stream: Any = 0,
) -> None:  # fmt: skip
    """The filters of a group into U: for each point a matrix of filters × channels, or if `filters_last` the transpose.

    w: Tensor of a device array whose images are filters. table: int32 on the device, the tap of each place of a row of
    the window and then of a column, −1 where none is. u: flat, float32; start: where the group begins, step: elements
    from point to point.
    """
    units = filters * channels
    numbers = (
        0,
        tiles.filter_size[0],
        0,
        0,
        1,
        1,
        0,
        filters,
        filters if filters_last else channels,
        units,
        start,
        step,
    )
    strides = w.image, w.channel, w.row, w.column
    arguments = (w.data, table, u, *(np.int64(n) for n in (*strides, *numbers)))
    _launch(tiles, True, not filters_last, arguments, units, stream)
