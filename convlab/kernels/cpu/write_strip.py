"""Strips on their way out: bias and activation on vectors of channels, and their store to an image of either layout."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compile import jit
from . import memory, simd
from .epilogue import NONE, RELU, RELU6, activate
from .transpose import transpose


@intrinsic
def _finish_vectors(typingctx: Any, target: Any, count: Any, bias: Any, code: Any, zero: Any) -> Any:
    """Add the vector at `bias` to `count` vectors, then relu or relu6 by `code`; NaN stays NaN."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, count, bias, code, _ = args
        lanes = simd.lanes_of(zero)
        element = simd.llvm_scalar(zero)
        kind = ir.VectorType(element, lanes)

        def constant(number: float) -> Any:
            return ir.Constant(kind, [ir.Constant(element, number)] * lanes)

        added = simd.load(builder, bias, zero, zero, lanes)
        rectified = builder.icmp_signed("!=", code, ir.Constant(code.type, NONE))
        capped = builder.icmp_signed("==", code, ir.Constant(code.type, RELU6))
        with cgutils.for_range(builder, count, intp=simd.I64) as loop:
            where = builder.add(target, builder.mul(loop.index, simd.I64(simd.VECTOR_BYTES)))
            value = builder.fadd(simd.load(builder, where, zero, zero, lanes), added)
            negative = builder.fcmp_ordered("<", value, constant(0.0))
            positive = builder.select(negative, constant(0.0), value)
            value = builder.select(rectified, positive, value)
            above = builder.fcmp_ordered(">", value, constant(6.0))
            value = builder.select(capped, builder.select(above, constant(6.0), value), value)
            simd.store(builder, value, where, zero, zero)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4, zero), codegen


@jit
def finish_columns(target: int, count: int, bias: int, code: int, zero: Any) -> None:
    """Bias (a vector at a byte address) and activation on `count` vectors, in place."""
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    simple = code in (NONE, RELU, RELU6)
    _finish_vectors(target, count, bias, code if simple else NONE, zero)
    if not simple:
        for i in range(count * vector):
            where = target + i * (width // vector)
            memory.keep_at(where, activate(memory.kept_at(where, zero), code))


@intrinsic
def _write_turned(
    typingctx: Any, target: Any, address: Any, channel: Any, channels: Any, source: Any, zero: Any
) -> Any:
    """A whole square: lane l of vector i at `source` goes to address + l · channel + i elements, for l < channels."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, channel, channels, source, _ = args
        for lane, column in enumerate(_square(builder, source, zero)):
            with builder.if_then(builder.icmp_signed("<", simd.I64(lane), channels), likely=True):
                where = builder.add(address, builder.mul(channel, simd.I64(lane)))
                simd.store(builder, column, where, target.dtype, zero)
        return context.get_dummy_value()

    return types.void(target, *[types.intp] * 4, zero), codegen


@intrinsic
def _write_turned_part(
    typingctx: Any, target: Any, address: Any, channel: Any, channels: Any, source: Any, count: Any, zero: Any
) -> Any:
    """_write_turned for the first `count` vectors: in stores of 8, 4, 2, 1, for masked ones cost ten times as much."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, channel, channels, source, count, _ = args
        size, item = simd.lanes_of(zero), target.dtype.bitwidth // 8
        columns = _square(builder, source, zero)
        piece = size // 2
        while piece:
            # The piece's bit of count: store that many lanes, and move the next ones to the front.
            before = builder.block
            taken, after = builder.append_basic_block("piece"), builder.append_basic_block("next")
            present = builder.icmp_signed("!=", builder.and_(count, simd.I64(piece)), simd.I64(0))
            builder.cbranch(present, taken, after)
            builder.position_at_end(taken)
            low = ir.Constant(ir.VectorType(simd.I32, piece), [simd.I32(i) for i in range(piece)])
            high = ir.Constant(ir.VectorType(simd.I32, size), [simd.I32((i + piece) % size) for i in range(size)])
            moved = []
            for lane, column in enumerate(columns):
                with builder.if_then(builder.icmp_signed("<", simd.I64(lane), channels), likely=True):
                    where = builder.add(address, builder.mul(channel, simd.I64(lane)))
                    short = builder.shuffle_vector(column, column, low)
                    simd.store(builder, short, where, target.dtype, zero)
                moved.append(builder.shuffle_vector(column, column, high))
            further = builder.add(address, simd.I64(piece * item))
            end = builder.block
            builder.branch(after)
            builder.position_at_end(after)
            merged = []
            for column, other in zip([*columns, address], [*moved, further], strict=True):
                phi = builder.phi(column.type)
                phi.add_incoming(column, before)
                phi.add_incoming(other, end)
                merged.append(phi)
            *columns, address = merged
            piece //= 2
        return context.get_dummy_value()

    return types.void(target, *[types.intp] * 5, zero), codegen


def _square(builder: Any, source: Any, zero: Any) -> list[Any]:
    """A square of vectors at a byte address, turned."""
    size = simd.lanes_of(zero)
    rows = [
        simd.load(builder, builder.add(source, simd.I64(i * simd.VECTOR_BYTES)), zero, zero, size) for i in range(size)
    ]
    return transpose(builder, rows)


@intrinsic
def _write_lanes(typingctx: Any, target: Any, address: Any, source: Any, zero: Any) -> Any:
    """A vector from `source`, rounded to storage."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = simd.load(builder, args[2], zero, zero, simd.lanes_of(zero))
        simd.store(builder, value, args[1], target.dtype, zero)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, zero), codegen


@jit
def write_columns(
    target: Any, address: int, column: int, channel: int, channels: int, count: int, source: int, zero: Any
) -> None:
    """The inverse of read_columns: `count` vectors at `source` to neighbouring columns of a row of target.

    Up to a vector's length of vectors behind the last are read.
    """
    simd.outlined()
    item, vector, width = target.itemsize, simd.lanes(zero), simd.VECTOR_BYTES
    if channel == item and channels == vector:
        for i in range(count):
            _write_lanes(target, address + i * column, source + i * width, zero)
    elif column == item and channel != item:
        for i in range(0, count, vector):
            here = i if i + vector <= count or count < vector else count - vector
            if count >= vector:
                _write_turned(target, address + here * item, channel, channels, source + here * width, zero)
            else:
                _write_turned_part(target, address, channel, channels, source, count, zero)
    else:
        for i in range(count):
            for lane in range(channels):
                value = memory.kept_at(source + i * width + lane * (width // vector), zero)
                memory.store_at(target, address + i * column + lane * channel, value)
