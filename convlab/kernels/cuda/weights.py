"""Weights in panels, as the CUDA kernels read them: for each block of filters of a group a row of them for every tap
and channel, [group][block][tap][channel][filter], in the type of the sums. Filters and channels that fill up a block
are zeros, and so are the elements behind the panels, which padding reads.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from .compile import inlined, jit, launch
from .intrinsics import ld1, st1
from .memory import quotient

_THREADS = 256
SLACK = 4  # zeros behind the panels: 16 bytes at least


def blocks(filters: int, block: int) -> int:
    """Blocks of filters of a group."""
    return -(-filters // block)


def size(groups: int, filters: int, channels: int, taps: int, block: int, channel_block: int = 1) -> int:
    """Elements of panels, the zeros behind them included."""
    depth = taps * -(-channels // channel_block) * channel_block
    return groups * blocks(filters, block) * block * depth + SLACK


@functools.cache
def _kernel(total: Any) -> Any:
    zero = total(0)

    @inlined
    def element(w: Any, at: Any) -> Any:
        return total(ld1(w, at))

    @jit(_THREADS)
    def pack(
        w: Any, taps: Any, panels: Any, count: Any, filters: Any, channels: Any, group_stride: Any, filter_stride: Any,
        channel_stride: Any, tap_count: Any, block: Any, padded: Any, per_group: Any,
    ) -> None:  # fmt: skip
        at = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if at < count:
            rest, lane = quotient(at, block)
            rest, channel = quotient(rest, padded)
            rest, tap = quotient(rest, tap_count)
            group, index = quotient(rest, per_group)
            k = index * block + lane
            if k < filters and channel < channels:
                source = group * group_stride + k * filter_stride + channel * channel_stride + ld1(taps, tap)
                st1(panels, at, element(w, source))
            else:
                st1(panels, at, zero)
        elif at < count + SLACK:
            st1(panels, at, zero)

    return pack


def pack(
    w: Any, groups: int, filters: int, channels: int, strides: Sequence[int], taps: Any, block: int,
    channel_block: int, panels: Any, stream: Any = 0,
) -> None:  # fmt: skip
    """Weights into panels.

    w: flat device array in storage order. strides: elements from one group, filter and channel of the sweep to the
    next (backward_data exchanges the last two). taps: int32 device array, the element of each tap (Sweep.weights).
    block: filters of a block; channel_block: channels are filled up to a multiple of it. panels: of `size` elements,
    float32, or float64 for float64 weights.
    """
    padded = -(-channels // channel_block) * channel_block
    per_group = blocks(filters, block)
    count = panels.size - SLACK
    numbers = (count, filters, channels, *strides, max(taps.size, 1), block, max(padded, 1), per_group)
    grid = -(-panels.size // _THREADS)
    arguments = (w, taps, panels, *(np.int32(n) for n in numbers))
    launch(_kernel(from_dtype(panels.dtype)), grid, _THREADS, arguments, stream)
