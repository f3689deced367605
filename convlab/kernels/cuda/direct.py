"""Direct convolution: sums in registers, the input read where it lies, no workspace and no shared memory.

A thread sums up a block of filters at COLUMNS outputs. At every tap it looks up where in the input its outputs read
(kernels.taps), then goes through the channels: it takes a row of the weights' panel, the same for all of its warp,
and an element for each of its outputs: an outer product. The lanes of a warp are neighbouring outputs. A padding zero
is a zero behind the panels, and the step from one channel to the next is then multiplied by 0: so no geometry and no
condition is left in the loop. Outputs are counted through all images, regardless of rows.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32, int64

from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .geometry import entry, line_of, located
from .intrinsics import ld1
from .memory import address, load, load4, moved, quotient, scale_of, store
from .weights import SLACK, blocks

COLUMNS = 4  # outputs of a thread, a warp apart
_WARP, _WARPS = 32, 4
_THREADS = _WARP * _WARPS
_UNROLLED = 4  # channels
_PER_WARP = _WARP * COLUMNS


def filters_per_block(filters: int) -> int:
    """Filters of a thread, and of a block of the panels (weights.pack): few where a group has few."""
    return 8 if filters > 4 else 4 if filters > 1 else 1


@functools.cache
def kernel(storage: Any, total: Any, block: int, activation: int, biased: bool) -> Any:
    """The kernel for images of numba type `storage`, sums of type `total` and blocks of filters of that size."""
    activate, zero, item = activated(activation, total), total(0), total.bitwidth // 8
    quads, row_bytes = block // 4, block * item

    @inlined
    def step(x: Any, panels: Any, panel: Any, start: Any, moves: Any, offset: Any, sums: Any, w: Any, v: Any) -> Any:
        """One channel: a row of the panel times an element at each output."""
        if quads:
            for h in range(quads):
                row = load4(panels, panel + h * 4 * item)
                for f in range(4):
                    w[h * 4 + f] = row[f]
        else:
            w[0] = load(panels, panel, 0, 0)
        for r in range(COLUMNS):
            v[r] = total(load(x, start[r], offset, moves[r]))
        for f in range(block):
            for r in range(COLUMNS):
                sums[f, r] += w[f] * v[r]

    @jit(_THREADS, 3 if item == 4 else 2)
    def direct(
        x: Any, panels: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, channels: Any,
        filters: Any, units: Any, together: Any, outputs: Any, slack: Any,
        i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines: Any, plane_step: Any, line_step: Any,
        point_step: Any, depth: Any, height: Any, width: Any,
    ) -> None:  # fmt: skip
        t = cuda.threadIdx.x & (_THREADS - 1)
        lane, warp = t & (_WARP - 1), t // _WARP
        # The warps of a block take `together` blocks of filters, so that they find each other's inputs in L1.
        tile, unit = quotient(cuda.blockIdx.x, (units + together - 1) // together)
        beside, warp = quotient(warp, together)
        unit = unit * together + warp
        first = (tile * quotient(_WARPS, together)[0] + beside) * _PER_WARP
        if unit >= units or first >= outputs:
            return
        per_group = (filters + block - 1) // block
        group, index = quotient(unit, per_group)
        channel = group * filters + index * block
        count = min(block, filters - index * block)

        sums = cuda.local.array((block, COLUMNS), total)
        w, v = cuda.local.array(block, total), cuda.local.array(COLUMNS, total)
        images, rows = cuda.local.array(COLUMNS, int32), cuda.local.array(COLUMNS, int64)
        start, moves = cuda.local.array(COLUMNS, int64), cuda.local.array(COLUMNS, int32)
        at_plane, at_line = cuda.local.array(COLUMNS, int32), cuda.local.array(COLUMNS, int32)
        at_point = cuda.local.array(COLUMNS, int32)
        j_at, k_at = i_taps, i_taps + j_taps
        planes_at = k_at + k_taps
        x_start = address(x) + group * channels * x_channel
        for r in range(COLUMNS):
            image, plane, row, column = located(min(first + r * _WARP + lane, outputs - 1), depth, height, width)
            images[r] = image
            at_plane[r] = planes_at + plane * plane_step
            at_line[r] = planes_at + planes + row * line_step
            at_point[r] = planes_at + planes + lines + column * point_step
            for f in range(block):
                sums[f, r] = zero
        nothing = address(panels) + slack * item
        panel = address(panels) + unit * channels * (i_taps * j_taps * k_taps) * row_bytes
        whole, channels_bytes = channels // _UNROLLED * (_UNROLLED * row_bytes), channels * row_bytes
        for i in range(i_taps):
            plane_offset = entry(table, i)
            for j in range(j_taps):
                line_offset = entry(table, j_at + j)
                for r in range(COLUMNS):
                    a, b = at_plane[r] + plane_offset, at_line[r] + line_offset
                    rows[r] = line_of(table, x_start + images[r] * x_image, a, b, x_plane, x_row)
                for k in range(k_taps):
                    point_offset = entry(table, k_at + k)
                    for r in range(COLUMNS):
                        point = entry(table, at_point[r] + point_offset)
                        inside = point >= 0 and rows[r] != 0
                        start[r] = moved(rows[r], point, x_column) if inside else nothing
                        moves[r] = scale_of(inside)
                    offset = int32(0)
                    stop = panel + whole
                    while panel < stop:
                        step(x, panels, panel, start, moves, offset, sums, w, v)  # a loop would stay one
                        step(x, panels, panel + row_bytes, start, moves, offset + x_channel, sums, w, v)
                        offset = int32(offset + 2 * x_channel)
                        step(x, panels, panel + 2 * row_bytes, start, moves, offset, sums, w, v)
                        step(x, panels, panel + 3 * row_bytes, start, moves, offset + x_channel, sums, w, v)
                        offset = int32(offset + 2 * x_channel)
                        panel += _UNROLLED * row_bytes
                    stop += channels_bytes - whole
                    while panel < stop:
                        step(x, panels, panel, start, moves, offset, sums, w, v)
                        offset = int32(offset + x_channel)
                        panel += row_bytes
        y_start = address(y) + channel * y_channel
        for r in range(COLUMNS):
            output = first + r * _WARP + lane
            if output < outputs:
                image, plane, row, column = located(output, depth, height, width)
                target = y_start + image * y_image + plane * y_plane + row * y_row + column * y_column
                for f in range(block):
                    if f < count:
                        own = total(ld1(bias, channel + f)) if biased else zero
                        store(y, target + f * y_channel, storage(activate(sums[f, r] + own)))

    return direct


def direct(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0
) -> None:
    """A convolution.

    x, y: Tensors of device arrays (cuda.tensor); y's origin and strides are those of the outputs that the tables
    describe. panels: the weights from cuda.weights.pack, in blocks of `filters_per_block`. bias: a device array of one
    storage element a channel of y, or empty. taps: Tables (cuda.geometry). activation: its code (cpu.epilogue).
    zero: of the accumulators' type: float32, for float16 too, or float64.
    """
    outputs = extent.images * taps.outputs
    block = filters_per_block(extent.filters)
    units = extent.groups * blocks(extent.filters, block)
    if outputs == 0 or units == 0:
        return
    together = 4 if units > 2 else units
    per_block = _WARPS // together * _PER_WARP
    grid = -(-outputs // per_block) * -(-units // together)
    if not 0 <= extent.channels * x.channel < 1 << 32:
        raise ValueError(f"channels {x.channel} bytes apart: those of an image must lie in order within 4 GiB")
    storage, total = from_dtype(y.data.dtype), from_dtype(np.dtype(type(zero)))
    numbers = (extent.channels, extent.filters, units, together, outputs, panels.size - SLACK)
    arguments = (
        x.data, panels, bias, taps.table, y.data,
        *(np.int64(n) for n in (*x[1:], *y[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    launch(kernel(storage, total, block, activation, with_bias(bias)), grid, _THREADS, arguments, stream)
