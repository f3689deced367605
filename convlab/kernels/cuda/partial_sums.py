"""Partial sums added up, always in the same order: the second half of a sum that blocks have shared.

A block adds up neighbouring elements, a warp's lanes each: of the partial sums every eighth to each of its warps, and
what the warps have found in the end. So the bits are the same in every run, which atomic additions would not give.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from ..cpu.tensor import Tensor
from .compile import jit, launch
from .intrinsics import ld1, st1
from .memory import address, quotient, store

_WARP, _WARPS = 32, 8
_THREADS = _WARP * _WARPS


@functools.cache
def kernel(storage: Any, total: Any) -> Any:
    """The kernel for results of numba type `storage` and sums of type `total`."""
    zero = total(0)

    @jit(_THREADS)
    def partial_sums(
        partials: Any, w: Any, splits: Any, count: Any, channels: Any, i_taps: Any, j_taps: Any, k_taps: Any,
        w_filter: Any, w_channel: Any, w_i: Any, w_j: Any, w_k: Any,
    ) -> None:  # fmt: skip
        found = cuda.shared.array(_THREADS, total)
        t = cuda.threadIdx.x & (_THREADS - 1)
        lane, warp = t & (_WARP - 1), t // _WARP
        element = cuda.blockIdx.x * _WARP + lane
        value = zero
        if element < count:
            for split in range(warp, splits, _WARPS):
                value += ld1(partials, split * count + element)
        st1(found, t, value)
        cuda.syncthreads()
        if warp == 0 and element < count:
            rest, k = quotient(element, k_taps)
            rest, j = quotient(rest, j_taps)
            rest, i = quotient(rest, i_taps)
            filter_, channel = quotient(rest, channels)
            target = address(w) + filter_ * w_filter + channel * w_channel + i * w_i + j * w_j + k * w_k
            for other in range(1, _WARPS):
                value += ld1(found, other * _WARP + lane)
            store(w, target, storage(value))

    return partial_sums


def parts(partials: Any, taps: Any, extent: Any) -> Tensor:
    """Partial sums as a Tensor of weights: the first of them, in C order."""
    item = partials.dtype.itemsize
    row, plane = taps.k * item, taps.j * taps.k * item
    channel = taps.i * plane
    return Tensor(partials, extent.channels * channel, channel, plane, row, item)


def partial_sums(partials: Any, splits: int, taps: Any, extent: Any, w: Any, stream: Any = 0) -> None:
    """Add them up to w, the Tensor of weights (K, C/groups, *kernel), K and C as images and channels.

    partials: flat device array of the accumulators' type, `splits` times all elements of w in C order.
    """
    count = extent.groups * extent.filters * extent.channels * taps.taps
    numbers = (splits, count, extent.channels, taps.i, taps.j, taps.k)
    arguments = (partials, w.data, *(np.int64(n) for n in numbers), *(np.int64(n) for n in w[1:]))
    launch(
        kernel(from_dtype(w.data.dtype), from_dtype(partials.dtype)), -(-count // _WARP), _THREADS, arguments, stream
    )
