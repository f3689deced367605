"""backward_weights as a matrix product: gradients (filters × outputs) · patches (outputs × taps · channels).

A task is a block of filters and a block of (tap, channel) pairs; it goes through all outputs of all images, `deep` at a
time, packs both operands and adds to its sums. Every sum is made by one task in one order, so the bits do not
depend on the threads. im2col gives it large blocks from the workspace, direct small ones on the stack.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .epilogue import consecutive, write
from .extent import locate, outputs_of, taps_of
from .gemm import BLOCK_BYTES, DEPTH, MAX_LANES, block_lanes, multiply
from .parallel import split
from .patches import NOWHERE, read_positions
from .tile import ROWS, VECTORS

# Blocks on the stack: rows of ROWS filters, outputs at a time, and the vectors that both operands and the sums take.
STACK_PANELS, STACK_DEPTH = 4, 64
_LANE_VECTORS = BLOCK_BYTES // simd.VECTOR_BYTES
_STACK_SUMS = STACK_PANELS * ROWS * _LANE_VECTORS
_STACK_PATCHES = STACK_DEPTH * _LANE_VECTORS
_STACK_GRADIENTS = STACK_PANELS * ROWS * STACK_DEPTH


@jit
def pack_gradients(
    g: Any, base: int, first: int, rows: int, count: int, image: Any, depth: Any, row: Any, column: Any, parts: int,
    panels: Any,
) -> None:  # fmt: skip
    """Lanes first … first + rows − 1 of a group's gradients at `count` outputs, in panels of ROWS: [step][row].

    A step is an output, for complex data an output and a part of x, with the rule of complex multiplication.
    """
    simd.outlined()
    positions = memory.stack(1, MAX_LANES)
    source, item = g.data, g.data.itemsize
    for p in range(count):
        positions[p] = base + image[p] * g.image + depth[p] * g.plane + row[p] * g.row + column[p] * g.column
    for r in range(rows):
        panel, inside = r // ROWS, r % ROWS
        width = min(ROWS, rows - panel * ROWS)
        target = panel * ROWS * count * parts + inside
        channel, part = (first + r) // parts, (first + r) % parts
        offset = channel * g.channel
        for p in range(count):
            for other in range(parts):
                value = memory.raw_at(source, positions[p] + offset + (part ^ other) * item)
                panels[target] = -value if other > part else value
                target += width


@jit
def pack_pairs(
    x: Any, base: int, group_offset: int, taps: Any, channels: int, parts: int, first: int, lanes: int,
    image: Any, depth: Any, row: Any, column: Any, count: int, padding: int, zero: Any, panels: Any,
) -> None:  # fmt: skip
    """What (tap, channel) pairs first … first + lanes − 1 read at `count` outputs: [panel][step][lane]."""
    simd.outlined()
    positions, steps = memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES)
    source, item, width = x.data, x.data.itemsize, VECTORS * simd.lanes(zero)
    lane = 0
    while lane < lanes:
        tap, channel = (first + lane) // channels, (first + lane) % channels
        if lane == 0 or channel == 0:
            read_positions(
                x, base, group_offset, taps, tap, image, depth, row, column, count, padding, positions, steps
            )  # fmt: skip
        # Lanes of one tap and one panel at a time: they are written side by side.
        here = min(lanes - lane, channels - channel, width - lane % width)
        target = lane // width * count * parts * width + lane % width
        for p in range(count):
            outside = steps[p] == NOWHERE
            move = 0 if outside else steps[p]
            for part in range(parts):
                at = positions[p] if outside else positions[p] + channel * move + part * item
                for i in range(here):
                    panels[target + i] = memory.raw_at(source, at)
                    at += move
                target += width
        lane += here


@jit
def gradient_tasks(extent: Any, taps: Any, tall: int, zero: Any) -> int:
    """Blocks of filters × blocks of (tap, channel) pairs × groups."""
    pairs = taps_of(taps) * extent.channels
    wide, rows = block_lanes(zero), extent.filters * extent.parts
    return extent.groups * ((rows + tall - 1) // tall) * ((pairs + wide - 1) // wide)


@jit
def gradient_serial(
    start: int, stop: int, x: Any, g: Any, taps: Any, extent: Any, tall: int, deep: int, zero: Any,
    sums: Any, patches: Any, gradients: Any, w: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1 of the gradient of the weights.

    x, g: Tensors of the input and of the gradient of the output. w: the Tensor of (K, C/groups, *kernel), image
    and channel standing for K and C. tall: rows (a multiple of ROWS) and deep: outputs of a block. sums, patches,
    gradients: workspace of the accumulator's, the storage and the storage type.
    """
    simd.outlined()
    width, wide = VECTORS * simd.lanes(zero), block_lanes(zero)
    lines, points = len(taps.j), len(taps.k)
    pairs, all_rows = taps_of(taps) * extent.channels, extent.filters * extent.parts
    across, down = (pairs + wide - 1) // wide, (all_rows + tall - 1) // tall
    outputs = extent.images * outputs_of(taps)
    padding = memory.stack(x.data, 1)
    padding[0] = 0
    image, depth = memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES)
    row, column, positions = memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES)
    item = gradients.itemsize
    for task in range(start, stop):
        group, first, first_row = task // (across * down), task % across * wide, task // across % down * tall
        lanes, rows = min(wide, pairs - first), min(tall, all_rows - first_row)
        more = False
        for output in range(0, max(outputs, 1), deep):
            count = min(deep, outputs - output)
            locate(output, extent.images, count, taps, image, depth, row, column)
            pack_gradients(
                g, memory.address(g.data) + group * extent.filters * g.channel, first_row, rows, count,
                image, depth, row, column, extent.parts, gradients,
            )  # fmt: skip
            pack_pairs(
                x, memory.address(x.data), group * extent.channels * x.channel, taps, extent.channels, extent.parts,
                first, lanes, image, depth, row, column, count, memory.address(padding), zero, patches,
            )  # fmt: skip
            multiply(
                rows, lanes, count * extent.parts, gradients, memory.address(gradients),
                ROWS * count * extent.parts * item, 0, patches, memory.address(patches), more, sums, zero,
            )  # fmt: skip
            more = True
        for lane in range(lanes):
            tap, channel = (first + lane) // extent.channels, (first + lane) % extent.channels
            positions[lane] = (
                channel * w.channel
                + tap // (lines * points) * w.plane
                + tap // points % lines * w.row
                + tap % points * w.column
            )
        panels = (lanes + width - 1) // width
        for p in range(panels):
            here, places = min(width, lanes - p * width), positions[p * width :]
            joined = consecutive(places, here, w.data.itemsize)
            for r in range((rows + ROWS - 1) // ROWS):
                channel = group * extent.filters + (first_row + r * ROWS) // extent.parts
                write(
                    sums[(r * panels + p) * ROWS * width :], width, 1, min(ROWS, rows - r * ROWS), here,
                    w.data, memory.address(w.data) + channel * w.image, places, joined, w.image, extent.parts, zero,
                )  # fmt: skip


@jit
def gradient_share(
    start: int, stop: int, tasks: int, threads: int, x: Any, g: Any, taps: Any, extent: Any, tall: int, zero: Any,
    sums: Any, patches: Any, gradients: Any, w: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1, each in its own row of the workspace."""
    for thread in range(start, stop):
        gradient_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads, x, g, taps, extent,
            tall, DEPTH // extent.parts, zero,
            sums[thread], patches[thread], gradients[thread], w,
        )  # fmt: skip


@jit
def gradient(
    x: Any, g: Any, taps: Any, extent: Any, tall: int, zero: Any, sums: Any, patches: Any, gradients: Any,
    threads: int, w: Any,
) -> None:  # fmt: skip
    """The gradient of the weights with blocks of `tall` filters in the workspace; see gradient_serial.

    sums, patches, gradients: a row a thread; the first two as gemm.workspace says, the last tall · DEPTH.
    """
    tasks = gradient_tasks(extent, taps, tall, zero)
    arguments = (tasks, threads, x, g, taps, extent, tall, zero, sums, patches, gradients, w)
    split(gradient_share, threads, threads, arguments)


@jit
def direct_gradient_serial(start: int, stop: int, x: Any, g: Any, taps: Any, extent: Any, zero: Any, w: Any) -> None:
    """Tasks start … stop − 1 of the gradient of the weights, with blocks on the stack and no workspace."""
    sums = memory.stack_vectors(zero, _STACK_SUMS)
    patches = memory.stack_vectors(x.data, _STACK_PATCHES)
    gradients = memory.stack(x.data, _STACK_GRADIENTS)
    deep = STACK_DEPTH // extent.parts
    gradient_serial(start, stop, x, g, taps, extent, STACK_PANELS * ROWS, deep, zero, sums, patches, gradients, w)


@jit
def direct_gradient(x: Any, g: Any, taps: Any, extent: Any, zero: Any, threads: int, w: Any) -> None:
    """The gradient of the weights without a workspace, its tasks split evenly over `threads`."""
    tasks = gradient_tasks(extent, taps, STACK_PANELS * ROWS, zero)
    split(direct_gradient_serial, tasks, threads, (x, g, taps, extent, zero, w))
