"""backward_weights as a matrix product: windows (taps · channels × outputs) · gradients (outputs × filters).

A task is a block of filters, one of channels and one of taps; it goes through all outputs of all images, a box at a
time. Of each box it packs the window of the input once for all taps and the gradients once for all of these, and
adds to its sums: a tile is ROWS (tap, channel) pairs × vectors of filters. The pair's place in the window and the
output's are two tables, so that no geometry is left in the inner loop. Every sum is made by one task, output after
output, so the bits depend neither on the threads nor on the blocks. im2col gives it large blocks from the
workspace, direct small ones on the stack.
"""

from typing import Any, NamedTuple

from ..compile import jit
from ..taps import Taps
from . import memory, simd, tile, transpose
from .epilogue import consecutive
from .extent import taps_of
from .gradient_window import box_at, clear, copy, locate_outputs, locate_pairs, pack_window, window_of
from .parallel import split
from .tile import ROWS, VECTORS


class Blocks(NamedTuple):
    """What a task takes at the most: panels of filters, (tap, channel) pairs, taps, outputs of a box (complex ones
    count twice), bytes of a window."""

    panels: int
    pairs: int
    taps: int
    outputs: int
    window: int


class Cut(NamedTuple):
    """How a problem is cut: panels of filters, channels and taps of a task, and images, planes, rows and columns of
    outputs in a box; the number of tasks."""

    panels: int
    channels: int
    i: int
    j: int
    k: int
    images: int
    depth: int
    height: int
    width: int
    tasks: int


# A box's panel of gradients (224 steps of 128 bytes with AVX-512) fits L1, sums, window and panels together L2.
LARGE = Blocks(panels=4, pairs=1024, taps=128, outputs=224, window=1 << 18)
SMALL = Blocks(panels=2, pairs=84, taps=16, outputs=56, window=1 << 13)
# Rows of the tile that does a few pairs left over.
FEW = ROWS // 4 * 2 + 2


def _sizes(blocks: Blocks) -> tuple[int, int, int]:
    """Vectors of sums, window and gradients; a window of one channel may be spread by two cache lines."""
    sums = blocks.panels * VECTORS * (blocks.pairs + ROWS)
    window = (blocks.window + 2 * simd.CACHE_LINE) // simd.VECTOR_BYTES
    return sums, window, blocks.panels * VECTORS * blocks.outputs


LARGE_VECTORS = _sizes(LARGE)
_SUMS, _WINDOW, _GRADIENTS = _sizes(SMALL)
# What arrays on the stack must hold.
_MAX_PAIRS, _MAX_OUTPUTS = LARGE.pairs + ROWS, LARGE.outputs + 1


@jit
def pieces(count: int, most: int) -> int:
    """Parts of `most` that `count` is cut into, the last perhaps smaller."""
    return (count + most - 1) // most


@jit
def _even(count: int, most: int) -> int:
    """The size of as many parts that are about equal."""
    return pieces(count, max(pieces(count, max(most, 1)), 1))


@jit
def _channels_inside(x: Any, parts: int) -> bool:
    """Whether channels and not columns are neighbours in memory."""
    return x.channel == x.data.itemsize * parts and x.column != x.data.itemsize * parts


@jit
def some_taps(taps: Any, i: int, depth: int, j: int, height: int, k: int, width: int) -> Taps:
    """The taps of a block that starts at tap (i, j, k)."""
    return Taps(
        taps.planes, taps.lines, taps.points, taps.i[i : i + depth], taps.j[j : j + height], taps.k[k : k + width],
        taps.plane_step, taps.line_step, taps.point_step, taps.depth, taps.height, taps.width, taps.runs,
    )  # fmt: skip


