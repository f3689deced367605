"""Products of spectra, frequency by frequency: sums over channels, or over images, in registers."""

from typing import Any

from ..compile import jit
from . import simd
from .simd import vector

# Filters whose sums one reading of the channels serves: eight registers of sums, four uses of each number read.
FILTERS = 4


@jit
def _pair(like: Any, at: int, one: Any) -> Any:
    """A vector of real parts and one of imaginary parts."""
    simd.inlined()
    return vector.deinterleave((vector.load_at(like, at, one), vector.load_at(like, at + simd.VECTOR_BYTES, one)))


@jit
def _add(x: Any, w: Any, total: Any) -> Any:
    """total + x · w."""
    simd.inlined()
    real = vector.fma(x[0], w[0], vector.fma(-x[1], w[1], total[0]))
    return real, vector.fma(x[0], w[1], vector.fma(x[1], w[0], total[1]))


@jit
def _keep(total: Any, like: Any, at: int) -> None:
    simd.inlined()
    low, high = vector.interleave(total)
    vector.store_at(low, like, at)
    vector.store_at(high, like, at + simd.VECTOR_BYTES)


@jit
def _start(more: bool, like: Any, at: int, one: Any) -> Any:
    simd.inlined()
    return _pair(like, at, one) if more else (one, one)


@jit
def products(
    count: int, x: int, x_step: int, w: int, w_step: int, filters: int, w_filter: int, y: int, y_filter: int,
    size: int, more: bool, like: Any, zero: Any,
) -> None:  # fmt: skip
    """y[filter] = Σ x[i] · w[filter, i] over `count` spectra of `size` bytes, at byte addresses; `more`: y += it.

    x_step, w_step: bytes from one i to the next; w_filter, y_filter: from one filter to the next. filters: FILTERS at
    the most. like: an array of the parts' type. Every sum goes on in the order of i.
    """
    simd.outlined()
    one = vector.broadcast(zero)
    for at in range(0, size, 2 * simd.VECTOR_BYTES):
        if filters == FILTERS:
            w_at, y_at = w + at, y + at
            first = _start(more, like, y_at, one)
            second = _start(more, like, y_at + y_filter, one)
            third = _start(more, like, y_at + 2 * y_filter, one)
            fourth = _start(more, like, y_at + 3 * y_filter, one)
            for i in range(count):
                a, b = _pair(like, x + i * x_step + at, one), w_at + i * w_step
                first = _add(a, _pair(like, b, one), first)
                second = _add(a, _pair(like, b + w_filter, one), second)
                third = _add(a, _pair(like, b + 2 * w_filter, one), third)
                fourth = _add(a, _pair(like, b + 3 * w_filter, one), fourth)
            _keep(first, like, y_at)
            _keep(second, like, y_at + y_filter)
            _keep(third, like, y_at + 2 * y_filter)
            _keep(fourth, like, y_at + 3 * y_filter)
            continue
        for filter in range(filters):
            total = _start(more, like, y + filter * y_filter + at, one)
            for i in range(count):
                a = _pair(like, x + i * x_step + at, one)
                total = _add(a, _pair(like, w + filter * w_filter + i * w_step + at, one), total)
            _keep(total, like, y + filter * y_filter + at)
