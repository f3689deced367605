"""Arithmetic: sums, products, quotients, the approximate functions, and their rounding.

A fused multiply-add rounds once, as the device's does. The approximations of the special function unit (sin.approx,
ex2.approx and the like) are computed as exactly as NumPy can; subnormals are not flushed where .ftz says so.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from ..faults import Fault
from ..lanes import Active, Array
from ..types import DTYPES, WIDER
from .decode import Decoder, Families, Step, elementwise

_DIRECTIONS = {"rm": -np.inf, "rp": np.inf, "rz": 0.0}


@intrinsic
def _fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    return a(a, b, c), lambda context, builder, signature, args: builder.fma(*args)


@numba.vectorize(["float32(float32,float32,float32)", "float64(float64,float64,float64)"], cache=True)
def fma(a: Any, b: Any, c: Any) -> Any:
    """a · b + c, rounded once."""
    return _fused(a, b, c)


def _fma_half(a: Array, b: Array, c: Array) -> Array:
    return fma(a.astype(np.float64), b.astype(np.float64), c.astype(np.float64)).astype(np.float16)


def _directed(direction: str) -> Callable[[Array, Array, Array], Array]:
    """a · b + c of float32, rounded down (rm), up (rp) or towards zero (rz)."""

    def rounded(a: Array, b: Array, c: Array) -> Array:
        product, addend = a.astype(np.float64) * b, c.astype(np.float64)  # exact
        total = product + addend
        part = total - product
        error = (product - (total - part)) + (addend - part)  # total + error is exact (Knuth's two-sum)
        nearest = total.astype(np.float32)
        beyond = nearest.astype(np.float64) - total - error
        limit = _DIRECTIONS[direction]
        wrong = beyond > 0 if direction == "rm" else beyond < 0 if direction == "rp" else beyond * total > 0
        return np.where(wrong, np.nextafter(nearest, np.float32(limit)), nearest)

    return rounded


def _limited(decoder: Decoder, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its results held to [0, 1] if the instruction says .sat."""
    if not decoder.has("sat"):
        return function
    if decoder.dtype.kind != "f":
        raise decoder.refusal()
    return lambda *values: np.clip(np.nan_to_num(function(*values), nan=0.0), 0, 1)


def _direction(decoder: Decoder) -> str | None:
    """The instruction's rounding, None if it is to the nearest."""
    direction = next((m for m in decoder.modifiers if m in _DIRECTIONS), None)
    if direction and decoder.type != "f32":
        raise decoder.refusal()
    return direction


def high_product(a: Array, b: Array) -> Array:
    """The upper half of the product of two integers."""
    bits = 8 * a.dtype.itemsize
    if bits < 64:
        wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
        return (a.astype(wide) * b.astype(wide) >> wide.type(bits)).astype(a.dtype)
    products = [int(x) * int(y) >> 64 & (1 << 64) - 1 for x, y in zip(a, b, strict=True)]
    return np.array(products, np.uint64).view(a.dtype)


def _wide_product(dtype: np.dtype[Any]) -> Callable[[Array, Array], Array]:
    return lambda a, b: np.multiply(a, b, dtype=dtype)


def _sums(decoder: Decoder) -> Step:
    if decoder.type == "f16x2":
        return _pairs(decoder, {"add": np.add, "sub": np.subtract, "mul": np.multiply}[decoder.head])
    if decoder.has("cc"):
        return _carrying(decoder)
    a, b = decoder.sources(1, 2)
    if decoder.has("wide"):
        wider = WIDER[decoder.type]
        return elementwise(_wide_product(DTYPES[wider]), [a, b], decoder.destination(wider))
    if decoder.has("hi"):
        return elementwise(high_product, [a, b], decoder.destination())
    function: Callable[..., Any] = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[decoder.head]
    if direction := _direction(decoder):
        exact, one = _directed(direction), np.float32(1)
        if decoder.head == "mul":
            function = lambda x, y: exact(x, y, np.copysign(np.float32(0), x * y))  # noqa: E731
        else:
            sign = one if decoder.head == "add" else -one
            function = lambda x, y: exact(x, np.broadcast_to(one, x.shape), sign * y)  # noqa: E731
    return elementwise(_limited(decoder, function), [a, b], decoder.destination())


