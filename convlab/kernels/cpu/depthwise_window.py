"""A kernel that slides over a strip of the image in L1: sums of several outputs at once, in registers.

What is summed is Σ over a, b of weight[a, b] · strip[(r · step + a) lines down, offset b across] for outputs r: a line
that several of them read is loaded once. A vector holds neighbouring outputs of a row, and the weights are
broadcast; or it holds channels, and the weights differ from lane to lane. Here they are only vectors.
"""

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import OpaqueModel, PrimitiveModel
from numba.extending import intrinsic, register_model

from . import simd

# Of `slide`: as many outputs as the registers hold, or one.
MANY, ONE = 0, 1
# 7 outputs, as images of the usual networks are 7, 14, 28, … high; 4 at the least, to hide the latency of a sum.
_MOST, _LEAST = 7, 4
# Of `summed`, whose weights pass by one at a time.
FEW = 4
# The mark of padding in tables of lines and columns: negative, added to an address as well.
PADDING = -(2**62)
# Side of the largest square kernel whose weights stay in registers.
_HELD = 3


class Vectors(types.Type):
    """Numba type of `count` vectors of `lanes` accumulators, held in registers."""

    def __init__(self, dtype: types.Type, count: int, lanes: int) -> None:
        self.dtype, self.count, self.lanes = dtype, count, lanes
        super().__init__(name=f"Vectors({dtype}, {count}, {lanes})")

    @property
    def data(self) -> ir.ArrayType:
        return ir.ArrayType(ir.VectorType(simd.llvm_scalar(self.dtype), self.lanes), self.count)


@register_model(Vectors)
class _VectorsModel(PrimitiveModel):
    def __init__(self, manager: Any, vectors: Vectors) -> None:
        super().__init__(manager, vectors, vectors.data)


class Square(types.Opaque):
    """Numba type of a kernel's shape, known to the compiler: `side` taps each way, outputs `step` positions apart.

    count: weights that stay in registers, all of them or none: then they pass by, one column of taps after the other.
    """

    def __init__(self, side: int, step: int) -> None:
        self.side, self.step, self.count = side, step, side**2 if side <= _HELD else 0
        super().__init__(name=f"Square({side}, {step})")


register_model(Square)(OpaqueModel)


@intrinsic(prefer_literal=True)
def square(typingctx: Any, side: Any, step: Any) -> Any:
    """The Square of two literals."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return Square(side.literal_value, step.literal_value)(side, step), codegen


def packed(vectors: Vectors, builder: Any, values: list[Any]) -> Any:
    result = ir.Constant(vectors.data, ir.Undefined)
    for at, value in enumerate(values):
        result = builder.insert_value(result, value, at)
    return result


def limited(builder: Any, value: Any, low: Any, high: Any) -> Any:
    """A vector's elements, kept between two numbers; a NaN is neither below nor above."""
    for limit, operator in ((low, "<"), (high, ">")):
        bound = simd.broadcast(builder, limit, value.type.count)
        value = builder.select(builder.fcmp_ordered(operator, value, bound), bound, value)
    return value


def outputs_at_once(kernel: Vectors | Square) -> int:
    """What the weights, all or those of a column of taps, and three lines leave free of the registers."""
    weights = kernel.count or getattr(kernel, "side", 0)
    return max(_LEAST, min(_MOST, simd.REGISTERS - 3 - weights))


def add_columns(
    builder: Any,
    sums: list[Any],
    shape: Square,
    columns: Callable[[Any], Iterator[Any]],
    weights: Callable[[Any], list[Any]],
) -> list[Any]:
    """sums + column after column of taps, in a loop: its weights times the lines that the outputs read.

    columns(number of a column of taps): a value a line. weights(it): those of the column. In a loop, and not one after
    the other, because LLVM would load everything first and spill it.
    """
    totals = [cgutils.alloca_once_value(builder, value) for value in sums]
    with cgutils.for_range(builder, simd.I64(shape.side)) as loop:
        taps, current = weights(loop.index), [builder.load(total) for total in totals]
        for line, value in enumerate(columns(loop.index)):
            for r, a in users(shape, line, len(sums)):
                current[r] = simd.multiply_add(builder, taps[a], value, current[r])
        for total, value in zip(totals, current, strict=True):
            builder.store(value, total)
    return [builder.load(total) for total in totals]


def lines_of(shape: Square, rows: int) -> int:
    """Lines of the image that so many outputs below each other read."""
    return (rows - 1) * shape.step + shape.side


def users(shape: Square, line: int, rows: int) -> list[tuple[int, int]]:
    """Which outputs read a line, and at which of their taps."""
    return [(r, line - r * shape.step) for r in range(rows) if 0 <= line - r * shape.step < shape.side]


