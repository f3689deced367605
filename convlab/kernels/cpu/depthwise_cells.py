"""What depthwise_last.py does in registers: vectors of channels at the cells of an image, their sums, and results.

A cell is where a line and a column of the image meet; there lies a vector of channels. A column is named by the byte
address of its cell in line 0, a line by the bytes from line 0 to it, and either by PADDING where it is padding: then
their sum is negative, and the cell is read from zeros. The cells of the columns that a kernel of 3x3 or 5x5 covers
wait in a ring, close together: in the image they lie at such distances that in L1 they would displace each other.
"""

from collections.abc import Iterator
from typing import Any

from numba import types
from numba.extending import intrinsic

from . import depthwise_window as window
from . import simd
from .depthwise_window import Vectors

# Columns that the ring holds: a power of two, and not fewer than a kernel reads.
RING = 8


def _cell(builder: Any, column: Any, line: Any, zeros: Any) -> Any:
    """Byte address of a cell."""
    address = builder.add(column, line)
    return builder.select(builder.icmp_signed("<", address, simd.I64(0)), zeros, address)


def _entry(builder: Any, table: Any, index: int) -> Any:
    return simd.load(builder, builder.add(table, simd.I64(8 * index)), types.intp, types.intp)


def _lines(shape: Any) -> int:
    """Lines in a column of the ring: those that outputs made at once read."""
    return window.lines_of(shape, window.outputs_at_once(shape))


@intrinsic
def ring_lines(typingctx: Any, shape: Any) -> Any:
    """Lines in a column of the ring."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.I64(_lines(shape))

    return types.intp(shape), codegen


@intrinsic
def slide_ring(
    typingctx: Any, kernel: Any, start: Any, weights: Any, weight: Any, position: Any, first: Any, shape: Any
) -> Any:
    """start + the sums of as many outputs, below each other, as window.height says.

    kernel: the weights that stay in registers, if they do; else they are read from byte address `weight` on. position:
    byte address of the ring; first: number of the first column that the outputs read in it.
    """
    side, rows, wide, lanes = shape.side, window.outputs_at_once(shape), kernel.dtype, kernel.lanes
    result = Vectors(wide, rows, lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held, bias, array, weight, position, first, _ = args
        step = builder.extract_value(context.make_array(weights)(context, builder, array).strides, 0)

        def column(number: Any) -> Iterator[Any]:
            slot = builder.and_(builder.add(first, number), simd.I64(RING - 1))
            place = builder.add(position, builder.mul(slot, simd.I64(_lines(shape) * simd.VECTOR_BYTES)))
            for line in range(_lines(shape)):
                where = builder.add(place, simd.I64(line * simd.VECTOR_BYTES))
                yield simd.load(builder, where, wide, wide, lanes)

        def weights_of(number: Any) -> list[Any]:
            numbers = [builder.add(number, simd.I64(a * side)) for a in range(side)]
            return [simd.load(builder, builder.add(weight, builder.mul(n, step)), wide, wide, lanes) for n in numbers]

        sums = [builder.extract_value(bias, 0)] * rows
        if not kernel.count:
            return window.packed(result, builder, window.add_columns(builder, sums, shape, column, weights_of))
        for line, values in enumerate(zip(*(column(simd.I64(b)) for b in range(side)), strict=True)):
            for b, value in enumerate(values):
                for r, a in window.users(shape, line, rows):
                    sums[r] = simd.multiply_add(builder, builder.extract_value(held, a * side + b), value, sums[r])
        return window.packed(result, builder, sums)

    return result(kernel, start, weights, types.intp, types.intp, types.intp, shape), codegen


@intrinsic
def summed_cells(typingctx: Any, sums: Any, weight: Any, source: Any, column: Any, lines: Any, zeros: Any) -> Any:
    """sums + one weight (a single vector) times the cells where a column meets lines: as many, in a table."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        totals, factor = [], builder.extract_value(args[1], 0)
        for at in range(sums.count):
            where = _cell(builder, args[3], _entry(builder, args[4], at), args[5])
            value = simd.load(builder, where, source.dtype, sums.dtype, sums.lanes)
            totals.append(simd.multiply_add(builder, factor, value, builder.extract_value(args[0], at)))
        return window.packed(sums, builder, totals)

    return sums(sums, weight, source, types.intp, types.intp, types.intp), codegen


@intrinsic
def put_cells(typingctx: Any, sums: Any, target: Any, position: Any, row: Any, count: Any, low: Any, high: Any) -> Any:
    """Write the first `count` vectors of sums, kept between low and high, to byte addresses position, position + row,
    … of target's storage type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, _, position, row, count, *limits = args
        values = []
        for at in range(sums.count):
            values.append(window.limited(builder, builder.extract_value(total, at), *limits))
        whole = builder.icmp_signed(">=", count, simd.I64(sums.count))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                to = position
                for value in values:
                    simd.store(builder, value, to, target.dtype, sums.dtype)
                    to = builder.add(to, row)
            with otherwise:
                to = position
                for at, value in enumerate(values[:-1]):
                    with builder.if_then(builder.icmp_signed(">", count, simd.I64(at))):
                        simd.store(builder, value, to, target.dtype, sums.dtype)
                    to = builder.add(to, row)
        return context.get_dummy_value()

    return types.void(sums, target, types.intp, types.intp, types.intp, sums.dtype, sums.dtype), codegen
