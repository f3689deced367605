"""Convolution as a matrix product, weights × patches, whose matrix of patches never exists (implicit GEMM).

A block makes a tile of filters × outputs as gemm does: slices of both factors lie twice in shared memory. A slice is
DEPTH channels of one tap. Of the weights it is a piece of the panels, which are in its order; of the patches a thread
brings channels of one output, looked up in the tables when the tap changes (kernels.taps): the lanes of a warp are
neighbouring outputs. A padding zero is a zero behind the panels, with no bytes between channels; channels that fill up
a slice are zeros. Chetlur et al., "cuDNN", 2014, section 3, for not making the matrix.

The loop through the whole slices of a tap holds nothing else: no change of tap, no test for channels that are missing.
A slice that they leave a part of is the tap's first, in code of its own. That makes nine tenths of the loop
multiply-adds, and more than eight tenths with all that happens at a tap.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int32, int64

from .block_tiles import SMS, tile_for
from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .gemm import DEPTH, Tile, multiplied
from .geometry import located, looked_up
from .intrinsics import block_x, ld1, st1, st4, thread_x
from .memory import address, load, load4, moved, quotient, store
from .weights import SLACK, blocks

_ROWS = 8  # of a thread
PANEL = 64  # filters of a block of the weights' panels: tiles of any height read whole ones


@functools.cache
def kernel(storage: Any, total: Any, tile: Tile, activation: int, biased: bool, whole: bool) -> Any:
    """The kernel for images of numba type `storage` and sums of type `total`.

    whole: channels fill whole slices; otherwise the slice that they leave a part of is a tap's first.
    """
    activate, zero, item = activated(activation, total), total(0), total.bitwidth // 8
    height, width, columns, resident = tile
    threads, lanes, groups = tile.threads, width // columns, columns // 4
    half_rows, half_columns = height // 2, width // 2
    start_b = DEPTH * height  # where the patches' slice lies behind the weights'
    stage = start_b + DEPTH * width
    size, aligned, three = 2 * stage, 4 * item, 3 * threads
    of_panel = DEPTH * PANEL // 4  # threads that bring a panel's slice, four neighbours each
    slice_bytes, apart = DEPTH * PANEL * item, threads * 4 * item
    tall = height > PANEL
    second_a = PANEL if threads >= of_panel else threads // (PANEL // 4) * height  # where a thread's second four go
    count_a, count_b = DEPTH * height // threads, DEPTH * width // threads  # what a thread brings of a slice
    rows_b = threads // width  # channels that all threads bring at once
    slice_, place = multiplied(tile, height), looked_up(threads)

    @inlined
    def bring_weights(panels: Any, at: Any, next_panel: Any, va: Any) -> Any:
        for i in range(count_a // 4):
            four = load4(panels, at + i * (next_panel if tall else apart))
            for j in range(4):
                va[4 * i + j] = four[j]

    @inlined
    def bring(x: Any, at: Any, step: Any, vb: Any) -> Any:
        """Channels of a place in the input, `step` bytes apart."""
        for i in range(count_b):
            vb[i] = total(load(x, at, int32(i), step))

    @inlined
    def bring_rest(x: Any, at: Any, step: Any, first: Any, channels: Any, vb: Any) -> Any:
        """The same of the last slice of a tap that begins at this address; channels that do not exist are zeros."""
        for i in range(count_b):
            channel = int32(first + i * rows_b)
            exists = channel < channels
            value = total(load(x, at, channel if exists else int32(0), step))
            vb[i] = value if exists else zero

    @inlined
    def put(shared: Any, at_a: Any, at_b: Any, va: Any, vb: Any) -> Any:
        for i in range(count_a // 4):
            st4(shared, at_a + i * second_a, va[4 * i], va[4 * i + 1], va[4 * i + 2], va[4 * i + 3])
        for i in range(count_b):
            st1(shared, at_b + i * threads, vb[i])

    @inlined
    def following(i: Any, j: Any, k: Any, j_at: Any, k_at: Any, planes_at: Any) -> Any:
        """The next tap, as the places of its offsets in the table."""
        k = int32(k + 1)
        if k == planes_at:
            j, k = int32(j + 1), k_at
            if j == k_at:
                i, j = int32(i + 1), j_at
        return i, j, k

    @jit(threads, max(resident * 4 // item, 1), f"im2col {height}x{width}")
    def im2col(
        x: Any, panels: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, channels: Any,
        filters: Any, units: Any, per_group: Any, outputs: Any, slack: Any,
        i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines: Any, plane_step: Any, line_step: Any,
        point_step: Any, depth: Any, rows: Any, line: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(size, total, aligned)
        images, places = cuda.shared.array(threads, int64), cuda.shared.array(three, int32)
        sums = cuda.local.array((_ROWS, columns), total)
        own_a, own_b = cuda.local.array(_ROWS, total), cuda.local.array(columns, total)
        va, vb = cuda.local.array(count_a, total), cuda.local.array(count_b, total)
        for f in range(_ROWS):
            for r in range(columns):
                sums[f, r] = zero
        t = cuda.threadIdx.x & (threads - 1)
        part, unit = quotient(cuda.blockIdx.x, units)
        group, index = quotient(unit, per_group)

        # What it brings.
        image, plane, row, column = located(min(part * width + t % width, outputs - 1), depth, rows, line)
        j_at, k_at = i_taps, int32(i_taps + j_taps)
        planes_at = int32(k_at + k_taps)
        # Its output's place in the input waits in shared memory for the next tap: there are no registers for it.
        st1(images, t, address(x) + group * channels * x_channel + image * x_image)
        st1(places, t, int32(planes_at + plane * plane_step))
        st1(places, t + threads, int32(planes_at + planes + row * line_step))
        st1(places, t + 2 * threads, int32(planes_at + planes + lines + column * point_step))
        full = int32(channels // DEPTH)
        taps = int32(i_taps * j_taps * k_taps)
        slices = taps * ((channels + DEPTH - 1) // DEPTH)
        own_panels = (filters + PANEL - 1) // PANEL  # of a group
        panel = min(index * (height // PANEL) + t // of_panel, own_panels - 1)
        next_panel = slices * slice_bytes if panel + 1 < own_panels else 0
        weights = address(panels) + (group * own_panels + panel) * slices * slice_bytes + t % of_panel * 4 * item
        u = t % of_panel
        to_a = int32(u // (PANEL // 4) * height + t // of_panel * PANEL + u % (PANEL // 4) * 4)
        to_b = int32(start_b + t)
        # What it multiplies.
        up, across, turn = int32(t // lanes * 4), int32(start_b + t % lanes * 4), int32(stage)
        if slices > 0:
            nothing = address(panels) + slack * item
            i, j, k, tap = int32(0), j_at, k_at, int32(1)
            start, scale = place(table, i, j, k, images, places, t, nothing, x_plane, x_row, x_column)
            step, advance = int32(rows_b * x_channel * scale), int32(DEPTH * x_channel * scale)
            at = moved(start, t // width, x_channel * scale)
            n = int32(0)
            if whole:
                bring_weights(panels, weights, next_panel, va)
                bring(x, at, step, vb)
                weights += slice_bytes
                at = moved(at, int32(1), advance)
                n = int32(1)
            else:
                rest = full * slice_bytes
                at_rest = moved(start, full * DEPTH, x_channel * scale)
                bring_weights(panels, weights + rest, next_panel, va)
                bring_rest(x, at_rest, x_channel * scale, t // width, channels - full * DEPTH, vb)
            put(shared, to_a, to_b, va, vb)
            cuda.syncthreads()
            while True:
                while n < full:
                    bring_weights(panels, weights, next_panel, va)
                    bring(x, at, step, vb)
                    weights += slice_bytes
                    at = moved(at, int32(1), advance)
                    slice_(shared, shared, up, across, sums, own_a, own_b)
                    to_a, to_b = int32(to_a + turn), int32(to_b + turn)
                    put(shared, to_a, to_b, va, vb)
                    cuda.syncthreads()
                    up, across, turn = int32(up + turn), int32(across + turn), int32(-turn)
                    n = int32(n + 1)
                if tap == taps:
                    break
                tap = int32(tap + 1)
                i, j, k = following(i, j, k, j_at, k_at, planes_at)
                t = thread_x() & (threads - 1)
                nothing = address(panels) + slack * item
                start, scale = place(table, i, j, k, images, places, t, nothing, x_plane, x_row, x_column)
                step, advance = int32(rows_b * x_channel * scale), int32(DEPTH * x_channel * scale)
                at = moved(start, t // width, x_channel * scale)
                n = int32(0)
                if not whole:
                    weights += slice_bytes
                    at_rest = moved(start, full * DEPTH, x_channel * scale)
                    bring_weights(panels, weights + full * slice_bytes, next_panel, va)
                    bring_rest(x, at_rest, x_channel * scale, t // width, channels - full * DEPTH, vb)
                    slice_(shared, shared, up, across, sums, own_a, own_b)
                    to_a, to_b = int32(to_a + turn), int32(to_b + turn)
                    put(shared, to_a, to_b, va, vb)
                    cuda.syncthreads()
                    up, across, turn = int32(up + turn), int32(across + turn), int32(-turn)
            slice_(shared, shared, up, across, sums, own_a, own_b)
        # Where it is, anew: kept for this, it would take registers from the loop.
        t = thread_x() & (threads - 1)
        part, unit = quotient(block_x(), units)
        group, index = quotient(unit, per_group)
        top, left = index * height + t // lanes * 4, part * width + t % lanes * 4
        for g in range(groups):
            for r in range(4):
                output = left + g * half_columns + r
                if output < outputs:
                    image, plane, row, column = located(output, depth, rows, line)
                    target = address(y) + image * y_image + plane * y_plane + row * y_row + column * y_column
                    for h in range(2):
                        for f in range(4):
                            filter_ = top + h * half_rows + f
                            if filter_ < filters:
                                channel = group * filters + filter_
                                own = total(ld1(bias, channel)) if biased else zero
                                value = storage(activate(sums[h * 4 + f, g * 4 + r] + own))
                                store(y, target + channel * y_channel, value)

    return im2col


def im2col(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0,
    *, tile: Tile | None = None, sms: int = SMS,
) -> None:  # fmt: skip
    """A convolution by implicit GEMM, with no workspace.

    x, y: Tensors of device arrays (cuda.tensor); y's origin and strides are those of the outputs that the tables
    describe. panels: the weights from cuda.weights.pack, in blocks of PANEL filters and DEPTH channels. bias: a
    device array of one storage element a channel of y, or empty. taps: Tables (cuda.geometry). activation: its code
    (cpu.epilogue). zero: of the accumulators' type: float32, for float16 too, or float64. tile: by default the one
    for a device of so many SMs; none changes the result.
    """
    outputs = extent.images * taps.outputs
    tile = tile or tile_for(outputs, extent.filters, zero.itemsize, sms, extent.groups)
    per_group = blocks(extent.filters, tile.height)
    units = extent.groups * per_group
    if outputs == 0 or units == 0:
        return
    if not 0 <= extent.channels * x.channel < 1 << 32:
        raise ValueError(f"channels {x.channel} bytes apart: those of an image must lie in order within 4 GiB")
    storage, total = from_dtype(y.data.dtype), from_dtype(np.dtype(type(zero)))
    numbers = (extent.channels, extent.filters, units, per_group, outputs, panels.size - SLACK)
    arguments = (
        x.data, panels, bias, taps.table, y.data,
        *(np.int64(n) for n in (*x[1:], *y[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    whole = extent.channels % DEPTH == 0
    grid = -(-outputs // tile.width) * units
    launch(kernel(storage, total, tile, activation, with_bias(bias), whole), grid, tile.threads, arguments, stream)
