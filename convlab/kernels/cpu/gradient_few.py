"""backward_weights for few filters a group: depthwise layers, image filters, signals.

Where filters are too few to fill a vector, vectors hold neighbouring outputs of a row: a tile is ROWS taps, each the
elementwise sum of gradients times what the tap reads, and the lanes are added up at the end. A task is one filter, one
channel and a block of taps; its blocks are on the stack.
"""

from typing import Any

from ..compile import jit
from . import memory, simd, tile
from .extent import taps_of
from .gradient import Blocks, cut, order_pairs, pieces, some_taps
from .gradient_window import box_at, clear, copy, locate_outputs, locate_pairs, pack_window, window_of
from .parallel import split
from .tile import ROWS

BLOCKS = Blocks(panels=1, pairs=32, taps=32, outputs=224, window=224 * 32 * 8)
_SUMS, _GRADIENTS = BLOCKS.pairs + ROWS, BLOCKS.outputs
# A window of one channel may be spread by two cache lines, and its last vector is read whole.
_WINDOW = (BLOCKS.window + 2 * simd.CACHE_LINE) // simd.VECTOR_BYTES + 1
_MAX_PAIRS, _MAX_OUTPUTS = _SUMS, BLOCKS.outputs + 1


@jit
def add_rows(
    total: Any, window: Any, pairs: Any, shifts: Any, lines: int, width: int, gradients: Any, zero: Any, sums: Any,
    position: int,
) -> None:  # fmt: skip
    """The tile of sums at `position` += over all outputs of a box: `lines` rows of `width`.

    total: a tile of zeros; pairs: byte addresses of its taps at output 0; shifts: bytes from there to each output's.
    """
    simd.outlined()
    total = tile.load(total, sums, position)
    vector, item = simd.lanes(zero), gradients.itemsize
    given = memory.address(gradients)
    for line in range(lines):
        shift = shifts[line * width]
        for w in range(0, width, vector):
            total = tile.inner_shifted(total, window, pairs, shift, gradients, given, width - w)
            shift += vector * item
            given += vector * item
    tile.store(total, sums, position)


@jit
def few_tasks(taps: Any, extent: Any, zero: Any) -> int:
    """Filters × the channels of a group × blocks of taps."""
    size = cut(taps, extent, BLOCKS, 1, False, True, zero, memory.stack(zero, 1).itemsize)
    blocks = pieces(len(taps.i), size.i) * pieces(len(taps.j), size.j) * pieces(len(taps.k), size.k)
    return extent.groups * extent.filters * extent.channels * blocks


@jit
def few_gradient_serial(start: int, stop: int, x: Any, g: Any, taps: Any, extent: Any, zero: Any, w: Any) -> None:
    """Tasks start … stop − 1 of the gradient of the weights of real data; parameters as gradient_serial's."""
    simd.outlined()
    sums, window = memory.stack_vectors(zero, _SUMS), memory.stack_vectors(zero, _WINDOW)
    gradients = memory.stack_vectors(zero, _GRADIENTS)
    pairs, shifts, sources = memory.stack(1, _MAX_PAIRS), memory.stack(1, _MAX_OUTPUTS), memory.stack(1, _MAX_OUTPUTS)
    rows, places = memory.stack(1, _MAX_PAIRS), memory.stack(1, _MAX_PAIRS)
    vector, item = simd.lanes(zero), sums.itemsize
    size = cut(taps, extent, BLOCKS, 1, False, True, zero, item)
    blocks_j, blocks_k = pieces(len(taps.j), size.j), pieces(len(taps.k), size.k)
    blocks_i = pieces(len(taps.i), size.i)
    for task in range(start, stop):
        k, rest = task % blocks_k * size.k, task // blocks_k
        j, rest = rest % blocks_j * size.j, rest // blocks_j
        i, rest = rest % blocks_i * size.i, rest // blocks_i
        c, filter_ = rest % extent.channels, rest // extent.channels
        some = some_taps(taps, i, size.i, j, size.j, k, size.k)
        source = memory.address(x.data) + (filter_ // extent.filters * extent.channels + c) * x.channel
        given, count = memory.address(g.data) + filter_ * g.channel, taps_of(some)
        clear((count + ROWS) * vector, sums, 0)
        for n in range(0, extent.images, size.images):
            images = min(size.images, extent.images - n)
            for d in range(0, taps.depth, size.depth):
                for h in range(0, taps.height, size.height):
                    for v in range(0, taps.width, size.width):
                        box = box_at(n, images, d, size.depth, h, size.height, v, size.width, some, True)
                        layout = window_of(box, 1, 1, False, item)
                        outputs = locate_outputs(box, layout, g, 1, item, shifts, sources)
                        locate_pairs(box, layout, some, 1, memory.address(window), item, pairs)
                        for row in range(count, count + ROWS):
                            pairs[row] = pairs[count - 1]
                        pack_window(x, source, some, box, 1, 1, layout, zero, window)
                        width, at = box.width.outputs, 0
                        for line in range(0, outputs, width):
                            copy(g.data, given + sources[line], g.column, width, 1, zero, gradients, at)
                            at += (width + vector - 1) // vector * vector
                        for row in range(0, count, ROWS):
                            add_rows(
                                tile.zeros(zero, ROWS, 1), window, tile.addresses(pairs, row, ROWS), shifts,
                                outputs // width, width, gradients, zero, sums, row * vector,
                            )  # fmt: skip
        order_pairs(some, 1, w, rows, places)
        target = memory.address(w.data) + filter_ * w.image + c * w.channel + i * w.plane + j * w.row + k * w.column
        for m in range(count):
            total = sums[rows[m] * vector]
            for lane in range(1, vector):
                total += sums[rows[m] * vector + lane]
            memory.store_at(w.data, target + places[m], simd.cast_like(total, zero))  # Numba widens integers


@jit
def few_gradient(x: Any, g: Any, taps: Any, extent: Any, zero: Any, threads: int, w: Any) -> None:
    """The gradient of the weights of few filters a group, its tasks split evenly over `threads`."""
    split(few_gradient_serial, few_tasks(taps, extent, zero), threads, (x, g, taps, extent, zero, w))
