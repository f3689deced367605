"""Direct convolution from strips: the part of an image that a band of outputs reads, padded and widened, on the stack.

Copied there, an input has no padding, layout or storage type any more: every tap of every output is one common
shift of the addresses that the outputs of a register tile start from. So these are computed once a tile, and the
reduction is nothing but broadcasts, loads of weights and multiply-adds, however few the channels.

A band is some rows of outputs of an image, or a stretch of one. Its sums for a block of lanes (out-channels) wait on
the stack while the channels go by, as many at a time as fit into a strip.
"""

from typing import Any

from ..compile import jit
from . import memory, simd, tile
from .direct_strip import copy_strip, strip_of
from .epilogue import announce, consecutive, finish, write
from .extent import span, taps_of
from .parallel import split
from .tile import ROWS, TILE, VECTORS
from .weights import block, blocks

# On the stack: a strip takes what it can use of L1, sums as much, which are touched once a strip.
_BYTES = 1 << 15
_STRIP = _BYTES // simd.VECTOR_BYTES
_TILES = _BYTES // (TILE * simd.VECTOR_BYTES)
_SUMS, _OUTPUTS = _TILES * TILE, _TILES * ROWS
# The last outputs of a band take half a tile, where that is enough for them.
_HALF = ROWS // 2
# Steps of the reduction that a strip should hold for a tile: loading and storing sums costs about four.
_STEPS = 128


