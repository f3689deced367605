"""Winograd's convolution, fused: a block of tiles is transformed, multiplied and transformed back inside the caches.

For every point of the transformed tiles, M[tile, filter] = Σ_c V[tile, c] · U[c, filter]: a small matrix product. A
task transforms the inputs of its tiles once, for all channels; then, one block of filters after the other, it makes
the products of all points and transforms them back, with bias and activation, into the image. Only V, a block of M
and a strip of the image exist at any time, whatever the image's size.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; fused as in Zlateski, Jia, Li and Durand,
"The Anatomy of Efficient FFT and Winograd Convolutions on Modern CPUs", 2019, section 4.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .microkernel import multiply
from .parallel import split
from .regions import Region, row_of
from .tile import VECTORS
from .tile_transform import points
from .transform import TILES
from .winograd_filters import filter_blocks, filter_vectors
from .winograd_tiles import read_tiles, write_tiles


@jit
def odd_lines(size: int) -> int:
    """Bytes, rounded up to an odd number of cache lines: neighbours at that distance share no set."""
    return ((size + simd.CACHE_LINE - 1) // simd.CACHE_LINE | 1) * simd.CACHE_LINE


@jit
def tile_bytes(channels: int, zero: Any) -> int:
    """From one transformed tile to the next: its channels, with the last vector's lanes."""
    vector = simd.lanes(zero)
    return odd_lines((channels + vector - 1) // vector * simd.VECTOR_BYTES)


@jit
def winograd_tasks(extent: Any, region: Any) -> int:
    """Independent pieces of work: a block of tiles and a share of the filters of one group each."""
    total = extent.images * region.tiles_d * region.tiles_h * region.tiles_w
    return extent.groups * ((total + region.block - 1) // region.block) * region.parts


@jit
def winograd_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, region: Any,
    tiles: Any, zero: Any, workspace: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of a convolution's region; stride and dilation 1.

    x, y: Tensors; panels: from `transform_filters`; bias, taps, extent, activation, zero: as in direct_serial; tiles:
    the ToomCook. workspace: this thread's, of `workspace` accumulators.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    count_of_points = points(tiles, region)
    total = extent.images * region.tiles_d * region.tiles_h * region.tiles_w
    blocks = (total + region.block - 1) // region.block
    vectors = filter_vectors(extent.filters, zero)
    shares = filter_blocks(extent.filters, zero)
    v_tile, sum_tile = tile_bytes(extent.channels, zero), VECTORS * width
    rows = region.block + 1
    v_point, sum_point = odd_lines(rows * v_tile), odd_lines(rows * sum_tile)
    v = memory.address(workspace)
    sums = v + count_of_points * v_point
    strip = sums + count_of_points * sum_point
    biases = memory.stack_vectors(zero, VECTORS)
    for lane in range(VECTORS * vector):
        biases[lane] = 0
    before = -1
    for task in range(start, stop):
        group, block, part = task // (blocks * region.parts), task // region.parts % blocks, task % region.parts
        first = block * region.block
        count = min(region.block, total - first)
        if task // region.parts != before:
            base = memory.address(x.data) + group * extent.channels * x.channel
            read_tiles(
                first, count, x, base, taps, extent.channels, region, tiles, zero, strip, v, v_tile,
                v_point,
            )  # fmt: skip
            before = task // region.parts
        for share in range(part * shares // region.parts, (part + 1) * shares // region.parts):
            wide = min(VECTORS, vectors - share * VECTORS)
            panel = memory.address(panels) + region.panel * panels.itemsize
            panel += (group * vectors + share * VECTORS) * count_of_points * extent.channels * width
            for point in range(count_of_points):
                multiply(
                    count, wide, extent.channels, v + point * v_point, v_tile, width // vector,
                    panel + point * extent.channels * wide * width, wide * width, sums + point * sum_point, sum_tile,
                    False, zero,
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
                activation, region, tiles, zero, strip, sums, sum_tile, sum_point,
            )  # fmt: skip


def workspace(region: Region, channels: int, zero: Any, tiles: Any = TILES) -> int:
    """Accumulators that a thread needs: transformed tiles, the products of a block of filters, a strip."""
    n_d, n_h = region.m_d + region.r_d - 1, region.m_h + region.r_h - 1
    rows, lanes, odd = region.block + 1, simd.VECTOR_BYTES // zero.itemsize, odd_lines.py_func
    v = odd(rows * odd(-(-channels // lanes) * simd.VECTOR_BYTES))
    sums = odd(rows * VECTORS * simd.VECTOR_BYTES)
    strip = n_d * n_h * (region.run * region.m_w + region.r_w | 1) + lanes
    return (tiles.points(region[3:6], region[6:9]) * (v + sums) + strip * simd.VECTOR_BYTES) // zero.itemsize


@jit
def _share(
    start: int, stop: int, threads: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int,
    regions: Any, tiles: Any, zero: Any, workspace: Any, y: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1 in every region, each in its own row of the workspace."""
    for thread in range(start, stop):
        for i in range(len(regions)):
            region = row_of(regions, i)
            tasks = winograd_tasks(extent, region)
            winograd_serial(
                tasks * thread // threads, tasks * (thread + 1) // threads, x, panels, bias, taps, extent, activation,
                region, tiles, zero, workspace[thread], y,
            )  # fmt: skip


@jit
def winograd(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, regions: Any, tiles: Any, zero: Any,
    workspace: Any, threads: int, y: Any,
) -> None:  # fmt: skip
    """A convolution, every region's tasks split evenly over `threads`; see winograd_serial. regions: from `table`."""
    arguments = (
        threads, x, panels, bias, taps, extent, activation, regions, tiles, zero, workspace, y,
    )  # fmt: skip
    split(_share, threads, threads, arguments)
