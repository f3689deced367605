"""Elements from one device array to another of the same shape: any strides, another type."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from .compile import inlined, jit, launch
from .intrinsics import ld1, st1

_THREADS, _AXES = 256, 5


@functools.cache
def kernel(to: Any) -> Any:
    """The kernel that writes numba type `to`: a thread an element, neighbours along the last axis."""

    @inlined
    def converted(x: Any, at: Any) -> Any:
        return to(ld1(x, at))

    @jit(_THREADS)
    def copy(
        x: Any, y: Any, count: Any, n1: Any, n2: Any, n3: Any, n4: Any, x0: Any, x1: Any, x2: Any, x3: Any, x4: Any,
        y0: Any, y1: Any, y2: Any, y3: Any, y4: Any,
    ) -> None:  # fmt: skip
        index = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if index < count:
            rest, e = index // n4, index % n4
            rest, d = rest // n3, rest % n3
            rest, c = rest // n2, rest % n2
            a, b = rest // n1, rest % n1
            st1(y, a * y0 + b * y1 + c * y2 + d * y3 + e * y4, converted(x, a * x0 + b * x1 + c * x2 + d * x3 + e * x4))

    return copy


def copy(x: Any, y: Any, stream: Any = 0, axes: Sequence[int] | None = None) -> None:
    """Write x to y: device arrays of one shape, of up to five axes, whose strides are whole elements.

    axes: x's, in the order of y's, as in NumPy's transpose.
    """
    if x.size == 0:
        return
    missing, order = _AXES - len(y.shape), range(len(y.shape)) if axes is None else axes
    lengths = [1] * missing + list(y.shape)
    bytes_ = ([x.strides[axis] for axis in order], y.strides)
    steps = [[0] * missing + [n // a.dtype.itemsize for n in own] for a, own in zip((x, y), bytes_, strict=True)]
    numbers = [np.int64(n) for n in (x.size, *(max(n, 1) for n in lengths[1:]), *steps[0], *steps[1])]
    launch(kernel(from_dtype(y.dtype)), -(-x.size // _THREADS), _THREADS, (x, y, *numbers), stream)


def ordered(array: Any, device: Any, stream: Any = 0) -> Any:
    """The array if its elements lie in C order with nothing between, else a copy of it, allocated by device.empty."""
    if is_ordered(array):
        return array
    made = device.empty(array.shape, array.dtype)
    copy(array, made, stream)
    return made


def is_ordered(array: Any) -> bool:
    """Whether the elements of a device array lie in C order with nothing between."""
    step = array.dtype.itemsize
    for length, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if length > 1 and stride != step:
            return False
        step *= length
    return True
