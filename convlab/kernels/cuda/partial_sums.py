"""The last step of a convolution whose channels several blocks have shared: the sum of their parts, and the epilogue.

A problem of few outputs leaves most SMs idle unless blocks share the depth of a sum. They write their parts side by
side, and one thread an output adds these up, always in one order.
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, float32, from_dtype

from ..cpu.tensor import Tensor
from .compile import inlined, jit, launch
from .epilogue import activated, with_bias
from .intrinsics import ld1
from .memory import address, quotient, store

_THREADS = 256


def parts_of(sums: Any, sizes: tuple[int, ...], y: Any) -> Tensor:
    """A dense Tensor of the first part of `sums`, whose axes lie in memory in the order of y's.

    sizes: images, channels, planes, rows and columns.
    """
    strides, step = [0] * 5, 4
    for axis in _inwards(y)[::-1]:
        strides[axis], step = step, step * sizes[axis]
    return Tensor(sums, *strides)


def _inwards(y: Any) -> tuple[int, ...]:
    """y's axes, the outermost first: channels are the second, or the last."""
    return (0, 2, 3, 4, 1) if y.channel < y.column else (0, 1, 2, 3, 4)


@functools.cache
def _kernel(storage: Any, activation: int, biased: bool, channel_axis: int) -> Any:
    activate = activated(activation, float32)

    @inlined
    def own(bias: Any, channel: Any) -> Any:
        return float32(ld1(bias, channel)) if biased else float32(0)

    @jit(_THREADS)
    def add_parts(
        sums: Any, bias: Any, y: Any, count: Any, parts: Any, n1: Any, n2: Any, n3: Any, n4: Any, y0: Any, y1: Any,
        y2: Any, y3: Any, y4: Any,
    ) -> None:  # fmt: skip
        at = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if at < count:
            total = ld1(sums, at)
            for part in range(1, parts):
                total += ld1(sums, at + part * count)
            rest, e = quotient(at, n4)
            rest, d = quotient(rest, n3)
            rest, c = quotient(rest, n2)
            a, b = quotient(rest, n1)
            total += own(bias, b if channel_axis == 1 else e)
            target = address(y) + a * y0 + b * y1 + c * y2 + d * y3 + e * y4
            store(y, target, storage(activate(total)))

    return add_parts


def add_parts(
    sums: Any, parts: int, bias: Any, activation: int, sizes: tuple[int, ...], y: Any, stream: Any = 0
) -> None:
    """Write to y what the parts come to, with bias and activation.

    sums: flat float32 device array, `parts` times as many elements as y, each part as in `parts_of`. sizes: images,
    channels, planes, rows and columns of y, a Tensor.
    """
    order = _inwards(y)
    count = sums.size // parts
    strides = [np.int64(y[1 + axis]) for axis in order]
    numbers = [np.int32(n) for n in (count, parts, *(sizes[axis] for axis in order[1:]))]
    code = _kernel(from_dtype(y.data.dtype), activation, with_bias(bias), order.index(1))
    launch(code, -(-count // _THREADS), _THREADS, (sums, bias, y.data, *numbers, *strides), stream)