def _products(decoder: Decoder) -> Step:
    if decoder.type == "f16x2":
        return _pairs(decoder, _fma_half)
    if decoder.has("cc"):
        return _carrying(decoder)
    a, b = decoder.sources(1, 2)
    if decoder.has("wide"):
        wider, product = WIDER[decoder.type], _wide_product(DTYPES[WIDER[decoder.type]])
        sources = [a, b, decoder.source(3, wider)]
        return elementwise(lambda x, y, z: product(x, y) + z, sources, decoder.destination(wider))
    sources = [a, b, decoder.source(3)]
    function: Callable[..., Any]
    if direction := _direction(decoder):
        function = _directed(direction)
    elif decoder.dtype.kind == "f":
        function = _fma_half if decoder.type == "f16" else fma
    elif decoder.has("hi"):
        function = lambda x, y, z: high_product(x, y) + z  # noqa: E731
    else:
        function = lambda x, y, z: x * y + z  # noqa: E731
    return elementwise(_limited(decoder, function), sources, decoder.destination())


def _pairs(decoder: Decoder, function: Callable[..., Any]) -> Step:
    """Two float16 in a register of 32 bits."""

    def both(*values: Array) -> Array:
        halves = [np.ascontiguousarray(v).view(np.float16) for v in values]
        return np.asarray(function(*halves), np.float16).view(np.uint32)

    return elementwise(both, decoder.sources(*range(1, len(decoder.operands))), decoder.destination())


def _carrying(decoder: Decoder) -> Step:
    """Sums and products of more than one word: .cc sets the lane's carry, a c in the name uses it."""
    unsigned, carry = f"u{8 * decoder.dtype.itemsize}", decoder.lanes.carry
    uses, sets = decoder.head.endswith("c"), decoder.has("cc")
    subtracts, high = decoder.head.startswith("sub"), decoder.has("hi")
    factors = decoder.sources(1, 2)
    a, b = decoder.source(1, unsigned), decoder.source(2, unsigned)
    addend = decoder.source(3, unsigned) if decoder.head.startswith("mad") else None
    destination = decoder.destination(unsigned)

    def step(active: Active) -> None:
        x, y = a[active], b[active]
        if addend is not None:
            x = high_product(*(f[active] for f in factors)).view(x.dtype) if high else x * y
            y = addend[active]
        over = carry[active].astype(x.dtype) if uses else x.dtype.type(0)
        if subtracts:
            result, out = x - y - over, (x < y) | ((x == y) & (over > 0))
        else:
            partial = x + y
            result = partial + over
            out = (partial < x) | (result < partial)
        if sets:
            carry[active] = out
        destination[active] = result

    return step


def _quotients(decoder: Decoder) -> Step:
    sources, destination = decoder.sources(1, 2), decoder.destination()
    if decoder.dtype.kind == "f":
        return elementwise(np.divide, sources, destination)
    remainder = decoder.head == "rem"

    def divide(x: Array, y: Array) -> Array:
        if not y.all():
            raise Fault("integer division by zero")
        return np.fmod(x, y) if remainder else ((x - np.fmod(x, y)) // y)  # truncated, where NumPy's // rounds down

    return elementwise(divide, sources, destination)


def _extrema(decoder: Decoder) -> Step:
    if decoder.type == "f16x2":
        return _pairs(decoder, np.fmin if decoder.head == "min" else np.fmax)
    ignoring = decoder.dtype.kind == "f" and not decoder.has("NaN")
    functions = (np.fmin, np.fmax) if ignoring else (np.minimum, np.maximum)
    return elementwise(functions[decoder.head == "max"], decoder.sources(1, 2), decoder.destination())


def _reciprocal_root(x: Array) -> Array:
    return (1 / np.sqrt(x.astype(np.float64))).astype(x.dtype)


_UNARY: dict[str, Callable[..., Any]] = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "rcp": np.reciprocal, "rsqrt": _reciprocal_root,
    "ex2": np.exp2, "lg2": np.log2, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
}  # fmt: skip


def _unary(decoder: Decoder) -> Step:
    if decoder.type == "f16x2":
        return _pairs(decoder, _UNARY[decoder.head])
    return elementwise(_UNARY[decoder.head], decoder.sources(1), decoder.destination())


def _copysign(decoder: Decoder) -> Step:
    return elementwise(lambda sign, x: np.copysign(x, sign), decoder.sources(1, 2), decoder.destination())


def _test(decoder: Decoder) -> Step:
    tests: dict[str, Callable[..., Any]] = {
        "finite": np.isfinite, "infinite": np.isinf, "number": lambda x: ~np.isnan(x), "notanumber": np.isnan,
    }  # fmt: skip
    return elementwise(tests[decoder.one_of(*tests)], decoder.sources(1), decoder.destination("pred"))


FAMILIES: Families = {
    "add": _sums,
    "sub": _sums,
    "mul": _sums,
    "fma": _products,
    "mad": _products,
    "addc": _carrying,
    "subc": _carrying,
    "madc": _carrying,
    "div": _quotients,
    "rem": _quotients,
    "min": _extrema,
    "max": _extrema,
    **dict.fromkeys(_UNARY, _unary),
    "copysign": _copysign,
    "testp": _test,
}