@jit
def cut(taps: Any, extent: Any, zero: Any) -> tuple[int, int, int]:
    """Rows and columns of a band's outputs, and channels of a strip; no channels where a strip holds too few steps."""
    capacity, reduction = _STRIP * simd.lanes(zero), taps_of(taps) * extent.parts
    across = (taps.width + _OUTPUTS - 1) // _OUTPUTS
    columns = min(taps.width, ((taps.width + across - 1) // across + ROWS - 1) // ROWS * ROWS)
    rows = max(1, min(taps.height, _OUTPUTS // columns))
    steps = min(_STEPS, reduction * max(extent.channels, 1))
    while True:
        lines, line = span(rows, taps.line_step, taps.j), span(columns, taps.point_step, taps.k)
        channels = min(extent.channels, capacity // max(1, extent.parts * len(taps.i) * lines * line))
        if channels * reduction >= steps:
            break
        if rows > 1:
            rows = (rows + 1) // 2
        elif columns > ROWS:
            columns = (columns // 2 + ROWS - 1) // ROWS * ROWS
        else:
            return rows, columns, 0
    down, strips = (taps.height + rows - 1) // rows, (extent.channels + channels - 1) // max(channels, 1)
    return (taps.height + down - 1) // down, columns, (extent.channels + strips - 1) // max(strips, 1)


@jit
def accumulate(
    total: Any, more: bool, sums: Any, at: int, source: Any, places: Any, first: int, strip: Any, taps: Any,
    channels: int, parts: int, panels: Any, panel: int, panel_step: int, skipped: int,
) -> None:  # fmt: skip
    """A tile's sums over all taps, parts and channels of a strip, to element `at` of sums, or with `more` added there.

    total: a tile of zeros. Other parameters as those of `wide`.
    """
    simd.inlined()
    if more:
        total = tile.load(total, sums, at)
    i_offsets, j_offsets, k_offsets, item = taps.i, taps.j, taps.k, source.itemsize
    channel_step = strip.channel * item
    for i in range(len(i_offsets)):
        for j in range(len(j_offsets)):
            for k in range(len(k_offsets)):
                shift = (i * strip.plane + j_offsets[j] * strip.line + k_offsets[k] * strip.column) * item
                for part in range(parts):
                    here = shift + part * strip.part * item
                    for _ in range(channels):
                        total = tile.outer_listed(total, source, places, first, here, panels, panel)
                        here += channel_step
                        panel += panel_step
                    panel += skipped * panel_step
    tile.store(total, sums, at)


@jit
def wide(
    outputs: int, more: bool, sums: Any, kept: int, source: Any, places: Any, strip: Any, taps: Any, channels: int,
    parts: int, panels: Any, panel: int, panel_step: int, skipped: int,
    target: int, positions: Any, lanes: int, channel_stride: int, item: int, zero: Any,
) -> None:  # fmt: skip
    """The sums of a band for a block of VECTORS vectors of lanes, tile after tile to element `kept` of sums and on.

    more: add to what is there. places: the byte address in the strip `source` that each output starts from.
    panel: byte address of the block's first row in panels, panel_step: bytes of a row; skipped: rows a tap that belong
    to other strips. target, positions, lanes, channel_stride, item: where the sums will be written, as in `write`;
    no lanes as long as they are not complete.
    """
    simd.outlined()
    stride = VECTORS * simd.lanes(zero)
    for first in range(0, outputs, ROWS):
        announce(target, positions, first, min(ROWS, outputs - first), lanes, channel_stride, parts, item)
        if outputs - first > _HALF:
            accumulate(
                tile.zeros(zero, ROWS, VECTORS), more, sums, kept + first * stride, source, places, first, strip, taps,
                channels, parts, panels, panel, panel_step, skipped,
            )  # fmt: skip
        else:
            accumulate(
                tile.zeros(zero, _HALF, VECTORS), more, sums, kept + first * stride, source, places, first, strip, taps,
                channels, parts, panels, panel, panel_step, skipped,
            )  # fmt: skip


@jit
def narrow(
    outputs: int, more: bool, sums: Any, kept: int, source: Any, places: Any, strip: Any, taps: Any, channels: int,
    parts: int, panels: Any, panel: int, panel_step: int, skipped: int,
    target: int, positions: Any, lanes: int, channel_stride: int, item: int, zero: Any,
) -> None:  # fmt: skip
    """`wide` for a block of one vector, or less."""
    simd.outlined()
    stride = simd.lanes(zero)
    for first in range(0, outputs, ROWS):
        announce(target, positions, first, min(ROWS, outputs - first), lanes, channel_stride, parts, item)
        accumulate(
            tile.zeros(zero, ROWS, 1), more, sums, kept + first * stride, source, places, first, strip, taps,
            channels, parts, panels, panel, panel_step, skipped,
        )  # fmt: skip


@jit
def blocks_a_task(taps: Any, extent: Any, threads: int, zero: Any) -> int:
    """Blocks of lanes that share a strip: as many as have room for their sums and leave every thread its share."""
    width = simd.lanes(zero)
    rows, columns, channels = cut(taps, extent, zero)
    every = blocks(extent.filters * extent.parts, VECTORS * width, width)
    tiles = (rows * columns + ROWS - 1) // ROWS
    count = max(1, every if channels == extent.channels else min(every, _TILES // tiles))
    bands = extent.groups * extent.images * bands_of(taps, rows, columns)
    while count > 1:
        shares = (every + count - 1) // count
        count = (every + shares - 1) // shares
        tasks = bands * shares
        if tasks >= 4 * threads or tasks % threads == 0:
            break
        count -= 1
    return count


@jit
def bands_of(taps: Any, rows: int, columns: int) -> int:
    """Bands of an image."""
    return taps.depth * ((taps.height + rows - 1) // rows) * ((taps.width + columns - 1) // columns)


@jit
def strips_tasks(taps: Any, extent: Any, together: int, zero: Any) -> int:
    """Independent pieces of work: `together` blocks of lanes for a band each."""
    width = simd.lanes(zero)
    rows, columns, _ = cut(taps, extent, zero)
    every = blocks(extent.filters * extent.parts, VECTORS * width, width)
    return extent.groups * ((every + together - 1) // together) * extent.images * bands_of(taps, rows, columns)


@jit
def strips_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, together: int,
    zero: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1: bands of all images, for `together` blocks of lanes after the other, group by group.

    Other parameters as direct_serial's.
    """
    simd.outlined()
    width, item = simd.lanes(zero), memory.stack(zero, 1).itemsize
    lanes, parts, store = extent.filters * extent.parts, extent.parts, y.data.itemsize
    every = blocks(lanes, VECTORS * width, width)
    shares = (every + together - 1) // together
    rows, columns, deep = cut(taps, extent, zero)
    lines, line = span(rows, taps.line_step, taps.j), span(columns, taps.point_step, taps.k)
    strip = strip_of(x, len(taps.i), lines, line, parts, deep)
    bands, across = bands_of(taps, rows, columns), (taps.width + columns - 1) // columns
    down = (taps.height + rows - 1) // rows
    reduction = taps_of(taps) * parts * extent.channels
    source, sums = memory.stack_vectors(zero, _STRIP), memory.stack_vectors(zero, _SUMS)
    places, positions = memory.stack(1, _OUTPUTS), memory.stack(1, _OUTPUTS)
    joined = False
    known_high, known_long = 0, 0  # of the band that places and positions describe
    for task in range(start, stop):
        band, image = task % bands, task // bands % extent.images
        share, group = task // (bands * extent.images) % shares, task // (bands * extent.images * shares)
        column, row, depth = band % across * columns, band // across % down * rows, band // (across * down)
        high, long = min(rows, taps.height - row), min(columns, taps.width - column)
        outputs = high * long
        tiles = (outputs + ROWS - 1) // ROWS
        if high != known_high or long != known_long:
            known_high, known_long = high, long
            for o in range(tiles * ROWS):
                h, w = min(o, outputs - 1) // long, min(o, outputs - 1) % long
                offset = h * taps.line_step * strip.line + w * taps.point_step * strip.column
                places[o] = memory.address(source) + offset * item
                positions[o] = h * y.row + w * y.column
            joined = consecutive(positions, outputs, y.data.itemsize)
        for o in range(len(source)):  # the padding stays, strip after strip
            source[o] = 0
        for channel in range(0, max(extent.channels, 1), max(deep, 1)):
            channels = min(deep, extent.channels - channel)
            first = memory.address(x.data) + image * x.image + (group * extent.channels + channel) * x.channel
            copy_strip(
                x, first, taps, depth, row, column, span(high, taps.line_step, taps.j),
                span(long, taps.point_step, taps.k), channels, parts, strip, source, zero,
            )  # fmt: skip
            for index in range(share * together, min((share + 1) * together, every)):
                lane, count = block(index, lanes, VECTORS * width, width)
                panel = (
                    memory.address(panels) + ((group * lanes + lane) * reduction + channel * count) * panels.itemsize
                )
                step, skipped = count * panels.itemsize, extent.channels - channels
                stride = VECTORS * width if count > width else width
                kept = (index - share * together) * tiles * TILE * width if deep < extent.channels else 0
                last = channel + deep >= extent.channels
                target = memory.address(y.data) + image * y.image + depth * y.plane + row * y.row + column * y.column
                target += (group * extent.filters + lane // parts) * y.channel
                if count > width:
                    wide(
                        outputs, channel > 0, sums, kept, source, places, strip, taps, channels, parts,
                        panels, panel, step, skipped, target, positions, count if last else 0, y.channel, store, zero,
                    )  # fmt: skip
                else:
                    narrow(
                        outputs, channel > 0, sums, kept, source, places, strip, taps, channels, parts,
                        panels, panel, step, skipped, target, positions, count if last else 0, y.channel, store, zero,
                    )  # fmt: skip
                if not last:
                    continue
                finish(sums[kept:], 1, stride, count, outputs, bias, group * lanes + lane, activation, zero)
                if joined:
                    write(
                        sums[kept:], 1, stride, count, outputs, y.data, target, positions, True, y.channel, parts, zero
                    )
                else:
                    straight = y.column == y.data.itemsize
                    for h in range(high):
                        write(
                            sums[kept + h * long * stride :], 1, stride, count, long, y.data, target,
                            positions[h * long :], straight, y.channel, parts, zero,
                        )  # fmt: skip


@jit
def strips(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A convolution by strips, its tasks split evenly over `threads`; see strips_serial. Only where `cut` finds any."""
    together = blocks_a_task(taps, extent, threads, zero)
    arguments = (x, panels, bias, taps, extent, activation, together, zero, y)
    split(strips_serial, strips_tasks(taps, extent, together, zero), threads, arguments)