@intrinsic(prefer_literal=True)
def constant(typingctx: Any, number: Any, divisor: Any) -> Any:
    """A number in all lanes of one vector, of a register's size divided by a literal."""
    dtype = types.unliteral(number)
    vectors = Vectors(dtype, 1, simd.lanes_of(dtype) // divisor.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return packed(vectors, builder, [simd.broadcast(builder, args[0], vectors.lanes)])

    return vectors(dtype, divisor), codegen


@intrinsic
def filled(typingctx: Any, like: Any, number: Any) -> Any:
    """A number in all lanes of one vector, of as many as that of `like` has."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return packed(like, builder, [simd.broadcast(builder, args[1], like.lanes)])

    return like(like, like.dtype), codegen


@intrinsic(prefer_literal=True)
def taken(typingctx: Any, like: Any, weights: Any, position: Any, count: Any) -> Any:
    """`count` weights (a literal, or the Square of the kernel) from a byte address on, as vectors like that of `like`.

    weights: an array (taps,), whose elements are broadcast, or (taps, channels), of whose rows a vector is taken.
    """
    total = count.count if isinstance(count, Square) else count.literal_value
    vectors = Vectors(like.dtype, total, like.lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[1])(context, builder, args[1])
        step = builder.extract_value(array.strides, 0)
        values = []
        for at in range(vectors.count):
            where = builder.add(args[2], builder.mul(step, simd.I64(at)))
            if weights.ndim == 1:
                scalar = simd.load(builder, where, weights.dtype, like.dtype)
                values.append(simd.broadcast(builder, scalar, like.lanes))
            else:
                values.append(simd.load(builder, where, weights.dtype, like.dtype, like.lanes))
        return packed(vectors, builder, values)

    return vectors(like, weights, types.intp, count), codegen


@intrinsic
def loaded(typingctx: Any, like: Any, source: Any, position: Any) -> Any:
    """The vector at a byte address, of as many elements as that of `like` has."""
    vectors = Vectors(like.dtype, 1, like.lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return packed(vectors, builder, [simd.load(builder, args[2], source.dtype, like.dtype, like.lanes)])

    return vectors(like, source, types.intp), codegen


@intrinsic
def height(typingctx: Any, kernel: Any) -> Any:
    """Outputs that a kernel, its weights or its Square, makes at once with MANY."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.I64(outputs_at_once(kernel))

    return types.intp(kernel), codegen


@intrinsic(prefer_literal=True)
def slide(
    typingctx: Any, kernel: Any, start: Any, strip: Any, first: Any, pitch: Any, across: Any, step: Any, many: Any
) -> Any:
    """start + the sums of MANY outputs (or of ONE), `step` (a literal) lines apart.

    kernel: the weights [line][across]; start: one vector, the bias. first: byte address of the first output's first
    line; pitch: bytes from line to line; across: a tuple of bytes, where on a line each weight reads.
    """
    rows, stride, wide = outputs_at_once(kernel), step.literal_value, across.count
    rows = 1 if many.literal_value == ONE else rows
    result, lines = Vectors(kernel.dtype, rows, kernel.lanes), kernel.count // wide

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, bias, _, position, pitch, offsets, _, _ = args
        sums = [builder.extract_value(bias, 0)] * rows
        for line in range((rows - 1) * stride + lines):
            users = [(r, line - r * stride) for r in range(rows) if 0 <= line - r * stride < lines]
            for b in range(wide if users else 0):
                where = builder.add(position, builder.extract_value(offsets, b))
                value = simd.load(builder, where, strip.dtype, kernel.dtype, kernel.lanes)
                for r, a in users:
                    weight = builder.extract_value(weights, a * wide + b)
                    sums[r] = simd.multiply_add(builder, weight, value, sums[r])
            position = builder.add(position, pitch)
        return packed(result, builder, sums)

    return result(kernel, start, strip, types.intp, types.intp, across, step, many), codegen


@intrinsic(prefer_literal=True)
def repeated(typingctx: Any, start: Any, count: Any) -> Any:
    """`count` (a literal) times the one vector of `start`."""
    vectors = Vectors(start.dtype, count.literal_value, start.lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return packed(vectors, builder, [builder.extract_value(args[0], 0)] * vectors.count)

    return vectors(start, count), codegen


@intrinsic
def summed(typingctx: Any, sums: Any, weight: Any, strip: Any, position: Any, pitch: Any) -> Any:
    """sums + one weight (a single vector) times the vectors at byte addresses position, position + pitch, …"""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        factor, position, totals = builder.extract_value(args[1], 0), args[3], []
        for at in range(sums.count):
            value = simd.load(builder, position, strip.dtype, sums.dtype, sums.lanes)
            totals.append(simd.multiply_add(builder, factor, value, builder.extract_value(args[0], at)))
            position = builder.add(position, args[4])
        return packed(sums, builder, totals)

    return sums(sums, weight, strip, types.intp, types.intp), codegen


@intrinsic
def keep(typingctx: Any, sums: Any, buffer: Any, position: Any, pitch: Any, more: Any) -> Any:
    """Write sums to byte addresses position, position + pitch, … of accumulators; `more`: add to what is there."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [builder.extract_value(args[0], at) for at in range(sums.count)]
        places = [builder.add(args[2], builder.mul(args[3], simd.I64(at))) for at in range(sums.count)]
        with builder.if_else(args[4]) as (then, otherwise):
            with then:
                for value, where in zip(values, places, strict=True):
                    old = simd.load(builder, where, sums.dtype, sums.dtype, sums.lanes)
                    simd.store(builder, builder.fadd(old, value), where, sums.dtype, sums.dtype)
            with otherwise:
                for value, where in zip(values, places, strict=True):
                    simd.store(builder, value, where, sums.dtype, sums.dtype)
        return context.get_dummy_value()

    return types.void(sums, buffer, types.intp, types.intp, types.boolean), codegen


@intrinsic
def kept(typingctx: Any, sums: Any, buffer: Any, position: Any, pitch: Any) -> Any:
    """As many sums, from where `keep` put them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = [builder.add(args[2], builder.mul(args[3], simd.I64(at))) for at in range(sums.count)]
        values = [simd.load(builder, where, sums.dtype, sums.dtype, sums.lanes) for where in places]
        return packed(sums, builder, values)

    return sums(sums, buffer, types.intp, types.intp), codegen
