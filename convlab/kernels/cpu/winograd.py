"""Winograd's convolution, fused: a block of tiles is transformed, multiplied and transformed back inside the caches.

For every point of the transformed tiles, M[tile, filter] = Σ_c V[tile, c] · U[c, filter]: a small matrix product. A task
transforms the inputs of its tiles once, for all channels; then, one block of filters after the other, it makes the
products of all points and transforms them back, with bias and activation, into the image. Only V, a block
of M and a strip of the image exist at any time, whatever the image's size.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; fused as in Zlateski, Jia, Li and Durand,
"The Anatomy of Efficient FFT and Winograd Convolutions on Modern CPUs", 2019, section 4.
"""

from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd
from .parallel import split
from .products import multiply
from .strip import clear, finish_columns, read_columns, write_columns
from .tile import VECTORS
from .transform import INPUT, OUTPUT, apply, taps_along
from .winograd_filters import filter_blocks, filter_vectors


class Region(NamedTuple):
    """A box of outputs in tiles of one size. first: its first output, m: outputs of a tile, tiles: how many, of each axis.

    run: tiles of a row that are transformed together. block: tiles of a task; parts: shares of the filters, each a task.
    """

    first_d: int
    first_h: int
    first_w: int
    m_d: int
    m_h: int
    m_w: int
    tiles_d: int
    tiles_h: int
    tiles_w: int
    run: int
    block: int
    parts: int


