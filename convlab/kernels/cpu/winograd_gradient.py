"""The gradient of the filters by tiles: Winograd's dw = Gᵀ[Σ_tiles (A dy) ∘ (Bᵀ x)], the forward form transposed.

Fourier's tiles have the same form: dw is the correlation of x with dy, whose products are summed before they are
transformed back.

For every point, M[filter, channel] = Σ_tile W[tile, filter] · V[tile, channel]. A task is a block of filters and one of
channels: it goes through all tiles of all images, some at a time, and adds to its M, which it transforms at the
end. Every sum is made by one task in the order of the tiles, so its bits depend on no thread and no block.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.2.
"""

from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd
from .microkernel import multiply
from .parallel import split
from .read_strip import clear, read_columns
from .regions import row_of
from .tile import VECTORS
from .tile_transform import points, transform_gradients, transform_sums
from .transform import TILES
from .winograd import odd_lines
from .winograd_tiles import locate_tile, read_tiles
from .write_strip import write_columns


class Block(NamedTuple):
    """filters, channels: of a task, whole vectors; tiles: transformed at a time."""

    filters: int
    channels: int
    tiles: int


@jit
def read_gradients(
    first: int, count: int, g: Any, base: int, taps: Any, filters: int, region: Any, tiles: Any, zero: Any, strip: int,
    w: int, tile_step: int, point_step: int,
) -> None:  # fmt: skip
    """Gradients of tiles first … first + count − 1, transformed, to w: [point][tile][filter]; see read_tiles.

    Past the last output there are zeros.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    m_d, m_h, m_w = region.m_d, region.m_h, region.m_w
    n_h = m_h + region.r_h - 1
    done = 0
    while done < count:
        image, d, h, col = locate_tile(first + done, region)
        together = min(region.run, count - done, region.tiles_w - col)
        d, h, col = region.first_d + d * m_d, region.first_h + h * m_h, region.first_w + col * m_w
        columns = m_w * together
        pitch = (columns | 1) * width
        inside = min(columns, taps.width - col)
        for filter in range(0, filters, vector):
            start = base + image * g.image + filter * g.channel + col * g.column
            for i in range(m_d):
                for j in range(m_h):
                    target = strip + (i * n_h + j) * pitch
                    if d + i < taps.depth and h + j < taps.height:
                        line = start + (d + i) * g.plane + (h + j) * g.row
                        lanes = min(vector, filters - filter)
                        read_columns(g.data, line, g.column, g.channel, lanes, inside, target, zero)
                        clear(target + inside * width, columns - inside, zero)
                    else:
                        clear(target, columns, zero)
            transform_gradients(
                tiles, region, strip, pitch, together, w + done * tile_step + filter // vector * width, tile_step,
                point_step, zero,
            )  # fmt: skip
        done += together


@jit
def write_filters(
    filters: int, channels: int, w: Any, base: int, region: Any, tiles: Any, zero: Any, strip: int, sums: int,
    row_step: int, point_step: int,
) -> None:  # fmt: skip
    """M, [point][filter][channel] at those distances in bytes, transformed to gradients of `filters` filters.

    w: a Tensor of weights, filters and channels its images and channels, whose taps lie side by side.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    taps = region.r_d * region.r_h * region.r_w
    for filter in range(filters):
        for channel in range(0, channels, vector):
            source = sums + filter * row_step + channel // vector * width
            result = transform_sums(tiles, region, source, point_step, strip, zero)
            target = base + filter * w.image + channel * w.channel
            lanes = min(vector, channels - channel)
            write_columns(w.data, target, w.data.itemsize, w.channel, lanes, taps, result, zero)


@jit
def _blocks(extent: Any, block: Any) -> tuple[int, int]:
    """Blocks of a group's filters and of its channels."""
    return (
        (extent.filters + block.filters - 1) // block.filters,
        (extent.channels + block.channels - 1) // block.channels,
    )


@jit
def winograd_gradient_tasks(extent: Any, block: Any) -> int:
    """Independent pieces of work: a block of filters and a block of channels of one group each."""
    rows, columns = _blocks(extent, block)
    return extent.groups * rows * columns


