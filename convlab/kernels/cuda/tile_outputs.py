"""Products of all points, M[point][filter][tile], into the outputs of tiles; or with tiles and filters exchanged.

As tile_inputs, the other way round. Outputs lie in shared memory before they are stored: then the lanes of a warp are
neighbouring columns of an image where M has neighbouring tiles, or neighbouring channels where it has those. Bias and
activation are applied on the way.
"""

import functools
import math
from typing import Any

import numpy as np
from numba import cuda, float32, from_dtype

from . import tiles as programs
from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .intrinsics import ld1
from .memory import address, quotient, store
from .tile_inputs import LANES, THREADS, WARP, Grid, located, pitch
from .tiles import Tiles
from .unrolled import column, keep, kept, transform


class Layout:
    """Where the outputs of `lanes` tiles, side by side, lie in shared memory: a row of every tile, then the next.

    An element between groups of tiles, or some between each two, so that elements of neighbouring tiles and of
    neighbouring columns both lie in different banks.
    """

    def __init__(self, outputs: tuple[int, int], lanes: int) -> None:
        rows, width = outputs
        common = math.gcd(width, WARP)
        # Of eight tiles a warp meets four neighbouring columns: they want tiles an odd multiple of four apart.
        self.apart, self.group = (width, WARP // common) if lanes == WARP else ((width + 3) // 8 * 8 + 4, WARP)
        self.pitch = lanes * self.apart + common
        self.size = rows * self.pitch


@functools.cache
def _writer(tiles: Tiles, lanes: int, items: int, storage: Any, code: int, biased: bool, channels_last: bool) -> Any:
    """The device function that stores what lies in shared memory. items: threads, or where tiles are neighbours warps,
    that share the work."""
    (m_h, m_w), layout = tiles.outputs, Layout(tiles.outputs, lanes)
    apart, group, row_pitch, line = layout.apart, layout.group, layout.pitch, lanes * m_w
    activate = activated(code, float32)

    @inlined
    def down(
        s: Any, at: Any, i: Any, step: Any, y: Any, place: Any, y_row: Any, left: Any, own: Any
    ) -> None:  # fmt: skip
        """Rows i, i + step, … of a column whose first has `left` rows below it."""
        while i < m_h and i < left:
            store(y, place + i * y_row, storage(activate(ld1(s, at + i * row_pitch) + own)))
            i += step

    @inlined
    def of_channels(
        s: Any, base: Any, lane: Any, item: Any, y: Any, bias: Any, unit: Any, neighbours: Any, y_image: Any,
        y_channel: Any, y_row: Any, y_column: Any, height: Any, width: Any, rows: Any, columns: Any, first: Any,
        total: Any,
    ) -> None:  # fmt: skip
        """A thread stores columns of its own tile."""
        tile, channel = quotient(unit, neighbours)
        tile += first
        if tile < total:
            own = float32(ld1(bias, channel)) if biased else float32(0)
            image, row, column = located(tile, rows, columns)
            place = address(y) + image * y_image + channel * y_channel + row * m_h * y_row
            at, j = base + lane * apart + lane // group, item
            while j < m_w and column * m_w + j < width:
                to = place + (column * m_w + j) * y_column
                down(s, at + j, 0, 1, y, to, y_row, height - row * m_h, own)
                j += items

    @inlined
    def of_tiles(
        s: Any, base: Any, lane: Any, item: Any, y: Any, bias: Any, unit: Any, neighbours: Any, y_image: Any,
        y_channel: Any, y_row: Any, y_column: Any, height: Any, width: Any, rows: Any, columns: Any, first: Any,
        total: Any,
    ) -> None:  # fmt: skip
        """A warp stores rows of all the tiles, which begin at the unit and are of one channel."""
        channel, tile = quotient(unit, neighbours)
        tile += first
        own = float32(ld1(bias, channel)) if biased else float32(0)
        c = lane
        while c < line:
            beside = c // m_w
            if tile + beside < total:
                image, row, column = located(tile + beside, rows, columns)
                j = c - beside * m_w
                if column * m_w + j < width:
                    place = address(y) + image * y_image + channel * y_channel
                    place += row * m_h * y_row + (column * m_w + j) * y_column
                    at = base + beside * apart + beside // group + j
                    down(s, at, item, items, y, place, y_row, height - row * m_h, own)
            c += WARP

    return of_channels if channels_last else of_tiles


@functools.cache
def kernel(tiles: Tiles, storage: Any, code: int, biased: bool, channels_last: bool) -> Any:
    """The kernel where a thread has a tile. channels_last: filters are neighbours in M."""
    (m_h, m_w), layout = tiles.outputs, Layout(tiles.outputs, WARP)
    apart, group, warp_size, size = layout.apart, layout.group, layout.size, layout.size * (THREADS // WARP)
    load, transformed = column(tiles.points), transform(programs.back(tiles))
    put = keep(tuple(i * layout.pitch + j for i in range(m_h) for j in range(m_w)))
    write = _writer(tiles, WARP, 1, storage, code, biased, channels_last)

    @jit(THREADS, 4)
    def tile_outputs(
        m: Any, bias: Any, y: Any, y_image: Any, y_channel: Any, y_row: Any, y_column: Any, height: Any, width: Any,
        grid_rows: Any, grid_columns: Any, first: Any, total: Any, neighbours: Any, units: Any,
    ) -> None:  # fmt: skip
        s = cuda.shared.array(size, float32, 16)
        t = cuda.threadIdx.x & (THREADS - 1)
        lane, base = t & (WARP - 1), t // WARP * warp_size
        unit = cuda.blockIdx.x * THREADS + t
        if unit < units:  # by whole warps: units are a multiple of their lanes
            values = transformed(load(m, address(m) + unit * 4, units * 4))
            put(s, base + lane * apart + lane // group, values)
            cuda.syncwarp()
            write(
                s, base, lane, 0, y, bias, unit if channels_last else unit - lane, neighbours, y_image, y_channel,
                y_row, y_column, height, width, grid_rows, grid_columns, first, total,
            )  # fmt: skip

    return tile_outputs


@functools.cache
def shared_kernel(tiles: Tiles, storage: Any, code: int, biased: bool, channels_last: bool) -> Any:
    """The kernel where n / 2 threads share a tile of n by n."""
    n, (m_h, m_w) = tiles.size[0], tiles.outputs
    lanes, items, row_pitch = LANES[n], n // 2, pitch(n)
    threads, layout, passes = lanes * items, Layout(tiles.outputs, lanes), programs.products(tiles)
    apart, group, size = layout.apart, layout.group, max(n * row_pitch, layout.size)
    alone, together = 2 * passes.across[0].inputs, passes.across[2].inputs
    load_first, first_rows = column(alone), transform(programs.side_by_side(passes.across[:2]))
    load, pair = column(together), transform(passes.across[2])
    put_rows = keep(tuple(i * row_pitch + j * lanes for i in range(2) for j in range(n)))
    get = kept(tuple(i * row_pitch for i in range(n)))
    up = transform(passes.down._replace(outputs=passes.down.outputs[:m_h]))
    put = keep(tuple(i * layout.pitch for i in range(m_h)))
    sharing = items if channels_last else threads // WARP
    write = _writer(tiles, lanes, sharing, storage, code, biased, channels_last)

    @jit(threads, 512 // threads, "tile_outputs")
    def shared_tile_outputs(
        m: Any, bias: Any, y: Any, y_image: Any, y_channel: Any, y_row: Any, y_column: Any, height: Any, width: Any,
        grid_rows: Any, grid_columns: Any, first: Any, total: Any, neighbours: Any, units: Any,
    ) -> None:  # fmt: skip
        s = cuda.shared.array(size, float32, 16)
        t = cuda.threadIdx.x & (threads - 1)
        lane, item = t & (lanes - 1), t // lanes
        unit = cuda.blockIdx.x * lanes + lane  # units are a multiple of the lanes
        source, step = address(m) + unit * 4, units * 4
        if item == 0:
            put_rows(s, lane, first_rows(load_first(m, source, step)))
        else:
            source += (alone + (item - 1) * together) * step
            put_rows(s, 2 * item * row_pitch + lane, pair(load(m, source, step)))
        cuda.syncthreads()
        one = up(get(s, item * lanes + lane))
        other = up(get(s, (item + items) * lanes + lane))
        cuda.syncthreads()
        at = lane * apart + lane // group + item
        if item < m_w:
            put(s, at, one)
        if item + items < m_w:
            put(s, at + items, other)
        cuda.syncthreads()
        write(
            s, 0, lane if channels_last else t & (WARP - 1), item if channels_last else t // WARP, y, bias,
            unit if channels_last else unit - lane, neighbours, y_image, y_channel, y_row, y_column, height, width,
            grid_rows, grid_columns, first, total,
        )  # fmt: skip

    return shared_tile_outputs


def transform_products(
    tiles: Tiles, m: Any, bias: Any, taps: Any, filters: int, grid: Grid, activation: int, channels_last: bool, y: Any,
    stream: Any = 0,
) -> None:  # fmt: skip
    """M into images.

    m: flat, float32, [point][filter][tile] or if channels_last [point][tile][filter]. bias, activation: as in
    cuda.direct. taps: the Tables that the inputs were read by. y: Tensor of a device array.
    """
    units = filters * grid.room
    if units == 0:
        return
    strides = y.image, y.channel, y.row, y.column
    numbers = (
        taps.height, taps.width, grid.rows, grid.columns, grid.first, grid.total,
        filters if channels_last else grid.room, units,
    )  # fmt: skip
    choice = tiles, from_dtype(y.data.dtype), activation, with_bias(bias), channels_last
    if tiles.shared:
        n = tiles.size[0]
        own, per_block, threads = shared_kernel(*choice), LANES[n], LANES[n] * n // 2
    else:
        own, per_block, threads = kernel(*choice), THREADS, THREADS
    arguments = (m, bias, y.data, *(np.int64(n) for n in (*strides, *numbers)))
    launch(own, -(-units // per_block), threads, arguments, stream)
