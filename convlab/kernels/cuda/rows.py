"""Weights in rows, as the tensor cores' kernels read them: [group][block][tap][slice of channels][filter][channel].

A row is 64 bytes, the channels of a slice: 32 of float16, or 16 of float32 rounded to TF32. It is four chunks of 16
bytes, what one lane gives ldmatrix, and lies in memory as it will in shared memory: chunk c of row r at place
c ^ r / 2 % 4. So any eight rows in order have a chunk in banks of their own (NVIDIA's "Efficient GEMM in CUDA",
cutlass, calls it a swizzle). Filters and channels that fill up are zeros, and so are the 16 bytes behind the last row,
which padding reads.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda, float32, from_dtype
from numba.types import float16

from .compile import inlined, jit, launch
from .intrinsics import bits_float, ld1, st1, to_tf32
from .memory import quotient
from .weights import blocks

_THREADS = 256
WORDS, CHUNK = 16, 4  # of 32 bits: of a row, of a chunk
SLACK = 8  # zeros behind the rows: 16 bytes at least


def channels_of(dtype: Any) -> int:
    """Channels of a slice."""
    return 4 * WORDS // np.dtype(dtype).itemsize


def size(groups: int, filters: int, channels: int, taps: int, block: int, channel_block: int) -> int:
    """Elements of the rows, the zeros behind them included."""
    depth = -(-channels // channel_block) * channel_block
    return groups * blocks(filters, block) * block * taps * depth + SLACK


@inlined
def swizzled(row: Any, chunk: Any) -> Any:
    """Where a chunk of a row begins, in words."""
    return row * WORDS + (chunk ^ (row >> 1 & 3)) * CHUNK


@functools.cache
def _kernel(number: Any) -> Any:
    half, depth = number == float16, 8 * 4 * WORDS // number.bitwidth
    of_chunk = depth * CHUNK // WORDS

    @inlined
    def element(w: Any, at: Any) -> Any:
        return ld1(w, at) if half else bits_float(to_tf32(ld1(w, at)))

    @jit(_THREADS)
    def pack_rows(
        w: Any, taps: Any, rows: Any, count: Any, filters: Any, channels: Any, group_stride: Any, filter_stride: Any,
        channel_stride: Any, tap_count: Any, block: Any, slices: Any, per_group: Any,
    ) -> None:  # fmt: skip
        at = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if at < count:
            rest, lane = quotient(at, depth)
            rest, row = quotient(rest, block)
            rest, slice_ = quotient(rest, slices)
            rest, tap = quotient(rest, tap_count)
            group, index = quotient(rest, per_group)
            channel = slice_ * depth + (lane // of_chunk ^ (row >> 1 & 3)) * of_chunk + lane % of_chunk
            k = index * block + row
            if k < filters and channel < channels:
                source = group * group_stride + k * filter_stride + channel * channel_stride + ld1(taps, tap)
                st1(rows, at, element(w, source))
            else:
                st1(rows, at, number(float32(0)))
        elif at < count + SLACK:
            st1(rows, at, number(float32(0)))

    return pack_rows


def pack(
    w: Any, groups: int, filters: int, channels: int, strides: Sequence[int], taps: Any, block: int,
    channel_block: int, panels: Any, stream: Any = 0,
) -> None:  # fmt: skip
    """Weights into rows; parameters as those of weights.pack. panels: of `size` elements of w's dtype, in blocks of
    `channels_of` it."""
    slices = -(-channels // channel_block)
    numbers = (
        panels.size - SLACK, filters, channels, *strides, max(taps.size, 1), block, max(slices, 1),
        blocks(filters, block),
    )  # fmt: skip
    arguments = (w, taps, panels, *(np.int32(n) for n in numbers))
    launch(_kernel(from_dtype(panels.dtype)), -(-panels.size // _THREADS), _THREADS, arguments, stream)
