"""Strips: positions of an image side by side, each a vector of channels, as Winograd's transforms read and write them.

An image in channels_last is that already; one in channels_first is turned in registers, a square of channels and
columns at a time, on its way in and out. What lies neither way goes element by element.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compile import jit
from . import half, memory, simd
from .epilogue import NONE, RELU, RELU6, activate
from .transpose import transpose


def _load_some(builder: Any, address: Any, storage: Any, zero: Any, count: Any) -> Any:
    """The first `count` lanes of a vector from memory, zeros after; nothing else is read. All of it where count is enough."""
    size = simd.lanes_of(zero)
    kind = ir.VectorType(simd.llvm_scalar(storage), size)
    whole, part, end = (builder.append_basic_block(name) for name in ("whole", "part", "loaded"))
    builder.cbranch(builder.icmp_signed(">=", count, simd.I64(size)), whole, part)
    builder.position_at_end(whole)
    all_lanes = builder.load(simd.pointer(builder, address, kind))
    all_lanes.align = storage.bitwidth // 8
    builder.branch(end)
    builder.position_at_end(part)
    numbers = ir.Constant(ir.VectorType(simd.I64, size), [simd.I64(i) for i in range(size)])
    mask = builder.icmp_signed("<", numbers, simd.broadcast(builder, count, size))
    some_lanes = _masked_load(builder, simd.pointer(builder, address, kind), kind, mask, storage.bitwidth // 8)
    builder.branch(end)
    builder.position_at_end(end)
    value = builder.phi(kind)
    value.add_incoming(all_lanes, whole)
    value.add_incoming(some_lanes, part)
    return half.widen(builder, value, simd.HAS_HALF) if simd.is_half(storage, zero) else value


def _masked_load(builder: Any, pointer: Any, kind: Any, mask: Any, align: int) -> Any:
    element = {"float": "f32", "double": "f64"}.get(str(kind.element), str(kind.element))
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [pointer.type, simd.I32, mask.type, kind]),
        f"llvm.masked.load.v{kind.count}{element}.p0",
    )
    return builder.call(function, [pointer, simd.I32(align), mask, ir.Constant(kind, None)])


@intrinsic
def _read_turned(
    typingctx: Any, source: Any, address: Any, channel: Any, channels: Any, count: Any, target: Any, zero: Any
) -> Any:
    """A square: lane l of vector i at `target` is the element at address + l · channel + i elements.

    Lanes from `channels` on repeat the last channel; vectors from `count` on are zeros.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, channel, channels, count, target, _ = args
        size = simd.lanes_of(zero)
        last = builder.sub(channels, simd.I64(1))
        rows = []
        for lane in range(size):
            inside = builder.icmp_signed("<", simd.I64(lane), channels)
            row = builder.mul(builder.select(inside, simd.I64(lane), last), channel)
            rows.append(_load_some(builder, builder.add(address, row), source.dtype, zero, count))
        for i, column in enumerate(transpose(builder, rows)):
            where = builder.add(target, simd.I64(i * simd.VECTOR_BYTES))
            simd.store(builder, column, where, zero, zero)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(source, *[integer] * 5, zero), codegen


@intrinsic
def _read_lanes(typingctx: Any, source: Any, address: Any, channels: Any, target: Any, zero: Any) -> Any:
    """A vector of channels that lie side by side; zeros past the last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, address, channels, target, _ = args
        simd.store(builder, _load_some(builder, address, source.dtype, zero, channels), target, zero, zero)
        return context.get_dummy_value()

    return types.void(source, *[types.intp] * 3, zero), codegen


@jit
def read_columns(
    source: Any, address: int, column: int, channel: int, channels: int, count: int, target: int, zero: Any
) -> None:
    """`count` neighbouring columns of a row, `channels` of them a vector, to vectors at `target`.

    column, channel: bytes between neighbours in source. Up to a vector's length of vectors behind the last are
    overwritten.
    """
    simd.outlined()
    item, vector, width = source.itemsize, simd.lanes(zero), simd.VECTOR_BYTES
    if channel == item:
        for i in range(count):
            _read_lanes(source, address + i * column, channels, target + i * width, zero)
    elif column == item:
        for i in range(0, count, vector):
            here = i if i + vector <= count or count < vector else count - vector
            _read_turned(
                source, address + here * item, channel, channels, min(vector, count), target + here * width, zero
            )  # fmt: skip
    else:
        lane_bytes = width // vector
        for i in range(count):
            for lane in range(vector):
                where = address + i * column + min(lane, channels - 1) * channel
                _keep(target + i * width + lane * lane_bytes, memory.load_at(source, zero, where))


@intrinsic
def _keep(typingctx: Any, address: Any, value: Any) -> Any:
    """Store an accumulator at a byte address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        simd.store(builder, args[1], args[0], value, value)
        return context.get_dummy_value()

    return types.void(types.intp, value), codegen


@intrinsic
def _kept(typingctx: Any, address: Any, zero: Any) -> Any:
    """The accumulator at a byte address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.load(builder, args[0], zero, zero)

    return zero(types.intp, zero), codegen


@intrinsic
def clear(typingctx: Any, target: Any, count: Any, zero: Any) -> Any:
    """`count` vectors of zeros at a byte address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        nothing = ir.Constant(ir.VectorType(simd.llvm_scalar(zero), simd.lanes_of(zero)), None)
        with cgutils.for_range(builder, args[1], intp=simd.I64) as loop:
            where = builder.add(args[0], builder.mul(loop.index, simd.I64(simd.VECTOR_BYTES)))
            simd.store(builder, nothing, where, zero, zero)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, zero), codegen


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
    simple = code == NONE or code == RELU or code == RELU6
    _finish_vectors(target, count, bias, code if simple else NONE, zero)
    if not simple:
        for i in range(count * vector):
            where = target + i * (width // vector)
            _keep(where, activate(_kept(where, zero), code))


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
    """_write_turned for the first `count` vectors only, in stores of 8, 4, 2 and 1 (masked ones cost ten times as much)."""

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
                value = _kept(source + i * width + lane * (width // vector), zero)
                memory.store_at(target, address + i * column + lane * channel, value)