@jit
def cut(
    taps: Any, extent: Any, blocks: Any, threads: int, inner: bool, dense: bool, zero: Any, item: int
) -> Cut:  # fmt: skip
    """Blocks as large as allowed, in a number of tasks that the threads share evenly; item: bytes of a sum.

    inner, dense: of windows, as window_of and span take them.
    """
    k = _even(len(taps.k), blocks.taps)
    j = _even(len(taps.j), blocks.taps // k)
    i = _even(len(taps.i), blocks.taps // (k * j))
    width = _even(taps.width, blocks.outputs // extent.parts)
    room = blocks.outputs // extent.parts // width if width == taps.width else 1
    height = _even(taps.height, room)
    room = room // height if height == taps.height else 1
    depth = _even(taps.depth, room)
    images = max(_even(extent.images, room // depth if depth == taps.depth else 1), 1)

    box = box_at(0, images, 0, depth, 0, height, 0, width, some_taps(taps, 0, i, 0, j, 0, k), dense)
    most = blocks.window // item
    channels = min(extent.channels, max(blocks.pairs // (i * j * k), 1))
    while channels > 1 and window_of(box, channels, extent.parts, inner, item).size > most:
        channels -= 1

    wide = VECTORS * simd.lanes(zero)
    panels = pieces(extent.filters * extent.parts, wide)
    others = extent.groups * pieces(len(taps.i), i) * pieces(len(taps.j), j) * pieces(len(taps.k), k)
    down, across = pieces(panels, blocks.panels), pieces(extent.channels, channels)
    while others * down * across % threads and others * down * across < 4 * threads:
        filters, pairs = pieces(panels, down) * wide, pieces(extent.channels, across) * i * j * k
        if down < panels and (filters >= pairs or across == extent.channels):
            down += 1
        elif across < extent.channels:
            across += 1
        else:
            break
    panels_each, channels = pieces(panels, down), pieces(extent.channels, across)
    tasks = others * pieces(panels, panels_each) * pieces(extent.channels, channels)
    return Cut(panels_each, channels, i, j, k, images, depth, height, width, tasks)


@jit
def pack_gradients(
    g: Any, base: int, lanes: int, places: Any, count: int, parts: int, zero: Any, panels: Any
) -> None:  # fmt: skip
    """`lanes` lanes of gradients, from the filter at byte address `base` on, at `count` outputs: [panel][step][lane].

    places: where the outputs lie, in bytes from `base`. A step is an output, for complex data an output and a part of
    x, with the rule of complex multiplication.
    """
    simd.outlined()
    vector, item = simd.lanes(zero), g.data.itemsize
    wide, rows = VECTORS * vector, memory.stack_vectors(1, 8)
    steps = count * parts
    for lane in range(0, lanes, vector):
        here = min(vector, lanes - lane)
        target = lane // wide * steps * wide + lane % wide
        first = base + lane // parts * g.channel
        if parts == 1 and g.channel == item:
            for p in range(count):
                copy(g.data, first + places[p], item, here, 1, zero, panels, target + p * wide)
            continue
        square = here == vector and parts == 1 and count >= vector and transpose.transposes(zero)
        if square:
            for r in range(vector):
                rows[r] = first + r * g.channel
        for start in range(0, count, vector):
            p = min(start, count - vector) if square else start  # the last square overlaps the one before
            if square and consecutive(places[p:], vector, item):
                at = memory.address(panels) + (target + p * wide) * panels.itemsize
                transpose.turn_rows(g.data, rows, 0, places[p], panels, at, wide * panels.itemsize, zero)
                continue
            for output in range(p, min(p + vector, count)):
                for part in range(parts):
                    for r in range(here):
                        own = (lane + r) % parts
                        address = first + places[output] + r // parts * g.channel + (part ^ own) * item
                        value = memory.load_at(g.data, zero, address)
                        panels[target + (output * parts + part) * wide + r] = -value if part > own else value


@jit
def add_products(
    total: Any, more: bool, window: Any, pairs: Any, outputs: Any, steps: int, panels: Any, panel: int, zero: Any,
    sums: Any, position: int,
) -> None:  # fmt: skip
    """The tile of sums at `position` = (or with `more` +=) Σ over steps of window[pair + output] ⊗ panel[step].

    total: a tile of zeros. pairs: byte addresses of its rows at output 0, as a tuple; outputs: bytes from there to
    each step's. panel: byte address of the first step's row.
    """
    simd.outlined()
    if more:
        total = tile.load(total, sums, position)
    entry, wide = memory.address(outputs), VECTORS * simd.lanes(zero) * panels.itemsize
    shift = memory.raw_at(outputs, entry)
    for _ in range(steps):
        total = tile.outer_shifted(total, window, pairs, shift, panels, panel)
        # A step ahead: where LLVM finds the load before its use, it runs out of registers.
        entry += outputs.itemsize
        shift = memory.raw_at(outputs, entry)
        panel += wide
    tile.store(total, sums, position)


@jit
def multiply(
    count: int, lanes: int, window: Any, pairs: Any, outputs: Any, steps: int, panels: Any, more: bool, zero: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Sums [panel][pair][lane] of a box: `count` pairs, at byte addresses `pairs`, × `lanes` lanes.

    A panel of sums has ROWS rows more than `count`; pairs repeats its last address as often.
    """
    simd.outlined()
    wide = VECTORS * simd.lanes(zero)
    for p in range((lanes + wide - 1) // wide):
        panel = memory.address(panels) + p * steps * wide * panels.itemsize
        row = 0
        while row < count:
            position = (p * (count + ROWS) + row) * wide
            if count - row > FEW:
                add_products(
                    tile.zeros(zero, ROWS, VECTORS), more, window, tile.addresses(pairs, row, ROWS), outputs, steps,
                    panels, panel, zero, sums, position,
                )  # fmt: skip
                row += ROWS
            else:
                add_products(
                    tile.zeros(zero, FEW, VECTORS), more, window, tile.addresses(pairs, row, FEW), outputs, steps,
                    panels, panel, zero, sums, position,
                )  # fmt: skip
                row += FEW


@jit
def order_pairs(taps: Any, channels: int, w: Any, rows: Any, places: Any) -> None:
    """The row of every pair of a block, and the bytes from the first to it in the weights, in the weights' order."""
    m, block = 0, taps_of(taps)
    for channel in range(channels):
        for tap in range(block):
            i, j = tap // (len(taps.j) * len(taps.k)), tap // len(taps.k) % len(taps.j)
            rows[m] = tap * channels + channel
            places[m] = channel * w.channel + i * w.plane + j * w.row + tap % len(taps.k) * w.column
            m += 1


@jit
def write_sums(
    sums: Any, rows: Any, count: int, lanes: int, w: Any, base: int, places: Any, parts: int, zero: Any
) -> None:
    """Store sums: pair m's are row rows[m] of every panel and go to byte address base + places[m] + a lane's offset."""
    simd.outlined()
    vector, item = simd.lanes(zero), w.data.itemsize
    wide, entries = VECTORS * vector, memory.stack(1, _MAX_PAIRS)
    for m in range(count):
        entries[m] = memory.address(sums) + rows[m] * wide * sums.itemsize
    for lane in range(0, lanes, vector):
        here = min(vector, lanes - lane)
        at = lane // wide * (count + ROWS) * wide + lane % wide
        square = here == vector and parts == 1 and count >= vector and transpose.transposes(zero)
        target = base + lane // parts * w.image
        for start in range(0, count, vector):
            m = min(start, count - vector) if square else start
            if square and consecutive(places[m:], vector, item):
                transpose.turn_rows(sums, entries, m, at * sums.itemsize, w.data, target + places[m], w.image, zero)
                continue
            for pair in range(m, min(m + vector, count)):
                for r in range(here):
                    address = target + places[pair] + r // parts * w.image + (lane + r) % parts * item
                    memory.store_at(w.data, address, sums[at + rows[pair] * wide + r])


@jit
def add_box(
    box: Any, more: bool, x: Any, source: int, g: Any, given: int, taps: Any, channels: int, lanes: int, parts: int,
    zero: Any, sums: Any, window: Any, gradients: Any,
) -> None:  # fmt: skip
    """sums = (or with `more` +=) the products of a box's window and gradients.

    source, given: byte addresses of the first image's first channel in x and first filter in g.
    """
    simd.outlined()
    pairs, shifts = memory.stack(1, _MAX_PAIRS), memory.stack(1, _MAX_OUTPUTS)
    sources = memory.stack(1, _MAX_OUTPUTS)
    layout = window_of(box, channels, parts, _channels_inside(x, parts), sums.itemsize)
    outputs = locate_outputs(box, layout, g, parts, sums.itemsize, shifts, sources)
    count = locate_pairs(box, layout, taps, channels, memory.address(window), sums.itemsize, pairs)
    for row in range(count, count + ROWS):
        pairs[row] = pairs[count - 1]
    pack_window(x, source, taps, box, channels, parts, layout, zero, window)
    pack_gradients(g, given, lanes, sources, outputs, parts, zero, gradients)
    multiply(count, lanes, window, pairs, shifts, outputs * parts, gradients, more, zero, sums)


@jit
def gradient_serial(
    start: int, stop: int, x: Any, g: Any, taps: Any, extent: Any, size: Any, zero: Any,
    sums: Any, window: Any, gradients: Any, w: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of the gradient of the weights.

    x, g: Tensors of the input and of the gradient of the output. w: the Tensor of (K, C/groups, *kernel), image
    and channel standing for K and C. size: the Cut. sums, window, gradients: workspace of the accumulator's type.
    """
    simd.outlined()
    parts, high = extent.parts, size.panels * VECTORS * simd.lanes(zero)
    all_lanes = extent.filters * parts
    across, down = pieces(extent.channels, size.channels), pieces(all_lanes, high)
    blocks_j, blocks_k = pieces(len(taps.j), size.j), pieces(len(taps.k), size.k)
    blocks_i = pieces(len(taps.i), size.i)
    rows, places = memory.stack(1, _MAX_PAIRS), memory.stack(1, _MAX_PAIRS)
    for task in range(start, stop):
        c, rest = task % across * size.channels, task // across
        lane, rest = rest % down * high, rest // down
        k, rest = rest % blocks_k * size.k, rest // blocks_k
        j, rest = rest % blocks_j * size.j, rest // blocks_j
        i, group = rest % blocks_i * size.i, rest // blocks_i
        channels, lanes = min(size.channels, extent.channels - c), min(high, all_lanes - lane)
        some, filter_ = some_taps(taps, i, size.i, j, size.j, k, size.k), group * extent.filters + lane // parts
        source = memory.address(x.data) + (group * extent.channels + c) * x.channel
        given = memory.address(g.data) + filter_ * g.channel
        count, more = taps_of(some) * channels, False
        for n in range(0, extent.images, size.images):
            images = min(size.images, extent.images - n)
            for d in range(0, taps.depth, size.depth):
                for h in range(0, taps.height, size.height):
                    for v in range(0, taps.width, size.width):
                        box = box_at(n, images, d, size.depth, h, size.height, v, size.width, some, False)
                        add_box(
                            box, more, x, source, g, given, some, channels, lanes, parts, zero, sums, window, gradients
                        )  # fmt: skip
                        more = True
        if not more:  # no image at all
            clear(size.panels * (count + ROWS) * VECTORS * simd.lanes(zero), sums, 0)
        order_pairs(some, channels, w, rows, places)
        target = memory.address(w.data) + filter_ * w.image + c * w.channel + i * w.plane + j * w.row + k * w.column
        write_sums(sums, rows, count, lanes, w, target, places, parts, zero)


@jit
def gradient_share(
    start: int, stop: int, tasks: int, threads: int, x: Any, g: Any, taps: Any, extent: Any, size: Any, zero: Any,
    sums: Any, window: Any, gradients: Any, w: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1, each in its own row of the workspace."""
    for thread in range(start, stop):
        gradient_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads, x, g, taps, extent, size, zero,
            sums[thread], window[thread], gradients[thread], w,
        )  # fmt: skip


@jit
def gradient(
    x: Any, g: Any, taps: Any, extent: Any, zero: Any, sums: Any, window: Any, gradients: Any, threads: int, w: Any
) -> None:
    """The gradient of the weights with blocks in the workspace; see gradient_serial.

    sums, window, gradients: a row a thread, of as many vectors as LARGE_VECTORS says.
    """
    size = cut(taps, extent, LARGE, threads, _channels_inside(x, extent.parts), False, zero, sums.itemsize)
    arguments = (size.tasks, threads, x, g, taps, extent, size, zero, sums, window, gradients, w)
    split(gradient_share, threads, threads, arguments)


@jit
def direct_gradient_tasks(x: Any, taps: Any, extent: Any, zero: Any) -> int:
    """Independent blocks of the gradient of the weights, each small enough for the stack."""
    item, inner = memory.stack(zero, 1).itemsize, _channels_inside(x, extent.parts)
    return cut(taps, extent, SMALL, 1, inner, False, zero, item).tasks


@jit
def direct_gradient_serial(start: int, stop: int, x: Any, g: Any, taps: Any, extent: Any, zero: Any, w: Any) -> None:
    """Tasks start … stop − 1 of the gradient of the weights, with blocks on the stack and no workspace."""
    sums, window = memory.stack_vectors(zero, _SUMS), memory.stack_vectors(zero, _WINDOW)
    gradients = memory.stack_vectors(zero, _GRADIENTS)
    size = cut(taps, extent, SMALL, 1, _channels_inside(x, extent.parts), False, zero, sums.itemsize)
    gradient_serial(start, stop, x, g, taps, extent, size, zero, sums, window, gradients, w)


@jit
def direct_gradient(x: Any, g: Any, taps: Any, extent: Any, zero: Any, threads: int, w: Any) -> None:
    """The gradient of the weights without a workspace, its tasks split evenly over `threads`."""
    tasks = direct_gradient_tasks(x, taps, extent, zero)
    split(direct_gradient_serial, tasks, threads, (x, g, taps, extent, zero, w))
