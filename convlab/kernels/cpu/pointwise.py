"""1x1 convolution as a matrix product whose operand is the image itself.

Two forms. `pointwise_pixels`: filters × channels times channels × pixels, vectors along the pixels; an image whose
pixels lie side by side is read where it lies, any other packed a panel at a time. `pointwise_filters`: pixels ×
channels times channels × filters, vectors along the filters, a block of pixels packed for all of them; for
channels_last, and for images too small to fill vectors with their pixels.

The whole reduction passes through a tile's registers: panels of even 2048 channels stay in L2, and there are no
partial sums.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .blis import aligned
from .epilogue import NONE, consecutive, finish, write
from .extent import locate, outputs_of, taps_of
from .matrix import copy_panel
from .microkernel import tile_product
from .parallel import split
from .patches import NOWHERE, find_runs, pack_patches, read_positions
from .simd import CACHE_LINE
from .tile import ROWS, TILE, VECTORS
from .weights import block, blocks

# Outputs of a block of `pointwise_filters`, at the most and where their channels take more than a quarter of L2.
TILES_BLOCK, BLOCK_BYTES = 8, 1 << 18
_OUTPUTS = TILES_BLOCK * ROWS
# Lanes of a panel of the narrowest type, and bounds of the runs of a tile: what arrays on the stack must hold.
_LANES, _TILE_RUNS = VECTORS * simd.VECTOR_BYTES, ROWS + 1


def workspace(depth: int, stored: int) -> int:
    """Elements, of `stored` bytes, that a thread packs at a time: of either form."""
    rows = max(ROWS, min(_OUTPUTS, BLOCK_BYTES // max(depth * stored, 1)))
    return max(rows * max(depth, 1), VECTORS * simd.VECTOR_BYTES * max(depth, 1)) + 2 * CACHE_LINE


@jit
def dense(t: Any, taps: Any, size: int) -> bool:
    """Whether the elements of a Tensor that are as many as the outputs lie `size` bytes apart, in their order."""
    height, width = taps.height, taps.width
    return (
        t.column == size
        and (height == 1 or t.row == width * size)
        and (taps.depth == 1 or t.plane == height * width * size)
    )


@jit
def in_order(source: Any, first: int, step: int, count: int) -> bool:
    """Whether the outputs of an axis read elements 0, 1, … of the input."""
    for o in range(count):  # noqa: SIM110 (Numba has no generator expressions)
        if source[first + o * step] != o:
            return False
    return True


@jit
def reads_all(taps: Any) -> bool:
    """Whether each output reads the input of the same place, and nothing else."""
    return (
        taps_of(taps) == 1
        and in_order(taps.planes, taps.i[0], taps.plane_step, taps.depth)
        and in_order(taps.lines, taps.j[0], taps.line_step, taps.height)
        and in_order(taps.points, taps.k[0], taps.point_step, taps.width)
    )


@jit
def pixel_panels(taps: Any, zero: Any) -> int:
    """Panels that the outputs of one image are cut into."""
    width = VECTORS * simd.lanes(zero)
    return (outputs_of(taps) + width - 1) // width


@jit
def pointwise_pixels_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any,
    packed: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1: panels of pixels, image after image of one group, group after group.

    x, y: Tensors; panels: the weights from `weights.pack`, in panels of ROWS; the others as in direct_serial.
    packed: this thread's workspace, of the storage type.
    """
    simd.outlined()
    item, vector = panels.itemsize, simd.lanes(zero)
    width = VECTORS * vector
    outputs, depth, rows = outputs_of(taps), taps_of(taps) * extent.channels, extent.filters
    per_image = pixel_panels(taps, zero)
    padding = memory.stack(x.data, 1)
    padding[0] = 0
    image, plane = memory.stack(1, _LANES), memory.stack(1, _LANES)
    row, column, positions = memory.stack(1, _LANES), memory.stack(1, _LANES), memory.stack(1, _LANES)
    sums = memory.stack_vectors(zero, TILE)
    read_in_place, write_in_place = dense(x, taps, item) and reads_all(taps), dense(y, taps, item)
    plain = len(bias) == 0 and activation == NONE and item == sums.itemsize
    for task in range(start, stop):
        group, n = task // per_image // extent.images, task // per_image % extent.images
        first = task % per_image * width
        count = min(width, outputs - first)
        vectors = (count + vector - 1) // vector
        whole = count == vectors * vector
        source = group * extent.channels * x.channel
        if not (read_in_place and write_in_place and whole):
            locate(n * outputs + first, extent.images, count, taps, image, plane, row, column)
        if read_in_place and whole:
            q, step = memory.address(x.data) + source + n * x.image + first * item, x.channel
        else:
            q, step = aligned(packed), width * item
            block_at = packed[(q - memory.address(packed)) // item :]
            pack_patches(
                x, memory.address(x.data), source, taps, extent.channels, 1, 0, depth,
                image, plane, row, column, count, memory.address(padding), zero, block_at,
            )  # fmt: skip
        for p in range(count):
            if write_in_place:
                positions[p] = n * y.image + (first + p) * item
            else:
                positions[p] = image[p] * y.image + plane[p] * y.plane + row[p] * y.row + column[p] * y.column
        joined = consecutive(positions, count, item)
        for i in range(0, rows, ROWS):
            height = min(ROWS, rows - i)
            p = memory.address(panels) + (group * rows + i) * depth * item
            target = memory.address(y.data) + (group * rows + i) * y.channel
            placed = plain and whole and joined and height % 2 == 0
            at, stride = memory.address(sums), width * sums.itemsize
            if placed:
                at, stride = target + positions[0], y.channel
            tile_product(
                height + height % 2, vectors, depth, panels, p, item, height * item, x.data, q, step, False, at, stride, zero
            )  # fmt: skip
            if not placed:
                finish(sums, width, 1, height, count, bias, group * rows + i, activation, zero)
                write(sums, width, 1, height, count, y.data, target, positions, joined, y.channel, 1, zero)


@jit
def pointwise_pixels_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: a panel of one image's pixels and one group each."""
    return extent.groups * extent.images * pixel_panels(taps, zero)


@jit
def pixels_share(
    start: int, stop: int, tasks: int, threads: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any,
    activation: int, zero: Any, packed: Any, y: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1, each in its own row of the workspace."""
    for thread in range(start, stop):
        pointwise_pixels_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads,
            x, panels, bias, taps, extent, activation, zero, packed[thread], y,
        )  # fmt: skip


@jit
def pointwise_pixels(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, packed: Any, threads: int,
    y: Any,
) -> None:  # fmt: skip
    """A 1x1 convolution with vectors of pixels, split evenly over `threads`; packed: one row a thread."""
    tasks = pointwise_pixels_tasks(extent, taps, zero)
    split(
        pixels_share, threads, threads,
        (tasks, threads, x, panels, bias, taps, extent, activation, zero, packed, y),
    )  # fmt: skip


@jit
def tall_block(outputs: int, depth: int, item: int) -> int:
    """Outputs in a block of `pointwise_filters`: whole tiles."""
    rows = max(ROWS, min(_OUTPUTS, BLOCK_BYTES // max(depth * item, 1) // ROWS * ROWS))
    blocks = (outputs + rows - 1) // rows
    return ((outputs + blocks - 1) // blocks + ROWS - 1) // ROWS * ROWS


@jit
def pack_pixels(
    x: Any, channels: int, positions: Any, steps: Any, count: int, height: int, zero: Any, packed: Any, q: int
) -> None:
    """A tile of rows: `count` outputs, which read at `positions`, over all channels, each [channel][row of height]."""
    starts, gaps = memory.stack(1, _TILE_RUNS), memory.stack(1, ROWS)
    item = x.data.itemsize
    runs = find_runs(positions, steps, count, starts, gaps)
    for run in range(runs):
        first, length = starts[run], starts[run + 1] - starts[run]
        step = 0 if steps[first] == NOWHERE else steps[first]
        if runs == 1:
            copy_panel(x.data, positions[0], gaps[0], step, count, height, channels, zero, packed, q)
        else:
            for i in range(length):
                at = positions[first] + i * gaps[run]
                for channel in range(channels):
                    memory.store_at(
                        packed, q + (channel * height + first + i) * item, memory.raw_at(x.data, at + channel * step)
                    )


@jit
def pointwise_filters_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any,
    packed: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1: panels of filters, block after block of outputs of one group, group after group.

    Parameters as pointwise_pixels_serial's; panels in blocks of VECTORS vectors and of one.
    """
    simd.outlined()
    item, vector = panels.itemsize, simd.lanes(zero)
    outputs, depth, filters = extent.images * outputs_of(taps), taps_of(taps) * extent.channels, extent.filters
    tall = tall_block(outputs, depth, item)
    tall_blocks, across = (outputs + tall - 1) // tall, blocks(filters, VECTORS * vector, vector)
    padding = memory.stack(x.data, 1)
    padding[0] = 0
    image, plane = memory.stack(1, ROWS), memory.stack(1, ROWS)
    row, column = memory.stack(1, ROWS), memory.stack(1, ROWS)
    positions, steps, places = memory.stack(1, ROWS), memory.stack(1, ROWS), memory.stack(1, _OUTPUTS)
    sums = memory.stack_vectors(zero, TILE)
    plain = len(bias) == 0 and activation == NONE and item == sums.itemsize and y.channel == item
    a_at, packed_block = aligned(packed), -1
    for task in range(start, stop):
        group, first = task // across // tall_blocks, task // across % tall_blocks * tall
        lane, lanes = block(task % across, filters, VECTORS * vector, vector)
        count = min(tall, outputs - first)
        if task // across != packed_block:
            packed_block = task // across
            for i in range(0, count, ROWS):
                rows = min(ROWS, count - i)
                locate(first + i, extent.images, rows, taps, image, plane, row, column)
                for r in range(rows):
                    places[i + r] = image[r] * y.image + plane[r] * y.plane + row[r] * y.row + column[r] * y.column
                if depth > 0:
                    read_positions(
                        x, memory.address(x.data), group * extent.channels * x.channel, taps, 0,
                        image, plane, row, column, rows, memory.address(padding), positions, steps,
                    )  # fmt: skip
                    height = rows + rows % 2
                    pack_pixels(x, depth, positions, steps, rows, height, zero, packed, a_at + i * depth * item)
        vectors = (lanes + vector - 1) // vector
        whole = lanes == vectors * vector
        q = memory.address(panels) + (group * filters + lane) * depth * item
        target = memory.address(y.data) + (group * filters + lane) * y.channel
        for i in range(0, count, ROWS):
            rows = min(ROWS, count - i)
            height, here = rows + rows % 2, places[i:]
            stride = here[1] - here[0] if rows > 1 else 0
            placed = plain and whole and rows == height and consecutive(here, rows, stride)
            at = target + here[0]
            if not placed:
                at, stride = memory.address(sums), vectors * vector * sums.itemsize
            tile_product(
                height, vectors, depth, packed, a_at + i * depth * item, item, height * item, panels, q, lanes * item,
                False, at, stride, zero,
            )  # fmt: skip
            if not placed:
                step = vectors * vector
                finish(sums, 1, step, lanes, rows, bias, group * filters + lane, activation, zero)
                joined = consecutive(here, rows, item)
                write(sums, 1, step, lanes, rows, y.data, target, here, joined, y.channel, 1, zero)


@jit
def pointwise_filters_tasks(extent: Any, taps: Any, item: int, zero: Any) -> int:
    """Independent pieces of work: a block of outputs and a panel of one group's filters each."""
    outputs, depth = extent.images * outputs_of(taps), taps_of(taps) * extent.channels
    tall, vector = tall_block(outputs, depth, item), simd.lanes(zero)
    return extent.groups * ((outputs + tall - 1) // tall) * blocks(extent.filters, VECTORS * vector, vector)


@jit
def filters_share(
    start: int, stop: int, tasks: int, threads: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any,
    activation: int, zero: Any, packed: Any, y: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1, each in its own row of the workspace."""
    for thread in range(start, stop):
        pointwise_filters_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads,
            x, panels, bias, taps, extent, activation, zero, packed[thread], y,
        )  # fmt: skip


@jit
def pointwise_filters(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, packed: Any, threads: int,
    y: Any,
) -> None:  # fmt: skip
    """A 1x1 convolution with vectors of filters, split evenly over `threads`; packed: one row a thread."""
    tasks = pointwise_filters_tasks(extent, taps, panels.itemsize, zero)
    split(
        filters_share, threads, threads,
        (tasks, threads, x, panels, bias, taps, extent, activation, zero, packed, y),
    )  # fmt: skip
