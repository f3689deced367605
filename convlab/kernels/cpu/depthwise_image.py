"""What depthwise_direct.py does in registers: lines of an image under a mask, their sums, and rows of results."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import depthwise_window as window
from . import simd
from .depthwise_window import Vectors

# The mark of a line of padding in a table of lines.
PADDING = -(2**62)


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


def _alternate(builder: Any, first: Any, second: Any, third: Any, side: int) -> list[Any]:
    """Of vectors that follow each other, for b < side: every second element from number b on."""
    lanes, values = first.type.count, []
    for b in range(side):
        a, c, places = (first, second, range(b, b + 2 * lanes, 2)) if b < 2 else (values[b % 2], third, range(lanes))
        if b >= 2:  # lanes of what begins b // 2 earlier, then what follows
            skipped = b // 2
            places = [i + skipped if i + skipped < lanes else 2 * (i + skipped) - lanes + b % 2 for i in range(lanes)]
        values.append(builder.shuffle_vector(a, c, ir.Constant(ir.VectorType(simd.I32, lanes), [simd.I32(i) for i in places])))
    return values


@intrinsic
def slide_image(
    typingctx: Any, kernel: Any, start: Any, position: Any, lines: Any, zeros: Any, begin: Any, end: Any, shape: Any
) -> Any:  # fmt: skip
    """start + the sums of as many outputs, below each other, as window.height says.

    position: byte address in the image's line 0 of what the first output's first tap reads. lines: byte address of a
    table: for each line that the outputs read, bytes from line 0 to it, or PADDING: then it is read from the zeros
    at byte address `zeros`. begin, end: positions from the first tap's on that are not padding.
    """
    side, stride, lanes = shape.side, shape.step, kernel.lanes
    rows = window.outputs_at_once(kernel)
    result, item = Vectors(kernel.dtype, rows, lanes), kernel.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, bias, position, lines, zeros, begin, end, _ = args
        vector = ir.VectorType(simd.llvm_scalar(kernel.dtype), lanes)
        nothing = ir.Constant(vector, None)
        # Elements from which on vectors are loaded: one for each tap, or under a stride three that follow each other.
        offsets = list(range(side)) if stride == 1 else [0, lanes, 2 * lanes]
        masks = [
            _lanes_between(builder, builder.sub(begin, simd.I64(o)), builder.sub(end, simd.I64(o)), lanes)
            for o in offsets
        ]
        sums = [builder.extract_value(bias, 0)] * rows
        for line in range((rows - 1) * stride + side):
            down = simd.load(builder, builder.add(lines, simd.I64(8 * line)), types.intp, types.intp)
            padding = builder.icmp_signed("==", down, simd.I64(PADDING))
            here = builder.select(padding, zeros, builder.add(position, down))
            values = [
                _masked(builder, "load", vector, builder.add(here, simd.I64(o * item)), mask, nothing)
                for o, mask in zip(offsets, masks, strict=True)
            ]
            if stride == 2:
                values = _alternate(builder, *values, side)
            for b in range(side):
                for r in range(rows):
                    a = line - r * stride
                    if 0 <= a < side:
                        weight = builder.extract_value(weights, a * side + b)
                        sums[r] = simd.multiply_add(builder, weight, values[b], sums[r])
        return window.packed(result, builder, sums)

    return result(kernel, start, *[types.intp] * 5, shape), codegen


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
            with otherwise:
                to = target
                mask = _lanes_between(builder, simd.I64(0), width, sums.lanes)
                for at, value in enumerate(values):
                    with builder.if_then(builder.icmp_signed(">", count, simd.I64(at))):
                        whole = builder.icmp_signed(">", plain, simd.I64(at))
                        with builder.if_else(whole) as (full, part):
                            with full:
                                simd.store(builder, value, to, sums.dtype, sums.dtype)
                            with part:
                                _masked(builder, "store", value.type, to, value, mask)
                    to = builder.add(to, row)
        return context.get_dummy_value()

    return types.void(sums, *[types.intp] * 5, sums.dtype, sums.dtype), codegen
