"""Partial sums added up, always in the same order, with the epilogue: the last step of a sum that blocks have shared.

A problem of few results leaves most SMs idle unless blocks share the depth of a sum. They write their parts side by
side, and these are added up here: few by one thread a result, many by eight, whose sums are added in the end. So the
bits are the same in every run, which atomic additions would not give.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, from_dtype, int64

from ..cpu.epilogue import NONE
from ..cpu.tensor import Tensor
from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .intrinsics import ld1, st1
from .memory import address, quotient, store

_THREADS, _MANY = 256, 8
_CHANNELS = 1  # which axis of results has a bias


def parts_of(sums: Any, sizes: tuple[int, ...], y: Any) -> Tensor:
    """A dense Tensor of the first part of `sums`, whose axes lie in memory in the order of y's.

    sizes: images, channels, planes, rows and columns; of weights, filters, channels and taps.
    """
    strides, step = [0] * 5, sums.dtype.itemsize
    for axis in _inwards(y)[::-1]:
        strides[axis], step = step, step * sizes[axis]
    return Tensor(sums, *strides)


def _inwards(y: Any) -> tuple[int, ...]:
    """y's axes, the outermost first: channels are the second, or the last."""
    return (0, 2, 3, 4, 1) if y.channel < y.column else (0, 1, 2, 3, 4)


@functools.cache
def kernel(storage: Any, total: Any, activation: int, biased: bool, axis: int, sharing: int) -> Any:
    """The kernel for results of numba type `storage` and sums of type `total`; axis: where channels are, `sharing`
    threads add up the parts of a result."""
    activate, zero, results = activated(activation, total), total(0), _THREADS // sharing

    @inlined
    def own(bias: Any, channel: Any) -> Any:
        return total(ld1(bias, channel)) if biased else zero

    @inlined
    def alone(value: Any, t: Any) -> Any:
        return value

    @inlined
    def together(value: Any, t: Any) -> Any:
        """The sum of all threads that share a result."""
        found = cuda.shared.array(_THREADS, total)
        st1(found, t, value)
        cuda.syncthreads()
        if t < results:
            for other in range(1, sharing):
                value += ld1(found, other * results + t)
        return value

    whole = alone if sharing == 1 else together

    @jit(_THREADS)
    def partial_sums(
        sums: Any, bias: Any, y: Any, count: Any, parts: Any, n1: Any, n2: Any, n3: Any, n4: Any, y0: Any, y1: Any,
        y2: Any, y3: Any, y4: Any,
    ) -> None:  # fmt: skip
        t = cuda.threadIdx.x & (_THREADS - 1)
        share, lane = t // results, t & (results - 1)
        at, value = int64(cuda.blockIdx.x) * results + lane, zero
        if at < count:
            for part in range(share, parts, sharing):
                value += ld1(sums, part * count + at)
        value = whole(value, t)
        if share == 0 and at < count:
            rest, e = quotient(at, n4)
            rest, d = quotient(rest, n3)
            rest, c = quotient(rest, n2)
            a, b = quotient(rest, n1)
            value += own(bias, b if axis == _CHANNELS else e)
            store(y, address(y) + a * y0 + b * y1 + c * y2 + d * y3 + e * y4, storage(activate(value)))

    return partial_sums


def partial_sums(
    sums: Any, parts: int, bias: Any, activation: int, sizes: tuple[int, ...], y: Any, stream: Any = 0
) -> None:
    """Write to y what the parts come to, with bias and activation.

    sums: flat device array of the accumulators' type, `parts` times as many elements as y, each part as in `parts_of`.
    bias: one storage element a channel, or None. sizes: of y, a Tensor, along its five axes.
    """
    order = _inwards(y)
    count = sums.size // parts
    strides = [np.int64(y[1 + axis]) for axis in order]
    numbers = [np.int64(n) for n in (count, parts, *(sizes[axis] for axis in order[1:]))]
    storage, total = from_dtype(y.data.dtype), from_dtype(sums.dtype)
    sharing = _MANY if parts > _MANY else 1
    biased = bias is not None and with_bias(bias)
    code = kernel(storage, total, activation, biased, order.index(_CHANNELS), sharing)
    arguments = (sums, bias if biased else sums, y.data, *numbers, *strides)
    launch(code, -(-count // (_THREADS // sharing)), _THREADS, arguments, stream)


def added(sums: Any, parts: int, sizes: tuple[int, ...], y: Any, stream: Any = 0) -> None:
    """`partial_sums` without bias and activation."""
    partial_sums(sums, parts, None, NONE, sizes, y, stream)
