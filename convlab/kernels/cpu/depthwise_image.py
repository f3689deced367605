"""What depthwise_direct.py does in registers: lines of an image under a mask, their sums, and rows of results."""

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import depthwise_window as window
from . import simd
from .depthwise_window import PADDING, Vectors
from .simd.network import shuffle


def _lanes_between(builder: Any, begin: Any, end: Any, lanes: int) -> Any:
    """A mask of the lanes begin … end − 1."""
    numbers = ir.Constant(ir.VectorType(simd.I32, lanes), [simd.I32(i) for i in range(lanes)])
    low, high = (simd.broadcast(builder, builder.trunc(limit, simd.I32), lanes) for limit in (begin, end))
    return builder.and_(builder.icmp_signed(">=", numbers, low), builder.icmp_signed("<", numbers, high))


def _masked(builder: Any, name: str, value: ir.Type, position: Any, *rest: Any) -> Any:
    """llvm.masked.load or .store of a vector type at a byte address."""
    element = {"float": "f32", "double": "f64"}[str(value.element)]
    where = simd.pointer(builder, position, value)
    size = simd.I32(8 if element == "f64" else 4)
    operands = (where, size, *rest) if name == "load" else (rest[0], where, size, rest[1])
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(value if name == "load" else ir.VoidType(), [operand.type for operand in operands]),
        f"llvm.masked.{name}.v{value.count}{element}.p0",
    )
    return builder.call(function, operands)


def _alternate(builder: Any, vectors: list[Any], count: int) -> list[Any]:
    """Of two vectors that follow each other, three if count > 2: every second element from number 0, … count − 1 on."""
    first, second, lanes = vectors[0], vectors[1], vectors[0].type.count
    values = [shuffle(builder, first, second, list(range(b, b + 2 * lanes, 2))) for b in range(min(count, 2))]
    for b in range(2, count):  # those from number b − 2 on, b − 4, … moved down, and the missing ones behind them
        places = [i if i < lanes else 2 * i - lanes + b % 2 for i in range(b // 2, b // 2 + lanes)]
        values.append(shuffle(builder, values[b % 2], vectors[2], places))
    return values


@intrinsic
def slide_image(
    typingctx: Any, kernel: Any, start: Any, weights: Any, weight: Any, position: Any, lines: Any, zeros: Any,
    begin: Any, end: Any, shape: Any,
) -> Any:  # fmt: skip
    """start + the sums of as many outputs, below each other, as window.height says.

    kernel: the weights that stay in registers, if they do; else they are read from byte address `weight` on.
    position: byte address in the image's line 0 of what the first output's first tap reads. lines: byte address of a
    table: for each line that the outputs read, bytes from line 0 to it, or PADDING: then it is read from the zeros
    at byte address `zeros`. begin, end: positions from the first tap's on that are not padding.
    """
    side, stride, lanes, rows = shape.side, shape.step, kernel.lanes, window.outputs_at_once(shape)
    result, item = Vectors(kernel.dtype, rows, lanes), kernel.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held, bias, _, weight, position, lines, zeros, begin, end, _ = args
        vector = ir.VectorType(simd.llvm_scalar(kernel.dtype), lanes)
        places = []
        for line in range(window.lines_of(shape, rows)):
            down = simd.load(builder, builder.add(lines, simd.I64(8 * line)), types.intp, types.intp)
            padding = builder.icmp_signed("==", down, simd.I64(PADDING))
            places.append(builder.select(padding, zeros, builder.add(position, down)))

        def read(first: Any, offsets: list[int]) -> Iterator[list[Any]]:
            """Of each line, the vectors that begin so many elements after `first`."""
            shifts = [builder.add(first, simd.I64(offset)) for offset in offsets]
            masks = [_lanes_between(builder, builder.sub(begin, o), builder.sub(end, o), lanes) for o in shifts]
            for place in places:
                wheres = [builder.add(place, builder.mul(o, simd.I64(item))) for o in shifts]
                nothing = ir.Constant(vector, None)
                yield [_masked(builder, "load", vector, w, m, nothing) for w, m in zip(wheres, masks, strict=True)]

        def column(number: Any) -> Iterator[Any]:
            for values in read(number, [0, lanes][:stride]):
                yield values[0] if stride == 1 else _alternate(builder, values, 1)[0]

        def weights_of(number: Any) -> list[Any]:
            numbers = [builder.add(number, simd.I64(a * side)) for a in range(side)]
            wheres = [builder.add(weight, builder.mul(n, simd.I64(item))) for n in numbers]
            return [simd.broadcast(builder, simd.load(builder, w, kernel.dtype, kernel.dtype), lanes) for w in wheres]

        sums = [builder.extract_value(bias, 0)] * rows
        if not kernel.count:
            return window.packed(result, builder, window.add_columns(builder, sums, shape, column, weights_of))
        offsets = list(range(side)) if stride == 1 else [0, lanes, 2 * lanes]
        for line, values in enumerate(read(simd.I64(0), offsets)):
            taps = values if stride == 1 else _alternate(builder, values, side)
            for b, value in enumerate(taps):
                for r, a in window.users(shape, line, rows):
                    sums[r] = simd.multiply_add(builder, builder.extract_value(held, a * side + b), value, sums[r])
        return window.packed(result, builder, sums)

    return result(kernel, start, weights, *[types.intp] * 6, shape), codegen


@intrinsic
def put_rows(
    typingctx: Any, sums: Any, target: Any, row: Any, plain: Any, count: Any, width: Any, low: Any, high: Any
) -> Any:  # fmt: skip
    """Write the first `count` vectors of sums, kept between low and high, to byte addresses target, target + row, …

    The first `plain` of them are written whole, of the others the first `width` elements.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, target, row, plain, count, width, *limits = args
        values = [window.limited(builder, builder.extract_value(total, at), *limits) for at in range(sums.count)]
        all_plain = builder.icmp_signed(">=", plain, simd.I64(sums.count))
        with builder.if_else(all_plain, likely=True) as (then, otherwise):
            with then:
                to = target
                for value in values:
                    simd.store(builder, value, to, sums.dtype, sums.dtype)
                    to = builder.add(to, row)
            with otherwise:  # by way of memory: a branch for each row would be more code than all the rest
                buffer = cgutils.alloca_once_value(builder, window.packed(sums, builder, values))
                mask = _lanes_between(builder, simd.I64(0), width, sums.lanes)
                with cgutils.for_range(builder, count) as loop:
                    value = builder.load(cgutils.gep_inbounds(builder, buffer, 0, loop.index))
                    to = builder.add(target, builder.mul(row, loop.index))
                    with builder.if_else(builder.icmp_signed("<", loop.index, plain)) as (full, part):
                        with full:
                            simd.store(builder, value, to, sums.dtype, sums.dtype)
                        with part:
                            _masked(builder, "store", value.type, to, value, mask)
        return context.get_dummy_value()

    return types.void(sums, *[types.intp] * 5, sums.dtype, sums.dtype), codegen
