"""Depthwise kernels of 3x3 and 5x5 straight from the image to the result, without a strip.

Where the positions of an axis are one run of the input between zeros, a line of the image is read by masked loads, one
for each tap across: the mask is what a strip's padding would be. A line of padding is read from a few zeros. So no
byte is copied, and no load waits for a store that it only partly covers.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import OpaqueModel
from numba.extending import intrinsic, register_model

from ..compile import jit
from . import depthwise_window as window
from . import memory, simd
from .depthwise import limits
from .depthwise_window import Vectors
from .parallel import split

# Literals, by name: intrinsics take no others.
_ONE, _TWO, _THREE, _FIVE = 1, 2, 3, 5
# Rows of outputs in a task (which 7 and 4 divide), and the entries of its table of lines, beyond them too.
ROWS, LINES = 56, 128
# Vectors of zeros that a line of padding reads; the table's mark of such a line.
_ZEROS, _PADDING = 4, -(2**62)


class Square(types.Opaque):
    """Numba type of a kernel's shape, known to the compiler: `side` taps each way, outputs `step` positions apart."""

    def __init__(self, side: int, step: int) -> None:
        self.side, self.step = side, step
        super().__init__(name=f"Square({side}, {step})")


register_model(Square)(OpaqueModel)


@intrinsic(prefer_literal=True)
def shape_of(typingctx: Any, side: Any, step: Any) -> Any:
    """The Square of two literals."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return Square(side.literal_value, step.literal_value)(side, step), codegen


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


@intrinsic
def square(typingctx: Any, start: Any, weights: Any, position: Any, shape: Any) -> Any:
    """The weights of a square kernel from a byte address on, broadcast."""
    vectors = Vectors(start.dtype, shape.side**2, start.lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        item, values = start.dtype.bitwidth // 8, []
        for at in range(vectors.count):
            scalar = simd.load(builder, builder.add(args[2], simd.I64(at * item)), weights.dtype, start.dtype)
            values.append(simd.broadcast(builder, scalar, start.lanes))
        return window.packed(vectors, builder, values)

    return vectors(start, weights, types.intp, shape), codegen


@intrinsic
def slide_image(
    typingctx: Any, kernel: Any, start: Any, position: Any, lines: Any, zeros: Any, begin: Any, end: Any, shape: Any
) -> Any:  # fmt: skip
    """start + the sums of as many outputs, below each other, as window.height says.

    position: byte address in the image's line 0 of what the first output's first tap reads. lines: byte address of a
    table: for each line that the outputs read, bytes from line 0 to it, or _PADDING: then it is read from the zeros
    at byte address `zeros`. begin, end: positions from the first tap's on that are not padding.
    """
    side, stride, lanes = shape.side, shape.step, kernel.lanes
    rows = window.outputs_at_once(kernel)
    result, item = Vectors(kernel.dtype, rows, lanes), kernel.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, bias, position, lines, zeros, begin, end, _ = args
        vector = ir.VectorType(simd.llvm_scalar(kernel.dtype), lanes)
        nothing = ir.Constant(vector, None)
        # Elements from which on whole vectors are loaded: under a stride two side by side, then taken apart.
        if stride == 1:
            offsets = list(range(side))
        else:
            offsets = [b + half for b in range(0, side, 2) for half in (0, lanes)]
        masks = [
            _lanes_between(builder, builder.sub(begin, simd.I64(o)), builder.sub(end, simd.I64(o)), lanes)
            for o in offsets
        ]
        sums = [builder.extract_value(bias, 0)] * rows
        for line in range((rows - 1) * stride + side):
            down = simd.load(builder, builder.add(lines, simd.I64(8 * line)), types.intp, types.intp)
            padding = builder.icmp_signed("==", down, simd.I64(_PADDING))
            here = builder.select(padding, zeros, builder.add(position, down))
            values = [
                _masked(builder, "load", vector, builder.add(here, simd.I64(o * item)), mask, nothing)
                for o, mask in zip(offsets, masks, strict=True)
            ]
            if stride == 2:
                values = [
                    builder.shuffle_vector(
                        values[b // 2 * 2],
                        values[b // 2 * 2 + 1],
                        ir.Constant(ir.VectorType(simd.I32, lanes), [simd.I32(b % 2 + 2 * i) for i in range(lanes)]),
                    )
                    for b in range(side)
                ]
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
        low, high = (simd.broadcast(builder, limit, sums.lanes) for limit in limits)
        values = []
        for at in range(sums.count):
            value = builder.extract_value(total, at)
            for bound, operator in ((low, "<"), (high, ">")):  # a NaN is neither
                value = builder.select(builder.fcmp_ordered(operator, value, bound), bound, value)
            values.append(value)
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


@jit
def image_rows(
    shape: Any, start: Any, weights: Any, weight: int, plane: int, table: int, zeros: int, begin: int, end: int,
    step: int, rows: int, width: int, target: int, row: int, low: Any, high: Any,
) -> None:  # fmt: skip
    """Some rows of outputs of one channel.

    shape: a Square, and step its step. start: one vector, the bias. weight: byte address of the weights. plane: byte
    address in line 0 of what the first tap reads; for table to end see slide_image. target: byte address of the first
    output, row: bytes from row to row; low and high: bounds of the result.
    """
    simd.outlined()
    kernel = square(start, weights, weight, shape)
    tall, lanes, item = window.height(kernel), simd.lanes(start), weights.itemsize
    # A vector wider than a row runs over into rows that are written after it; the last rows, `cut` of them, may not.
    cut = 0
    if width < lanes:
        cut = (lanes - 1) // width if row == width * item else rows
    for r in range(0, rows, tall):
        count = min(tall, rows - r)
        for column in range(0, width, lanes):
            c = max(0, min(column, width - lanes))  # the last vector overlaps the one before
            at = c * step
            sums = slide_image(
                kernel, start, plane + at * item, table + r * step * 8, zeros, begin - at, end - at, shape
            )  # fmt: skip
            put_rows(sums, target + r * row + c * item, row, min(count, rows - cut - r), count, width, low, high)


def is_direct(taps: Any, extent: Any) -> bool:
    """Whether depthwise_direct serves the geometry: a plane and a channel a group, 3x3 or 5x5, neighbours together."""
    size, step = len(taps.k), taps.point_step
    square = size in (3, 5) and len(taps.j) == size and taps.j[-1] == taps.k[-1] == size - 1
    if not square or step > 2 or step != taps.line_step or extent.channels > 1 or taps.depth * len(taps.i) > 1:
        return False
    inside = taps.points >= 0
    first = inside.argmax()
    return bool(taps.planes[taps.i[0]] >= 0 and inside.any() and taps.runs[first] == inside.sum())


@jit
def depthwise_direct_tasks(extent: Any, taps: Any, zero: Any) -> int:
    """Independent pieces of work: some rows of an image's group each."""
    return extent.images * extent.groups * ((taps.height + ROWS - 1) // ROWS)


@jit
def depthwise_direct_serial(
    start: int, stop: int, x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, y: Any
) -> None:
    """Tasks start … stop − 1 of a convolution that is_direct; parameters as depthwise_serial's.

    Columns of x and y lie side by side, in the accumulator's type; activation is NONE, RELU or RELU6.
    """
    simd.outlined()
    low, high, _ = limits(activation, zero)
    zeros, table = memory.stack_vectors(zero, _ZEROS), memory.stack(1, LINES)
    for i in range(len(zeros)):
        zeros[i] = 0
    item, nothing, step, size = zeros.itemsize, memory.address(zeros), taps.point_step, len(taps.k)
    begin = 0
    while taps.points[begin] < 0:
        begin += 1
    end = begin + taps.runs[begin]
    source = memory.address(x.data) + taps.planes[taps.i[0]] * x.plane + (taps.points[begin] - begin) * item
    down, filled, narrow = (taps.height + ROWS - 1) // ROWS, -1, 2 * taps.width <= simd.lanes(zero)
    top, group = start % down * ROWS, start // down
    image, group = group // extent.groups, group % extent.groups
    for _ in range(start, stop):
        rows = min(ROWS, taps.height - top)
        if filled != top:
            filled, lines = top, (rows - 1) * step + size
            for i in range(LINES):
                line = taps.lines[top * step + i] if i < lines else -1
                table[i] = line * x.row if line >= 0 else _PADDING
        plane, at = source + image * x.image + group * x.channel, memory.address(table)
        for f in range(group * extent.filters, (group + 1) * extent.filters):
            weight = memory.address(weights) + f * size * size * item
            first = zero
            if len(bias):
                first = memory.load_at(bias, zero, memory.address(bias) + f * bias.itemsize)
            target = memory.address(y.data) + image * y.image + f * y.channel + top * y.row
            if size == 3 and step == 1 and not narrow:
                image_rows(
                    shape_of(_THREE, _ONE), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin, end,
                    step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif size == 3 and step == 1:
                image_rows(
                    shape_of(_THREE, _ONE), window.constant(first, _TWO), weights, weight, plane, at, nothing, begin, end,
                    step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif size == 3 and not narrow:
                image_rows(
                    shape_of(_THREE, _TWO), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin, end,
                    step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif size == 3:
                image_rows(
                    shape_of(_THREE, _TWO), window.constant(first, _TWO), weights, weight, plane, at, nothing, begin, end,
                    step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            elif step == 1:
                image_rows(
                    shape_of(_FIVE, _ONE), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin, end,
                    step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
            else:
                image_rows(
                    shape_of(_FIVE, _TWO), window.constant(first, _ONE), weights, weight, plane, at, nothing, begin, end,
                    step, rows, taps.width, target, y.row, low, high,
                )  # fmt: skip
        top += ROWS
        if top >= taps.height:
            top, group = 0, group + 1
            if group == extent.groups:
                group, image = 0, image + 1


@jit
def depthwise_direct(
    x: Any, weights: Any, bias: Any, taps: Any, extent: Any, activation: int, zero: Any, threads: int, y: Any
) -> None:
    """A depthwise convolution, its tasks split evenly over `threads`; see depthwise_direct_serial."""
    arguments = (x, weights, bias, taps, extent, activation, zero, y)
    split(depthwise_direct_serial, depthwise_direct_tasks(extent, taps, zero), threads, arguments)