@jit
def winograd_gradient_serial(
    start: int, stop: int, x: Any, g: Any, taps: Any, extent: Any, region: Any, block: Any, tiles: Any, zero: Any,
    workspace: Any, w: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of a gradient of the weights; stride and dilation 1.

    x, g, w: Tensors of the input, of the outputs' gradients and of the weights. taps, extent, tiles, zero: as in
    winograd_serial; region: a Region of all outputs; workspace: this thread's, of `gradient_workspace` accumulators.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    item = width // vector
    count_of_points = points(tiles, region)
    total = extent.images * region.tiles_d * region.tiles_h * region.tiles_w
    rows, columns = _blocks(extent, block)
    v_tile, w_tile = odd_lines(block.channels * item), odd_lines(block.filters * item)
    v_point, w_point = odd_lines(block.tiles * v_tile), odd_lines(block.tiles * w_tile)
    sum_row = odd_lines(block.channels * item)
    sum_point = odd_lines((block.filters + 1) * sum_row)
    sums = memory.address(workspace)
    v = sums + count_of_points * sum_point
    factors = v + count_of_points * v_point
    strip = factors + count_of_points * w_point
    for task in range(start, stop):
        group, row, column = task // (rows * columns), task // columns % rows, task % columns
        filter, channel = row * block.filters, column * block.channels
        filters, channels = min(block.filters, extent.filters - filter), min(block.channels, extent.channels - channel)
        vectors = (channels + vector - 1) // vector
        x_base = memory.address(x.data) + (group * extent.channels + channel) * x.channel
        g_base = memory.address(g.data) + (group * extent.filters + filter) * g.channel
        for first in range(0, max(total, 1), block.tiles):
            count = min(block.tiles, total - first)
            read_tiles(first, count, x, x_base, taps, channels, region, tiles, zero, strip, v, v_tile, v_point)
            read_gradients(
                first, count, g, g_base, taps, filters, region, tiles, zero, strip, factors, w_tile, w_point
            )  # fmt: skip
            for point in range(count_of_points):
                for pair in range(0, vectors, VECTORS):
                    multiply(
                        filters, min(VECTORS, vectors - pair), count, factors + point * w_point, item, w_tile,
                        v + point * v_point + pair * width, v_tile, sums + point * sum_point + pair * width, sum_row,
                        first > 0, zero,
                    )  # fmt: skip
        w_base = memory.address(w.data) + (group * extent.filters + filter) * w.image + channel * w.channel
        write_filters(filters, channels, w, w_base, region, tiles, zero, strip, sums, sum_row, sum_point)


def gradient_workspace(region: Any, block: Block, zero: Any, tiles: Any = TILES) -> int:
    """Accumulators that a thread needs: products, both operands, a strip."""
    odd, item = odd_lines.py_func, zero.itemsize
    n_d, n_h = region.m_d + region.r_d - 1, region.m_h + region.r_h - 1
    count_of_points = tiles.points(region[3:6], region[6:9])
    operands = sum(odd(block.tiles * odd(count * item)) for count in (block.channels, block.filters))
    sums = odd((block.filters + 1) * odd(block.channels * item))
    strip = n_d * n_h * (region.run * region.m_w + 2 * region.r_w) + 2 * simd.VECTOR_BYTES // item
    return (count_of_points * (operands + sums) + strip * simd.VECTOR_BYTES) // item + count_of_points


@jit
def _share(
    start: int, stop: int, threads: int, x: Any, g: Any, taps: Any, extent: Any, regions: Any, block: Any, tiles: Any,
    zero: Any, workspace: Any, w: Any,
) -> None:  # fmt: skip
    tasks = winograd_gradient_tasks(extent, block)
    for thread in range(start, stop):
        winograd_gradient_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads, x, g, taps, extent, row_of(regions, 0), block,
            tiles, zero, workspace[thread], w,
        )  # fmt: skip


@jit
def winograd_gradient(
    x: Any, g: Any, taps: Any, extent: Any, regions: Any, block: Any, tiles: Any, zero: Any, workspace: Any,
    threads: int, w: Any,
) -> None:  # fmt: skip
    """A gradient of the weights, its tasks split evenly over `threads`; regions: a `table` of one."""
    arguments = (threads, x, g, taps, extent, regions, block, tiles, zero, workspace, w)
    split(_share, threads, threads, arguments)
