"""Lanes moved: within a vector, between two, among as many as a power of two; and their sum."""

from typing import Any

from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .. import emit
from ..network import deinterleaved, interleaved, shuffle
from .value import Vector, common


def _a_vector(value: Any) -> None:
    if not isinstance(value, Vector):
        raise TypingError(f"a vector has lanes to move, {value} has not")


@intrinsic
def reverse(typingctx: Any, vector: Any) -> Any:
    """The last lane first; a number is its own reverse."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not isinstance(vector, Vector):
            return args[0]
        return shuffle(builder, args[0], args[0], list(range(vector.lanes))[::-1])

    return vector(vector), codegen


@intrinsic(prefer_literal=True)
def window(typingctx: Any, a: Any, b: Any, start: Any) -> Any:
    """Lanes start, start + 1, … of a followed by b; start is a literal from 0 to the number of lanes.

    Of neighbours in memory, what lies `start` elements behind a. b may be a number: window(a, x, 1) shifts it in.
    """
    vector = common(typingctx, a, b)
    _a_vector(vector)
    if not isinstance(start, types.IntegerLiteral):
        raise TypingError("start must be a literal, or a global integer")
    first = start.literal_value
    if not 0 <= first <= vector.lanes:
        raise TypingError(f"start is {first}, not one of 0 … {vector.lanes}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return shuffle(builder, args[0], args[1], [first + i for i in range(vector.lanes)])

    return vector(vector, vector, start), codegen


@intrinsic(prefer_literal=True)
def rotate(typingctx: Any, vector: Any, count: Any) -> Any:
    """Lane i becomes lane i − count, around the ends; count is a literal, of either sign."""
    _a_vector(vector)
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError("count must be a literal, or a global integer")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = [(i + count.literal_value) % vector.lanes for i in range(vector.lanes)]
        return shuffle(builder, args[0], args[0], lanes)

    return vector(vector, count), codegen


def _several(vectors: Any, name: str) -> None:
    """A tuple of 2, 4, 8, … vectors of one type, not more than they have lanes."""
    if not (isinstance(vectors, types.UniTuple) and isinstance(vectors.dtype, Vector)):
        raise TypingError(f"{name} takes a tuple of vectors of one type, not {vectors}")
    if vectors.count < 2 or vectors.count & (vectors.count - 1) or vectors.count > vectors.dtype.lanes:
        raise TypingError(f"{name} takes 2, 4, 8, … vectors, not more than they have lanes; not {vectors.count}")


def _of_tuples(context: Any, builder: Any, kind: Any, value: Any, function: Any) -> Any:
    vectors = [builder.extract_value(value, i) for i in range(kind.count)]
    return context.make_tuple(builder, kind, function(builder, vectors))


@intrinsic
def interleave(typingctx: Any, vectors: Any) -> Any:
    """From m vectors, a tuple, as many: first lane 0 of each of them in turn, then lane 1 of each, and so on.

    Of two, a0 b0 a1 b1 …: the low half and the high half.
    """
    _several(vectors, "interleave")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _of_tuples(context, builder, vectors, args[0], interleaved)

    return vectors(vectors), codegen


@intrinsic
def deinterleave(typingctx: Any, vectors: Any) -> Any:
    """From m vectors that follow each other, a tuple, as many: vector j has elements j, j + m, j + 2 m, … of them all.

    So what every m-th element needs (a stride of 2 or 4, pixels of 4 channels) becomes a vector of its own.
    """
    _several(vectors, "deinterleave")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _of_tuples(context, builder, vectors, args[0], deinterleaved)

    return vectors(vectors), codegen


@intrinsic
def transpose(typingctx: Any, rows: Any) -> Any:
    """Columns of a square of vectors, a tuple of as many as each has lanes: lane j of row i becomes lane i of row j."""
    _several(rows, "transpose")
    if rows.count != rows.dtype.lanes:
        raise TypingError(f"transpose takes a square: {rows.dtype.lanes} vectors, not {rows.count}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _of_tuples(context, builder, rows, args[0], interleaved)

    return rows(rows), codegen


@intrinsic
def horizontal_sum(typingctx: Any, vector: Any) -> Any:
    """The sum of all lanes; of a number, itself. Always added in the same order: the upper half to the lower, lane by
    lane, until one is left."""
    kind = vector.dtype if isinstance(vector, Vector) else vector
    if not isinstance(kind, (types.Float, types.Integer)):
        raise TypingError(f"no sum of {vector}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not isinstance(vector, Vector):
            return args[0]
        value, add = args[0], builder.fadd if isinstance(kind, types.Float) else builder.add
        half = vector.lanes // 2
        while half:
            low, high = (shuffle(builder, value, value, list(range(at, at + half))) for at in (0, half))
            value, half = add(low, high), half // 2
        return builder.extract_element(value, emit.I32(0))

    return kind(vector), codegen
