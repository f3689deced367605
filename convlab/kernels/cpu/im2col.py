"""Convolution as a matrix product, weights × patches (implicit GEMM): the matrix of patches is packed block by
block into the product's panels and never exists as a whole.

A task is a block of outputs, counted through all images, and all filters of one group. Its sums stay in a block of
accumulators while the reduction goes by in steps of gemm.DEPTH; then bias, activation and one store.
Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006,
for the matrix; Chetlur et al., "cuDNN", 2014, section 3, for not making it.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .epilogue import consecutive, finish, write
from .extent import locate, outputs_of, taps_of
from .gemm import DEPTH, MAX_LANES, block_lanes, multiply
from .parallel import split
from .patches import pack_patches
from .tile import ROWS, VECTORS


@jit
def outputs_per_task(outputs: int, threads: int, zero: Any) -> int:
    """Outputs in a block: as many as a block of lanes takes, fewer where the threads would not come out even.

    Whole vectors. Which outputs share a block does not change their sums.
    """
    lanes, width = block_lanes(zero), VECTORS * simd.lanes(zero)
    tasks = (outputs + lanes - 1) // lanes
    tasks = (tasks + threads - 1) // threads * threads
    return max(width, ((outputs + tasks - 1) // tasks + width - 1) // width * width)


@jit
def im2col_serial(
    start: int, stop: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int,
    size: int, zero: Any, sums: Any, patches: Any, y: Any,
) -> None:  # fmt: skip
    """Tasks start … stop − 1: blocks of `size` outputs, block after block of one group, group after group.

    x, y: Tensors; panels: the weights from `weights.pack`, in panels of ROWS, accumulators: to widen halves
    takes longer than their products. bias, taps, extent, activation, zero: as in direct_serial. sums, patches: this
    thread's workspace, accumulators.
    """
    simd.outlined()
    item, width = panels.itemsize, VECTORS * simd.lanes(zero)
    rows = extent.filters * extent.parts
    points = outputs_of(taps)
    outputs = extent.images * points
    blocks = (outputs + size - 1) // size
    reduction = taps_of(taps) * extent.parts * extent.channels
    padding = memory.stack(x.data, 1)
    padding[0] = 0
    image, depth = memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES)
    row, column, positions = memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES)
    for task in range(start, stop):
        group, first = task // blocks, task % blocks * size
        count = min(size, outputs - first)
        locate(first, extent.images, count, taps, image, depth, row, column)
        more = False
        for step in range(0, max(reduction, 1), DEPTH):
            chunk = min(DEPTH, reduction - step)
            pack_patches(
                x, memory.address(x.data), group * extent.channels * x.channel, taps, extent.channels, extent.parts,
                step, step + chunk, image, depth, row, column, count, memory.address(padding), zero, patches,
            )  # fmt: skip
            multiply(
                rows, count, chunk, panels, memory.address(panels) + group * rows * reduction * item,
                ROWS * reduction * item, step, patches, memory.address(patches), more, sums, zero,
            )  # fmt: skip
            more = True
        for p in range(count):
            positions[p] = image[p] * y.image + depth[p] * y.plane + row[p] * y.row + column[p] * y.column
        lane_panels = (count + width - 1) // width
        for j in range(lane_panels):
            here, places = min(width, count - j * width), positions[j * width :]
            joined = consecutive(places, here, y.data.itemsize)
            for i in range((rows + ROWS - 1) // ROWS):
                lanes, part = min(ROWS, rows - i * ROWS), sums[(i * lane_panels + j) * ROWS * width :]
                finish(part, width, 1, lanes, here, bias, group * rows + i * ROWS, activation, zero)
                channel = group * extent.filters + i * ROWS // extent.parts
                write(
                    part, width, 1, lanes, here, y.data, memory.address(y.data) + channel * y.channel,
                    places, joined, y.channel, extent.parts, zero,
                )  # fmt: skip


@jit
def im2col_share(
    start: int, stop: int, tasks: int, threads: int, x: Any, panels: Any, bias: Any, taps: Any, extent: Any,
    activation: int, size: int, zero: Any, sums: Any, patches: Any, y: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1, each in its own row of the workspace."""
    for thread in range(start, stop):
        im2col_serial(
            tasks * thread // threads, tasks * (thread + 1) // threads,
            x, panels, bias, taps, extent, activation, size, zero, sums[thread], patches[thread], y,
        )  # fmt: skip


@jit
def im2col(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, sums: Any, patches: Any,
    threads: int, y: Any,
) -> None:  # fmt: skip
    """A convolution by implicit GEMM, its tasks split evenly over `threads`; see im2col_serial.

    sums, patches: one row a thread, of as many elements as gemm.workspace says.
    """
    outputs = extent.images * outputs_of(taps)
    size = outputs_per_task(outputs, threads, zero)
    tasks = (outputs + size - 1) // size * extent.groups
    split(
        im2col_share, threads, threads,
        (tasks, threads, x, panels, bias, taps, extent, activation, size, zero, sums, patches, y),
    )  # fmt: skip
