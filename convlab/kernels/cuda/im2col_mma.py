"""Implicit GEMM on tensor cores: weights × patches as im2col does it, by the matrix products of warps (mma.sync).

A slice of either factor is a row of 64 bytes, channels of one tap, for every filter and for every output (cuda.rows):
two products deep. Two slices of each lie in shared memory. Weights are copied there past the registers (cp.async).
A thread brings the patches of one output, looked up in the tables when the tap changes (kernels.taps): what it brings
is loaded before the slice that is there is multiplied, and stored after it. A quarter of the tile is a warp's;
ldmatrix gives it its fragments, swizzled so that no bank is met twice. float16 is multiplied exactly and summed in
float32; float32 is rounded to TF32 on its way to shared memory.
PTX ISA, "Matrix multiply-accumulate operation using mma instruction"; cutlass, "Efficient GEMM in CUDA".
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, float32, from_dtype, int32, int64, uint32
from numba.types import float16

from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .geometry import located, looked_up
from .intrinsics import (
    bits_float,
    cp_async_commit,
    cp_async_wait0,
    ld1,
    pair_bits,
    st1,
    st4,
    to_tf32,
)
from .memory import address, copy16, load, moved, quotient, store, words4
from .mma import LARGE, PITCH, ROUND, SMALL, THREADS, WIDTH, left_behind, multiplied, placed
from .rows import CHUNK, SLACK, WORDS, channels_of, swizzled
from .weights import blocks

_BLOCKS = {LARGE: 2, SMALL: 3}  # that an SM shall hold the registers of
_ROW_BYTES = 4 * WORDS
_SECTOR = 32  # bytes of device memory that are written at once
# How a thread reads channels: 16 bytes of neighbours at once; one by one; one by one, and some do not exist.
TOGETHER, WHOLE, PART = range(3)


def height_for(outputs: int, filters: int) -> int:
    """Filters of a tile for so many outputs and filters of a group: the rows' block.

    Many where filters fill them and there are enough tiles for the SMs of a large device.
    """
    large = filters > SMALL and outputs * filters >= 128 * WIDTH * LARGE
    return LARGE if large else SMALL


@functools.cache
def brought(storage: Any, reads: int) -> Any:
    """(what a thread holds of a slice: how many and of which type, the functions that load it and make words of it)"""
    depth, half = channels_of(np.float16 if storage == float16 else np.float32), storage == float16

    @inlined
    def bring(x: Any, at: Any, moves: Any, left: Any, own: Any) -> None:
        """The channels from an address on, `moves` bytes apart. left: how many there are."""
        if reads == TOGETHER:
            for c in range(WORDS // CHUNK):
                v = words4(moved(at, c * 4 * CHUNK, moves))
                for i in range(CHUNK):
                    own[c * CHUNK + i] = v[i]
        else:
            for i in range(depth):
                if reads == WHOLE:
                    own[i] = load(x, at, i, moves)
                else:
                    value = storage(float32(0))
                    if i < left:
                        value = load(x, at, i, moves)
                    own[i] = value

    @inlined
    def word(own: Any, i: Any) -> Any:
        if reads == TOGETHER:
            return own[i] if half else to_tf32(bits_float(own[i]))
        return pair_bits(own[2 * i], own[2 * i + 1]) if half else to_tf32(own[i])

    return WORDS if reads == TOGETHER else depth, uint32 if reads == TOGETHER else storage, bring, word


@functools.cache
def kernel(storage: Any, height: int, activation: int, biased: bool, reads: int) -> Any:
    """The kernel for images of numba type `storage`. reads: TOGETHER, WHOLE or PART."""
    activate, zero, item = activated(activation, float32), float32(0), storage.bitwidth // 8
    warp_height, warp_width = height // 2, WIDTH // 2
    sum_count, fragment_words = warp_height * warp_width // 32, warp_width // 4  # of a lane
    depth = _ROW_BYTES // item  # channels of a slice
    stage_a, stage_bytes = height * WORDS, height * _ROW_BYTES
    stage = stage_a + WIDTH * WORDS
    shared_words, three = 2 * stage, 3 * WIDTH
    copies = stage_a // CHUNK // THREADS  # of weights, by a thread
    close, width_bits = (_SECTOR // item).bit_length() - 1, WIDTH.bit_length() - 1
    multiply, leave, place = multiplied(storage, height), left_behind(height), looked_up(THREADS)
    held, kind, bring, word = brought(storage, reads)
    advance = _ROW_BYTES if reads == TOGETHER else depth  # steps from a slice to the next

    @inlined
    def fetch(shared: Any, at: Any, weights: Any) -> None:
        """Begin to copy this thread's part of a slice of weights."""
        for c in range(copies):
            copy16(shared, at + c * (THREADS * CHUNK), weights + c * (THREADS * 4 * CHUNK))
        cp_async_commit()

    @inlined
    def put(shared: Any, at: Any, swizzle: Any, own: Any) -> None:
        """Store what this thread brings. at: its row; swizzle: of its first chunk, in words."""
        for c in range(WORDS // CHUNK):
            i = c * CHUNK
            st4(shared, at + (swizzle ^ i), word(own, i), word(own, i + 1), word(own, i + 2), word(own, i + 3))

    @jit(THREADS, _BLOCKS[height])
    def im2col_mma(
        x: Any, rows: Any, bias: Any, table: Any, y: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any,
        x_column: Any, y_image: Any, y_channel: Any, y_plane: Any, y_row: Any, y_column: Any, channels: Any,
        filters: Any, units: Any, per_group: Any, outputs: Any, slack: Any,
        i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines: Any, plane_step: Any, line_step: Any,
        point_step: Any, out_depth: Any, out_rows: Any, line: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(shared_words, uint32, 16)
        images, places = cuda.shared.array(THREADS, int64), cuda.shared.array(three, int32)
        targets = cuda.shared.array(THREADS, int64)
        sums, b = cuda.local.array(sum_count, float32), cuda.local.array(fragment_words, uint32)
        own = cuda.local.array(held, kind)
        for n in range(sum_count):
            sums[n] = zero
        t = int32(cuda.threadIdx.x & (THREADS - 1))
        block, unit = quotient(cuda.blockIdx.x, units)
        group, index = quotient(unit, per_group)
        low = block * WIDTH

        # Where its output is, in x and in y, waits in shared memory: there are no registers for it.
        image, plane, row, column = located(min(low + t, outputs - 1), out_depth, out_rows, line)
        j_end = int32(i_taps + j_taps)
        k_end = int32(j_end + k_taps)
        st1(images, t, address(x) + group * channels * x_channel + image * x_image)
        st1(targets, t, address(y) + image * y_image + plane * y_plane + row * y_row + column * y_column)
        st1(places, t, int32(k_end + plane * plane_step))
        st1(places, t + THREADS, int32(k_end + planes + row * line_step))
        st1(places, t + 2 * THREADS, int32(k_end + planes + lines + column * point_step))
        # What it brings.
        nothing, step = address(rows) + slack * item, int32(1 if reads == TOGETHER else x_channel)
        slices = int32((channels + depth - 1) // depth)
        weights = address(rows) + unit * slices * (i_taps * j_taps * k_taps) * stage_bytes + t * (4 * CHUNK)
        put_a, put_b = t * CHUNK, int32(stage_a + t * WORDS)
        swizzle = int32(swizzled(t, 0) - t * WORDS)
        # What it multiplies: lane 8·j + r gives row r of matrix j.
        warp, lane = t // 32, t % 32
        j, r = lane // 8, lane % 8
        row_a, row_b = warp % 2 * warp_height + r + j % 2 * 8, warp // 2 * warp_width + r + j // 2 * 8
        at_a, at_b = int32(swizzled(row_a, j // 2)), int32(stage_a + swizzled(row_b, j % 2))
        cuda.syncthreads()
        here, begin = int32(0), int32(1)
        some = slices * (i_taps * j_taps * k_taps) > 0
        if some:
            at, inside = place(table, int32(0), i_taps, j_end, images, places, t, nothing, x_plane, x_row, x_column)
            fetch(shared, put_a, weights)
            bring(x, at, int32(step * inside), channels, own)
            put(shared, put_b, swizzle, own)
            cp_async_wait0()
            cuda.syncthreads()
        for i in range(i_taps):
            for j in range(i_taps, j_end):
                for k in range(j_end, k_end):
                    at, inside = place(table, i, j, k, images, places, t, nothing, x_plane, x_row, x_column)
                    moves, left = int32(step * inside), int32(channels - begin * depth)
                    at = moved(at, begin * advance, moves)
                    for _ in range(begin, slices):
                        weights += stage_bytes
                        there = int32(here ^ stage)
                        fetch(shared, there + put_a, weights)
                        bring(x, at, moves, left, own)
                        at, left = moved(at, advance, moves), int32(left - depth)
                        multiply(shared, here, at_a, at_b, sums, b)
                        put(shared, there + put_b, swizzle, own)
                        cp_async_wait0()
                        cuda.syncthreads()
                        here = there
                    begin = int32(0)
        if some:
            multiply(shared, here, at_a, at_b, sums, b)
        # Through shared memory, ROUND filters at a time, for neighbouring lanes to write neighbours in y.
        shift = int32(close if y_channel == item else 0)
        for part in range(height // ROUND):
            cuda.syncthreads()
            leave(shared, part, warp, lane, sums)
            cuda.syncthreads()
            for n in range(ROUND):
                # The n-th of this thread's: 1 << shift filters by all outputs, and so on.
                at = n * THREADS + t
                output = at >> shift & (WIDTH - 1)
                row = (at >> shift + width_bits << shift) + (at & (1 << shift) - 1)
                filter_ = index * height + part * ROUND + row
                if low + output < outputs and filter_ < filters:
                    channel = group * filters + filter_
                    found = bits_float(ld1(shared, row * PITCH + placed(output)))
                    value = storage(activate(found + (float32(ld1(bias, channel)) if biased else zero)))
                    store(y, ld1(targets, output) + channel * y_channel, value)

    return im2col_mma


def im2col_mma(
    x: Any, panels: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any, stream: Any = 0,
    *, height: int = SMALL,
) -> None:  # fmt: skip
    """A convolution by implicit GEMM on tensor cores (sm_80), with no workspace; parameters as im2col's.

    x, y: of float16, or of float32, whose products are TF32's. panels: the weights from cuda.rows.pack, in blocks
    of `height` filters.
    """
    outputs = extent.images * taps.outputs
    per_group = blocks(extent.filters, height)
    units = extent.groups * per_group
    if outputs == 0 or units == 0:
        return
    if not 0 <= extent.channels * x.channel < 1 << 32:
        raise ValueError(f"channels {x.channel} bytes apart: those of an image must lie in order within 4 GiB")
    storage = y.data.dtype
    numbers = (extent.channels, extent.filters, units, per_group, outputs, panels.size - SLACK)
    arguments = (
        x.data, panels, bias, taps.table, y.data,
        *(np.int64(n) for n in (*x[1:], *y[1:])), *(np.int32(n) for n in numbers), *taps.numbers,
    )  # fmt: skip
    reads = _reads(x, extent.channels, storage)
    grid = -(-outputs // WIDTH) * units
    launch(kernel(from_dtype(storage), height, activation, with_bias(bias), reads), grid, THREADS, arguments, stream)


def _reads(x: Any, channels: int, dtype: Any) -> int:
    if channels % channels_of(dtype):
        return PART
    start = x.data.__cuda_array_interface__["data"][0]
    aligned = all(n % 16 == 0 for n in (start, x.image, x.plane, x.row, x.column))
    return TOGETHER if aligned and x.channel == dtype.itemsize else WHOLE
