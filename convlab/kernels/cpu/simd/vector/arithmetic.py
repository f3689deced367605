"""Arithmetic on vectors: Python's operators, min, max, abs, math.sqrt; fma and select, which numbers have as well.

One rule for operands: all vectors are of one type, and a number among them is converted to it. So constants do not
widen float32 vectors; floats that meet integer vectors are cut off.

Nothing raises: x / 0 is inf or NaN, integers wrap. min and max are Python's, b if b < a else a: of a NaN
and a number it is the first operand that comes back, so max(x, 0) keeps the NaNs of x and max(0, x) does not.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, lower_builtin, type_callable

from .. import emit
from .value import Vector, common


def _implement(function: Any, operands: int, result: Callable[[Vector], Any], emitted: Callable[..., Any]) -> None:
    """Teach Numba `function` of one or two vectors. result: its type, or None where it has no meaning;
    emitted: (builder, vector type, *values) → value.

    Below @overload on purpose, which compiles a function for each operator and inlines it at each use: 300 operators
    in a function, as unrolled transforms have, compile in 0.6 s instead of 1.0 s.
    """

    @type_callable(function)
    def typed(context: Any) -> Any:
        def typer(*given: Any) -> Any:
            if len(given) != operands or not any(isinstance(each, Vector) for each in given):
                return None
            vector = common(context, *given)
            if result(vector) is None:
                raise TypingError(f"no {function.__name__} of {vector}")
            return result(vector)(*[vector] * operands)

        def unary(a: Any) -> Any:
            return typer(a)

        def binary(a: Any, b: Any) -> Any:
            return typer(a, b)

        return unary if operands == 1 else binary

    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emitted(builder, signature.args[0], *args)

    lower_builtin(function, *[Vector] * operands)(lowered)


def _is_float(vector: Vector) -> bool:
    return isinstance(vector.dtype, types.Float)


def _number(vector: Vector) -> Any:
    return None if vector.is_mask else vector


def _float(vector: Vector) -> Any:
    return vector if _is_float(vector) else None


def _bits(vector: Vector) -> Any:
    return None if _is_float(vector) else vector


def _mask(vector: Vector) -> Any:
    return None if vector.is_mask else Vector(types.boolean, vector.lanes)


def _by_dtype(of_floats: str, of_integers: str) -> Callable[..., Any]:
    """The builder's method for the one, or the other."""

    def emitted(builder: Any, vector: Vector, *values: Any) -> Any:
        return getattr(builder, of_floats if _is_float(vector) else of_integers)(*values)

    return emitted


def _compare(sign: str) -> Callable[..., Any]:
    def emitted(builder: Any, vector: Vector, a: Any, b: Any) -> Any:
        if _is_float(vector):
            return (builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered)(sign, a, b)
        return (builder.icmp_signed if vector.dtype.signed else builder.icmp_unsigned)(sign, a, b)

    return emitted


def _choose(sign: str) -> Callable[..., Any]:
    """b if b `sign` a else a: x86's vminps and vmaxps, and Numba's own min and max of two numbers."""

    def emitted(builder: Any, vector: Vector, a: Any, b: Any) -> Any:
        return builder.select(_compare(sign)(builder, vector, b, a), b, a)

    return emitted


def _named(name: str) -> Callable[..., Any]:
    """A function of LLVM's on floats; by name, as llvmlite's declare_intrinsic refuses vector types."""

    def emitted(builder: Any, vector: Vector, value: Any) -> Any:
        kind = ir.FunctionType(value.type, [value.type])
        full = f"llvm.{name}.v{vector.lanes}f{vector.dtype.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), [value])

    return emitted


def _negate(builder: Any, vector: Vector, value: Any) -> Any:
    return builder.fneg(value) if _is_float(vector) else builder.sub(ir.Constant(value.type, None), value)


def _abs(builder: Any, vector: Vector, value: Any) -> Any:
    if _is_float(vector):
        return _named("fabs")(builder, vector, value)
    return _choose(">")(builder, vector, value, _negate(builder, vector, value)) if vector.dtype.signed else value


for _function, _in_place, _emitted, _result in (
    (operator.add, operator.iadd, _by_dtype("fadd", "add"), _number),
    (operator.sub, operator.isub, _by_dtype("fsub", "sub"), _number),
    (operator.mul, operator.imul, _by_dtype("fmul", "mul"), _number),
    (operator.truediv, operator.itruediv, _by_dtype("fdiv", "none"), _float),
    (operator.and_, operator.iand, _by_dtype("none", "and_"), _bits),
    (operator.or_, operator.ior, _by_dtype("none", "or_"), _bits),
    (operator.xor, operator.ixor, _by_dtype("none", "xor"), _bits),
):
    _implement(_function, 2, _result, _emitted)
    _implement(_in_place, 2, _result, _emitted)
for _function, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.eq, "=="), (operator.ne, "!="), (operator.ge, ">="),
    (operator.gt, ">"),
):  # fmt: skip
    _implement(_function, 2, _mask, _compare(_sign))
_implement(min, 2, _number, _choose("<"))
_implement(max, 2, _number, _choose(">"))
_implement(operator.neg, 1, _number, _negate)
_implement(operator.invert, 1, _bits, _by_dtype("none", "not_"))
_implement(abs, 1, _number, _abs)
_implement(math.sqrt, 1, _float, _named("sqrt"))


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a · b + c of vectors or numbers; rounded once on every processor that has the instruction (see simd.HAS_FMA)."""
    kind = common(typingctx, a, b, c)
    if isinstance(getattr(kind, "dtype", kind), types.Boolean):
        raise TypingError(f"no fma of {kind}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit.multiply_add(builder, *args)

    return kind(kind, kind, kind), codegen


@intrinsic
def select(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """a where the mask is true, b elsewhere: lane by lane, or all of one by a boolean. Both are computed."""
    kind = common(typingctx, a, b)
    if isinstance(mask, Vector):
        if not mask.is_mask:
            raise TypingError(f"a mask or a boolean chooses, not {mask}")
        if not isinstance(kind, Vector):  # of two numbers: a vector of them
            kind = Vector(kind, mask.lanes)
        if kind.lanes != mask.lanes:
            raise TypingError(f"{mask} cannot choose lanes of {kind}")
    elif not isinstance(mask, types.Boolean):
        raise TypingError(f"a mask or a boolean chooses, not {mask}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return kind(mask, kind, kind), codegen


def _of_all(builder: Any, mask: Any, sign: str, bits: int) -> Any:
    """Compare the mask, read as one integer."""
    whole = ir.IntType(mask.type.count)
    return builder.icmp_unsigned(sign, builder.bitcast(mask, whole), whole(bits))


@intrinsic
def any_lane(typingctx: Any, mask: Any) -> Any:
    """Whether a mask is true in some lane; of a boolean, itself."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _of_all(builder, args[0], "!=", 0) if isinstance(mask, Vector) else args[0]

    return types.boolean(mask), codegen


@intrinsic
def all_lanes(typingctx: Any, mask: Any) -> Any:
    """Whether a mask is true in every lane; of a boolean, itself."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _of_all(builder, args[0], "==", -1) if isinstance(mask, Vector) else args[0]

    return types.boolean(mask), codegen
