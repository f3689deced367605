"""Strips: positions of an image side by side, each a vector of channels, as Winograd's transforms read and write them.

An image in channels_last is that already; one in channels_first is turned in registers, a square of channels and
columns at a time. What lies neither way goes element by element. This is the way in; write_strip is the way out.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compile import jit
from . import half, memory, simd
from .transpose import transpose


def _load_some(builder: Any, address: Any, storage: Any, zero: Any, count: Any) -> Any:
    """The first `count` lanes of a vector from memory, zeros after; past the last, nothing is read."""
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
                memory.keep_at(target + i * width + lane * lane_bytes, memory.load_at(source, zero, where))


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
