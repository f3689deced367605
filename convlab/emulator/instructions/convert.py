"""Conversions, comparisons, and choices that depend on them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..lanes import Active, Array
from ..types import DTYPES
from .decode import Decoder, Families, Step, elementwise

_ROUND = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
_COMPARE: dict[str, Callable[..., Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
_JOIN: dict[str, Callable[..., Any]] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def to_tf32(x: Array) -> Array:
    """The bits of float32 numbers to the 10 bits of mantissa of TF32, ties away from zero."""
    bits = x.view(np.uint32)
    return np.where(np.isfinite(x), (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits)


def to_bfloat16(x: Array) -> Array:
    """The bits of float32 numbers in bfloat16, ties to even."""
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + np.uint64(0x7FFF) + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)
    return np.where(np.isnan(x), 0x7FFF, rounded).astype(np.uint16)


def from_bfloat16(bits: Array) -> Array:
    """Numbers of bfloat16 as float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _convert(decoder: Decoder) -> Step:
    to, of = decoder.types[0], decoder.types[-1]
    if to == "f16x2":
        return _convert_pair(decoder)
    if (to, of) in (("tf32", "f32"), ("bf16", "f32")):
        return elementwise(to_tf32 if to == "tf32" else to_bfloat16, [decoder.source(1, of)], decoder.destination(to))
    if of == "bf16" and to == "f32":
        return elementwise(from_bfloat16, [decoder.source(1, of)], decoder.destination(to))
    if "bf16" in (to, of):
        raise decoder.refusal()
    source, target, saturates = DTYPES[of], DTYPES[to], decoder.has("sat")
    rounding = next((_ROUND[m] for m in decoder.modifiers if m in _ROUND), None)
    function = _between(source, target, rounding, saturates)
    if source.kind == target.kind == "f" and decoder.has("rz", "rm", "rp"):
        function = _narrowing(target, decoder.one_of("rz", "rm", "rp"))
    return elementwise(function, [decoder.source(1, of)], decoder.destination(to))


def _between(
    source: np.dtype[Any], target: np.dtype[Any], rounding: Callable[..., Any] | None, saturates: bool
) -> Callable[[Array], Array]:
    def to_integer(x: Array) -> Array:
        limits, whole = np.iinfo(target), (rounding or np.trunc)(x.astype(np.float64))
        whole = np.where(np.isnan(whole), 0, whole)
        # The largest integer is no float64: what reaches it is set apart.
        too_large = whole >= float(limits.max)
        inside = np.where(too_large, 0, np.maximum(whole, float(limits.min))).astype(target)
        return np.where(too_large, limits.max, inside).astype(target)

    def to_float(x: Array) -> Array:
        result = (rounding(x) if rounding else x).astype(target)
        return np.clip(np.nan_to_num(result, nan=0.0), 0, 1) if saturates else result

    def clipped(x: Array) -> Array:
        limits, own = np.iinfo(target), np.iinfo(source)
        return np.clip(x, max(limits.min, own.min), min(limits.max, own.max)).astype(target)

    if target.kind == "f":
        return to_float
    if source.kind == "f":
        return to_integer
    return clipped if saturates else lambda x: x.astype(target)


def _narrowing(target: np.dtype[Any], direction: str) -> Callable[[Array], Array]:
    """To a smaller floating type, not to the nearest but down (rm), up (rp) or towards zero (rz)."""

    def narrowed(x: Array) -> Array:
        nearest = x.astype(target)
        beyond = nearest.astype(x.dtype) - x
        wrong = {"rm": beyond > 0, "rp": beyond < 0, "rz": beyond * x > 0}[direction]
        limit = target.type({"rm": -np.inf, "rp": np.inf, "rz": 0}[direction])
        return np.where(wrong, np.nextafter(nearest, limit), nearest)

    return narrowed


def _convert_pair(decoder: Decoder) -> Step:
    """Two float32 to a pair of float16, the second in the low half."""

    def pair(high: Array, low: Array) -> Array:
        return np.stack([low, high], axis=1).astype(np.float16).view(np.uint32)[:, 0]

    return elementwise(pair, [decoder.source(1, "f32"), decoder.source(2, "f32")], decoder.destination())


def _comparison(name: str, floating: bool) -> Callable[[Array, Array], Array]:
    if name in ("num", "nan"):
        sought = name == "nan"
        return lambda x, y: (np.isnan(x) | np.isnan(y)) == sought
    if name.endswith("u") and name[:-1] in _COMPARE:  # equ, ltu, …: true of a NaN
        compare = _COMPARE[name[:-1]]
        return lambda x, y: compare(x, y) | np.isnan(x) | np.isnan(y)
    if name == "ne" and floating:  # false of a NaN, where NumPy's is true
        return lambda x, y: (x < y) | (x > y)
    return _COMPARE[name]


def _compare(decoder: Decoder) -> Step:
    type_ = decoder.types[-1]
    compare = _comparison(decoder.modifiers[0], DTYPES[type_].kind == "f")
    x, y = decoder.source(1, type_), decoder.source(2, type_)
    join = next((_JOIN[m] for m in decoder.modifiers[1:] if m in _JOIN), None)
    other = decoder.source(3, "pred") if join else None
    names = decoder.operands[0].split("|")  # the second takes the opposite
    if decoder.head == "set":
        true: Any = np.float32(1) if decoder.type == "f32" else np.uint32(0xFFFFFFFF)
        result = decoder.names.destination(names[0], "f32" if decoder.type == "f32" else "u32")
    else:
        true, result = np.bool_(True), decoder.names.destination(names[0], "pred")
    opposite = decoder.names.destination(names[1], "pred") if len(names) > 1 else None

    def step(active: Active) -> None:
        holds = compare(x[active], y[active])
        fails = ~holds
        if join is not None and other is not None:
            joined = other[active]
            holds, fails = join(holds, joined), join(fails, joined)
        result[active] = np.where(holds, true, true.dtype.type(0)) if decoder.head == "set" else holds
        if opposite is not None:
            opposite[active] = fails

    return step


def _select(decoder: Decoder) -> Step:
    choose = lambda a, b, condition: np.where(condition, a, b)  # noqa: E731
    return elementwise(choose, [*decoder.sources(1, 2), decoder.source(3, "pred")], decoder.destination())


def _select_by_sign(decoder: Decoder) -> Step:
    choose = lambda a, b, sign: np.where(sign >= 0, a, b)  # noqa: E731
    sources = [*decoder.sources(1, 2), decoder.source(3, decoder.types[1])]
    return elementwise(choose, sources, decoder.destination())


FAMILIES: Families = {
    "cvt": _convert,
    "setp": _compare,
    "set": _compare,
    "selp": _select,
    "slct": _select_by_sign,
}
