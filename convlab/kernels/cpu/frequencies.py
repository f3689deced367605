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
def _four_filters(
    count: int, x: int, x_step: int, w: int, w_step: int, w_filter: int, y: int, y_filter: int, more: bool, like: Any,
    one: Any,
) -> None:  # fmt: skip
    """`products` of four filters and one pair of vectors."""
    simd.inlined()
    a = _start(more, like, y, one)
    b = _start(more, like, y + y_filter, one)
    c = _start(more, like, y + 2 * y_filter, one)
    d = _start(more, like, y + 3 * y_filter, one)
    for i in range(count):
        value, at = _pair(like, x + i * x_step, one), w + i * w_step
        a = _add(value, _pair(like, at, one), a)
        b = _add(value, _pair(like, at + w_filter, one), b)
        c = _add(value, _pair(like, at + 2 * w_filter, one), c)
        d = _add(value, _pair(like, at + 3 * w_filter, one), d)
    _keep(a, like, y)
    _keep(b, like, y + y_filter)
    _keep(c, like, y + 2 * y_filter)
    _keep(d, like, y + 3 * y_filter)


@jit
def _four_pairs(count: int, x: int, x_step: int, w: int, w_step: int, y: int, more: bool, like: Any, one: Any) -> None:
    """`products` of one filter and four pairs of vectors."""
    simd.inlined()
    pair = 2 * simd.VECTOR_BYTES
    a = _start(more, like, y, one)
    b = _start(more, like, y + pair, one)
    c = _start(more, like, y + 2 * pair, one)
    d = _start(more, like, y + 3 * pair, one)
    for i in range(count):
        value, at = x + i * x_step, w + i * w_step
        a = _add(_pair(like, value, one), _pair(like, at, one), a)
        b = _add(_pair(like, value + pair, one), _pair(like, at + pair, one), b)
        c = _add(_pair(like, value + 2 * pair, one), _pair(like, at + 2 * pair, one), c)
        d = _add(_pair(like, value + 3 * pair, one), _pair(like, at + 3 * pair, one), d)
    _keep(a, like, y)
    _keep(b, like, y + pair)
    _keep(c, like, y + 2 * pair)
    _keep(d, like, y + 3 * pair)


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
    one, pair = vector.broadcast(zero), 2 * simd.VECTOR_BYTES
    if filters == FILTERS:
        for at in range(0, size, pair):
            _four_filters(count, x + at, x_step, w + at, w_step, w_filter, y + at, y_filter, more, like, one)
        return
    for filter in range(filters):
        ours, sums = w + filter * w_filter, y + filter * y_filter
        for at in range(0, size - 4 * pair + 1, 4 * pair):
            _four_pairs(count, x + at, x_step, ours + at, w_step, sums + at, more, like, one)
        for at in range(size // (4 * pair) * (4 * pair), size, pair):
            total = _start(more, like, sums + at, one)
            for i in range(count):
                a = _pair(like, x + i * x_step + at, one)
                total = _add(a, _pair(like, ours + i * w_step + at, one), total)
            _keep(total, like, sums + at)
