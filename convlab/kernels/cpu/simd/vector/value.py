"""Vector: the type of value, its lanes, and how a number becomes one."""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import PrimitiveModel
from numba.core.errors import TypingError
from numba.core.typeconv import Conversion
from numba.extending import intrinsic, lower_builtin, lower_cast, register_model, type_callable

from .. import emit
from ..features import lanes_of


def is_number(kind: Any) -> bool:
    """Whether vectors are made of numbers of this type."""
    return isinstance(kind, (types.Float, types.Integer)) and kind != types.float16


class Vector(types.Type):
    """Numba type of `lanes` numbers of type `dtype` side by side; of booleans for a mask, as a comparison gives.

    dtype: float32, float64 or an integer. lanes: a power of two from 2 on; where that is not what a register of the
    machine holds, LLVM takes several registers or a part of one.
    """

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        if not (is_number(dtype) or isinstance(dtype, types.Boolean)):
            raise TypingError(f"no vectors of {dtype}: float32, float64 and integers only")
        if lanes < 2 or lanes & (lanes - 1):
            raise TypingError(f"a vector has 2, 4, 8, … lanes, not {lanes}")
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")

    @property
    def is_mask(self) -> bool:
        return isinstance(self.dtype, types.Boolean)

    # A number is converted where a vector is wanted, so that `total = 0.0` may be followed by `total += vector`.
    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        return Conversion.safe if is_number(other) and not self.is_mask else None

    def unify(self, typingctx: Any, other: Any) -> Any:
        return self if self.can_convert_from(typingctx, other) else None


@register_model(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = ir.IntType(1) if vector.is_mask else emit.llvm_scalar(vector.dtype)
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


@lower_cast(types.Number, Vector)
def _number_to_vector(context: Any, builder: Any, number: Any, vector: Any, value: Any) -> Any:
    return emit.broadcast(builder, context.cast(builder, value, number, vector.dtype), vector.lanes)


def common(typingctx: Any, *operands: types.Type) -> types.Type:
    """The one type of an operation's operands: the vector's, if there is one, else what Numba makes of the numbers."""
    vectors = {operand for operand in operands if isinstance(operand, Vector)}
    if len(vectors) > 1:
        raise TypingError(f"vectors of one type only, not {' and '.join(sorted(map(str, vectors)))}")
    if vectors:
        (vector,) = vectors
        if all(operand == vector or vector.can_convert_from(typingctx, operand) for operand in operands):
            return vector
    elif all(is_number(operand) or isinstance(operand, types.Boolean) for operand in operands):
        return typingctx.unify_types(*map(types.unliteral, operands))
    raise TypingError(f"vectors and numbers only, not {' and '.join(map(str, operands))}")


def wanted(number: types.Type, like: Any, lanes: Any) -> types.Type:
    """The type that arguments like=, lanes= ask for: like's, or else a vector of numbers of this type."""
    if lanes is None:
        if like is not None:
            return types.unliteral(like)
        if not is_number(number):
            raise TypingError(f"no vectors of {number}: float32, float64 and integers only")
        return Vector(number, lanes_of(number))
    if like is not None:
        raise TypingError("like= or lanes=, not both")
    if not isinstance(lanes, types.IntegerLiteral):
        raise TypingError("lanes must be a literal, or a global integer")
    return Vector(number, lanes.literal_value)


def given(argument: Any) -> types.Type:
    """The type of an optional argument in an intrinsic's signature."""
    return types.Omitted(None) if argument is None else argument


@intrinsic(prefer_literal=True)
def broadcast(typingctx: Any, number: Any, like: Any = None, lanes: Any = None) -> Any:
    """The number in every lane of a vector.

    Of like's type, if given: a number as the example gives a number of its type. Else a vector of the number's type, of
    `lanes` lanes (a literal) or of as many as a register holds.
    """
    vector = number if isinstance(number, Vector) and like is None else wanted(types.unliteral(number), like, lanes)
    if number != vector and not is_number(number):
        raise TypingError(f"cannot make a {vector} of a {number}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0]  # cast on the way in

    return vector(vector, given(like), given(lanes)), codegen


@intrinsic
def width(typingctx: Any, value: Any) -> Any:
    """Numbers in a value: the lanes of a vector, 1 for a number. What a loop written for both goes forward by."""
    count = value.lanes if isinstance(value, Vector) else 1

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(value), codegen


@type_callable(operator.getitem)
def _lane(context: Any) -> Any:
    def typer(vector: Any, index: Any) -> Any:
        if isinstance(vector, Vector) and isinstance(index, types.Integer):
            return vector.dtype(vector, types.intp)
        return None

    return typer


@lower_builtin(operator.getitem, Vector, types.Integer)
def _extract(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.extract_element(*args)