@jit
def _odd_lines(size: int) -> int:
    """Bytes, rounded up to an odd number of cache lines: neighbours at that distance share no set."""
    return ((size + simd.CACHE_LINE - 1) // simd.CACHE_LINE | 1) * simd.CACHE_LINE


@jit
def tile_bytes(channels: int, zero: Any) -> int:
    """From one transformed tile to the next: its channels, with the last vector's lanes."""
    vector = simd.lanes(zero)
    return _odd_lines((channels + vector - 1) // vector * simd.VECTOR_BYTES)


@jit
def _locate(tile: int, region: Any) -> tuple[int, int, int, int]:
    """Image and tile coordinates of a tile, counted in row-major order through all images."""
    w, rest = tile % region.tiles_w, tile // region.tiles_w
    h, rest = rest % region.tiles_h, rest // region.tiles_h
    return rest // region.tiles_d, rest % region.tiles_d, h, w


@jit
def _entry(source: Any, position: int) -> int:
    """The input element at a position of the padded axis; none past its end, where the last tile may reach."""
    return source[position] if position < len(source) else -1


@jit
def _read_row(
    x: Any, line: int, points: Any, runs: Any, first: int, count: int, channels: int, target: int, zero: Any
) -> None:
    """Positions first … of the padded last axis, `count` of them, to vectors at target; line < 0 is a row of padding."""
    width = simd.VECTOR_BYTES
    i = 0
    while i < count:
        at = first + i
        length = min(runs[at], count - i) if line >= 0 and at < len(points) else 0
        if length == 0:
            length = 1 if line >= 0 and at < len(points) else count - i
            clear(target + i * width, length, zero)
        else:
            read_columns(
                x.data, line + points[at] * x.column, x.column, x.channel, channels, length, target + i * width, zero
            )  # fmt: skip
        i += length


@jit
def read_tiles(
    first: int, count: int, x: Any, base: int, taps: Any, channels: int, region: Any, axis_d: Any, axis_h: Any,
    axis_w: Any, zero: Any, strip: int, v: int, tile_step: int, point_step: int,
) -> None:  # fmt: skip
    """Tiles first … first + count − 1, transformed, to v: [point][tile][channel] at those distances in bytes."""
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    planes, lines, points, runs = taps.planes, taps.lines, taps.points, taps.runs
    r_d, r_h, r_w = taps_along(axis_d), taps_along(axis_h), taps_along(axis_w)
    m_d, m_h, m_w = region.m_d, region.m_h, region.m_w
    n_d, n_h, n_w = m_d + r_d - 1, m_h + r_h - 1, m_w + r_w - 1
    done = 0
    while done < count:
        image, d, h, w = _locate(first + done, region)
        together = min(region.run, count - done, region.tiles_w - w)
        d, h, w = region.first_d + d * m_d, region.first_h + h * m_h, region.first_w + w * m_w
        columns = m_w * together + r_w - 1
        pitch = (columns | 1) * width
        for channel in range(0, channels, vector):
            start = base + image * x.image + channel * x.channel
            for i in range(n_d):
                a = _entry(planes, d + i)
                for j in range(n_h):
                    b = _entry(lines, h + j)
                    line = -1 if (a | b) < 0 else start + a * x.plane + b * x.row
                    target = strip + (i * n_h + j) * pitch
                    _read_row(x, line, points, runs, w, columns, min(vector, channels - channel), target, zero)
            if r_d > 1:
                apply(
                    axis_d, INPUT, m_d, strip, n_h * pitch, strip, n_h * pitch, n_h * (columns | 1), width, width, zero
                )  # fmt: skip
            if r_h > 1:
                for i in range(n_d):
                    plane = strip + i * n_h * pitch
                    apply(axis_h, INPUT, m_h, plane, pitch, plane, pitch, columns, width, width, zero)
            target = v + done * tile_step + channel // vector * width
            for row in range(n_d * n_h):
                apply(
                    axis_w, INPUT, m_w, strip + row * pitch, width, target + row * n_w * point_step, point_step,
                    together, m_w * width, tile_step, zero,
                )  # fmt: skip
        done += together


@jit
def write_tiles(
    first: int, count: int, y: Any, base: int, taps: Any, filters: int, bias: int, code: int, region: Any,
    axis_d: Any, axis_h: Any, axis_w: Any, zero: Any, strip: int, sums: int, tile_step: int, point_step: int,
) -> None:  # fmt: skip
    """Products of tiles first … first + count − 1 with up to VECTORS vectors of filters, transformed back, to y.

    sums: [point][tile][filter] at those distances in bytes. bias: byte address of as many accumulators.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    r_d, r_h, r_w = taps_along(axis_d), taps_along(axis_h), taps_along(axis_w)
    m_d, m_h, m_w = region.m_d, region.m_h, region.m_w
    n_d, n_h, n_w = m_d + r_d - 1, m_h + r_h - 1, m_w + r_w - 1
    done = 0
    while done < count:
        image, d, h, w = _locate(first + done, region)
        together = min(region.run, count - done, region.tiles_w - w)
        d, h, w = region.first_d + d * m_d, region.first_h + h * m_h, region.first_w + w * m_w
        columns = m_w * together
        pitch = (columns | 1) * width
        inside = min(columns, taps.width - w)
        for filter in range(0, filters, vector):
            source = sums + done * tile_step + filter // vector * width
            for row in range(n_d * n_h):
                apply(
                    axis_w, OUTPUT, m_w, source + row * n_w * point_step, point_step, strip + row * pitch, width,
                    together, tile_step, m_w * width, zero,
                )  # fmt: skip
            if r_h > 1:
                for i in range(n_d):
                    plane = strip + i * n_h * pitch
                    apply(axis_h, OUTPUT, m_h, plane, pitch, plane, pitch, columns, width, width, zero)
            if r_d > 1:
                apply(
                    axis_d, OUTPUT, m_d, strip, n_h * pitch, strip, n_h * pitch, m_h * (columns | 1), width, width, zero
                )  # fmt: skip
            for i in range(min(m_d, taps.depth - d)):
                for j in range(min(m_h, taps.height - h)):
                    row = strip + (i * n_h + j) * pitch
                    finish_columns(row, inside, bias + filter // vector * width, code, zero)
                    target = base + image * y.image + filter * y.channel
                    target += (d + i) * y.plane + (h + j) * y.row + w * y.column
                    write_columns(
                        y.data, target, y.column, y.channel, min(vector, filters - filter), inside, row, zero
                    )  # fmt: skip
        done += together


@jit
def winograd_tasks(extent: Any, region: Any) -> int:
    """Independent pieces of work: a block of tiles and a share of the filters of one group each."""
    tiles = extent.images * region.tiles_d * region.tiles_h * region.tiles_w
    return extent.groups * ((tiles + region.block - 1) // region.block) * region.parts


@jit
def winograd_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, region: Any,
    axis_d: Any, axis_h: Any, axis_w: Any, zero: Any, workspace: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of a convolution's region; stride and dilation 1.

    x, y: Tensors; panels: from `transform_filters`; bias, taps, extent, activation, zero: as in direct_serial; axis:
    the ToomCook of each axis. workspace: this thread's, of `workspace` accumulators.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    m_d, m_h, m_w = region.m_d, region.m_h, region.m_w
    n_h, n_w = m_h + taps_along(axis_h) - 1, m_w + taps_along(axis_w) - 1
    points = (m_d + taps_along(axis_d) - 1) * n_h * n_w
    tiles = extent.images * region.tiles_d * region.tiles_h * region.tiles_w
    blocks = (tiles + region.block - 1) // region.block
    vectors = filter_vectors(extent.filters, zero)
    shares = filter_blocks(extent.filters, zero)
    v_tile, sum_tile = tile_bytes(extent.channels, zero), VECTORS * width
    rows = region.block + 1
    v_point, sum_point = _odd_lines(rows * v_tile), _odd_lines(rows * sum_tile)
    v = memory.address(workspace)
    sums = v + points * v_point
    strip = sums + points * sum_point
    biases = memory.stack_vectors(zero, VECTORS)
    for lane in range(VECTORS * vector):
        biases[lane] = 0
    before = -1
    for task in range(start, stop):
        group, block, part = task // (blocks * region.parts), task // region.parts % blocks, task % region.parts
        first = block * region.block
        count = min(region.block, tiles - first)
        if task // region.parts != before:
            base = memory.address(x.data) + group * extent.channels * x.channel
            read_tiles(
                first, count, x, base, taps, extent.channels, region, axis_d, axis_h, axis_w, zero, strip, v, v_tile,
                v_point,
            )  # fmt: skip
            before = task // region.parts
        for share in range(part * shares // region.parts, (part + 1) * shares // region.parts):
            wide = min(VECTORS, vectors - share * VECTORS)
            panel = memory.address(panels) + (group * vectors + share * VECTORS) * points * extent.channels * width
            for point in range(points):
                multiply(
                    count, wide, extent.channels, v + point * v_point, v_tile,
                    panel + point * extent.channels * wide * width, wide * width, sums + point * sum_point, sum_tile,
                    zero,
                )  # fmt: skip
            lane = share * VECTORS * vector
            filters = min(VECTORS * vector, extent.filters - lane)
            channel = group * extent.filters + lane
            if len(bias):
                for i in range(filters):
                    where = memory.address(bias) + (channel + i) * bias.itemsize
                    biases[i] = memory.load_at(bias, zero, where)
            write_tiles(
                first, count, y, memory.address(y.data) + channel * y.channel, taps, filters, memory.address(biases),
                activation, region, axis_d, axis_h, axis_w, zero, strip, sums, sum_tile, sum_point,
            )  # fmt: skip


def workspace(region: Region, r: tuple[int, int, int], channels: int, zero: Any) -> int:
    """Accumulators that a thread needs: transformed tiles, the products of a block of filters, a strip."""
    n_d, n_h, n_w = (m + taps - 1 for m, taps in zip((region.m_d, region.m_h, region.m_w), r, strict=True))
    rows, lanes, odd = region.block + 1, simd.VECTOR_BYTES // zero.itemsize, _odd_lines.py_func
    v = odd(rows * odd(-(-channels // lanes) * simd.VECTOR_BYTES))
    sums = odd(rows * VECTORS * simd.VECTOR_BYTES)
    strip = n_d * n_h * (region.run * region.m_w + r[2]) + lanes
    return (n_d * n_h * n_w * (v + sums) + strip * simd.VECTOR_BYTES) // zero.itemsize


@jit
def winograd_share(
    start: int, stop: int, tasks: int, threads: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any,
    activation: int, region: Any, axis_d: Any, axis_h: Any, axis_w: Any, zero: Any, workspace: Any, y: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1, each in its own row of the workspace."""
    for thread in range(start, stop):
        winograd_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads, x, panels, bias, taps, extent, activation,
            region, axis_d, axis_h, axis_w, zero, workspace[thread], y,
        )  # fmt: skip


@jit
def winograd(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, region: Any, axis_d: Any, axis_h: Any,
    axis_w: Any, zero: Any, workspace: Any, threads: int, y: Any,
) -> None:  # fmt: skip
    """A region of a convolution, its tasks split evenly over `threads`; see winograd_serial."""
    arguments = (
        winograd_tasks(extent, region), threads, x, panels, bias, taps, extent, activation, region, axis_d, axis_h,
        axis_w, zero, workspace, y,
    )  # fmt: skip
    split(winograd_share, threads, threads, arguments)
