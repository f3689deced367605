"""Filters transformed for the fused Winograd kernel: U = G g Gᵀ for tiles F(2x2, 3x3), in the order it reads them.

[group][block of filters][slice of channels][half][point][channel of the slice][filter of the block], in float32: the
even points make one half of a slice, the odd ones the other. Filters and channels that fill up are zeros.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda, float32

from ..transforms import toom_cook
from .compile import inlined, jit, launch
from .intrinsics import ld1, st1
from .memory import quotient
from .weights import blocks

FILTERS, CHANNELS = 64, 8  # of a block and of a slice
OUTPUTS, TAPS = 2, 3  # of a tile along each axis
EDGE = OUTPUTS + TAPS - 1
POINTS = EDGE**2
PAIRS = POINTS // 2  # of an even and an odd point
_THREADS = 256


def slices(channels: int) -> int:
    """Slices of channels."""
    return -(-channels // CHANNELS)


def size(groups: int, filters: int, channels: int) -> int:
    """Elements of the transformed filters."""
    return groups * blocks(filters, FILTERS) * FILTERS * slices(channels) * CHANNELS * POINTS


@functools.cache
def _kernel() -> Any:
    matrix, taps_2d = np.array(toom_cook(OUTPUTS, TAPS).g, np.float32), TAPS**2

    @inlined
    def element(w: Any, at: Any) -> Any:
        return float32(ld1(w, at))

    @jit(_THREADS)
    def transform(
        w: Any, taps: Any, panels: Any, count: Any, filters: Any, channels: Any, group_stride: Any, filter_stride: Any,
        channel_stride: Any, padded: Any, per_group: Any,
    ) -> None:  # fmt: skip
        g = cuda.const.array_like(matrix)
        own, half = cuda.local.array(taps_2d, float32), cuda.local.array((EDGE, TAPS), float32)
        at = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if at < count:
            rest, lane = quotient(at, FILTERS)
            rest, channel = quotient(rest, padded)
            group, index = quotient(rest, per_group)
            k = index * FILTERS + lane
            exists = k < filters and channel < channels
            first = group * group_stride + k * filter_stride + channel * channel_stride
            for i in range(taps_2d):
                own[i] = element(w, first + ld1(taps, i)) if exists else float32(0)
            for i in range(EDGE):
                for b in range(TAPS):
                    total = float32(0)
                    for a in range(TAPS):
                        total += g[i, a] * own[a * TAPS + b]
                    half[i, b] = total
            slice_, depth = quotient(channel, CHANNELS)
            to = ((rest * (padded // CHANNELS) + slice_) * POINTS * CHANNELS + depth) * FILTERS + lane
            for i in range(EDGE):
                for j in range(EDGE):
                    total, point = float32(0), i * EDGE + j
                    for b in range(TAPS):
                        total += half[i, b] * g[j, b]
                    st1(panels, to + (point % 2 * PAIRS + point // 2) * CHANNELS * FILTERS, total)

    return transform


def transform_filters(
    w: Any, groups: int, filters: int, channels: int, strides: Sequence[int], taps: Any, panels: Any, stream: Any = 0
) -> None:
    """Transform filters of 3x3 taps.

    w: flat device array in storage order, float32 or float16. strides: elements from one group, filter and channel of
    the sweep to the next. taps: int32 device array, where in a filter the tap lies that meets each of the 3x3 positions
    of a tile. panels: float32, of `size` elements.
    """
    if panels.size == 0:
        return
    padded = slices(channels) * CHANNELS
    count = panels.size // POINTS
    numbers = (count, filters, channels, *strides, padded, blocks(filters, FILTERS))
    launch(_kernel(), -(-count // _THREADS), _THREADS, (w, taps, panels, *(np.int32(n) for n in numbers)), stream)
