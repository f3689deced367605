"""What depthwise_last.py does in registers: vectors of channels at the cells of an image, their sums, and results.

A cell is where a line and a column of the image meet; there lies a vector of channels. A column is named by the byte
address of its cell in line 0, a line by the bytes from line 0 to it, and either by PADDING where it is padding: then
their sum is negative, and the cell is read from zeros. The cells of the columns that a kernel of 3x3 or 5x5 covers
wait in a ring, close together: in the image they lie at such distances that in L1 they would displace each other.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from . import depthwise_window as window
from . import simd
from .depthwise_window import Vectors

PADDING = -(2**62)
# Columns that the ring holds: a power of two, and not fewer than a kernel reads.
RING = 8


def _cell(builder: Any, column: Any, line: Any, zeros: Any) -> Any:
    """Byte address of a cell."""
    address = builder.add(column, line)
    return builder.select(builder.icmp_signed("<", address, simd.I64(0)), zeros, address)


def _entry(builder: Any, table: Any, index: int) -> Any:
    return simd.load(builder, builder.add(table, simd.I64(8 * index)), types.intp, types.intp)


def _lines(shape: Any) -> int:
    """Lines of the image that the outputs made at once read."""
    return (window.outputs_at_once(shape) - 1) * shape.step + shape.side


@intrinsic
def ring_lines(typingctx: Any, shape: Any) -> Any:
    """Lines in a column of the ring."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.I64(_lines(shape))

    return types.intp(shape), codegen


def _place(builder: Any, ring: Any, number: Any, shape: Any) -> Any:
    """Byte address of a column of the ring."""
    slot = builder.and_(number, simd.I64(RING - 1))
    return builder.add(ring, builder.mul(slot, simd.I64(_lines(shape) * simd.VECTOR_BYTES)))


@intrinsic
def slide_ring(typingctx: Any, kernel: Any, start: Any, position: Any, number: Any, shape: Any) -> Any:
    """start + the sums of as many outputs, below each other, as window.height says.

    kernel: the weights of a square kernel, shape: its Square. number: of the first column that they read in the ring.
    """
    side, step, rows = shape.side, shape.step, window.outputs_at_once(kernel)
    result = Vectors(kernel.dtype, rows, kernel.lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, bias, position, number, _ = args
        sums = [builder.extract_value(bias, 0)] * rows
        columns = [_place(builder, position, builder.add(number, simd.I64(b)), shape) for b in range(side)]
        for line in range(_lines(shape)):
            users = [(r, line - r * step) for r in range(rows) if 0 <= line - r * step < side]
            for b, column in enumerate(columns):
                where = builder.add(column, simd.I64(line * simd.VECTOR_BYTES))
                value = simd.load(builder, where, kernel.dtype, kernel.dtype, kernel.lanes)
                for r, a in users:
                    weight = builder.extract_value(weights, a * side + b)
                    sums[r] = simd.multiply_add(builder, weight, value, sums[r])
        return window.packed(result, builder, sums)

    return result(kernel, start, types.intp, types.intp, shape), codegen


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
