"""Squares of vectors turned in registers, for results whose neighbours in memory lie in different vectors."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import half, simd

# Lanes of the widest vectors whose square is transposed in registers: beyond, the shuffles are too many to compile.
_TRANSPOSED = 16


def transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """A square of vectors turned: log2(lanes) perfect shuffles of all of them."""
    size = len(rows)
    low, high = (
        ir.Constant(ir.VectorType(simd.I32, size), [simd.I32(i // 2 + first + i % 2 * size) for i in range(size)])
        for first in (0, size // 2)
    )
    for _ in range(size.bit_length() - 1):
        pairs = [(rows[i], rows[i + size // 2]) for i in range(size // 2)]
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
    return rows


@intrinsic
def transposes(typingctx: Any, zero: Any) -> Any:
    """Whether store_columns does anything for zero's type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.IntType(1)(simd.lanes_of(zero) <= _TRANSPOSED)

    return types.boolean(zero), codegen


@intrinsic(prefer_literal=True)
def store_columns(
    typingctx: Any, target: Any, position: Any, stride: Any, buffer: Any, offset: Any, step: Any, count: Any,
    usual_count: Any,
) -> Any:  # fmt: skip
    """Write the transpose of `count` vectors of accumulators: lane l of the vector at element offset + i · step of the
    buffer goes to byte address position + l · stride + i elements, rounded to storage.

    usual_count is a literal: `count` is mostly that, or its remainder by the lanes, or whole vectors.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, size = buffer.dtype, simd.lanes_of(buffer.dtype)
        if size > _TRANSPOSED:
            return context.get_dummy_value()
        _, position, stride, array, offset, step, count, _ = args
        data = context.make_array(signature.args[3])(context, builder, array).data
        last = builder.sub(count, simd.I64(1))
        rows = []
        for i in range(size):  # past the last vector, that one again
            inside = builder.icmp_signed("<", simd.I64(i), count)
            row = builder.mul(builder.select(inside, simd.I64(i), last), step)
            where = builder.ptrtoint(builder.gep(data, [builder.add(offset, row)]), simd.I64)
            rows.append(simd.load(builder, where, wide, wide, size))
        columns = [
            (column, builder.add(position, builder.mul(stride, simd.I64(lane))))
            for lane, column in enumerate(transpose(builder, rows))
        ]
        usual = usual_count.literal_value % size or size
        with builder.if_else(builder.icmp_signed("==", count, simd.I64(usual))) as (then, otherwise):
            with then:  # plain stores of powers of two: masked ones cost ten times as much on Zen 4
                for column, where in columns:
                    _store_pieces(builder, column, usual, where, target.dtype, wide)
            with otherwise:
                lanes_range = ir.Constant(ir.VectorType(simd.I64, size), [simd.I64(i) for i in range(size)])
                mask = builder.icmp_signed("<", lanes_range, simd.broadcast(builder, count, size))
                for column, where in columns:
                    _masked_store(builder, column, where, target.dtype, wide, mask)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(target, integer, integer, buffer, integer, integer, integer, usual_count), codegen


def _store_pieces(
    builder: Any, value: Any, count: int, address: Any, storage: types.Type, accumulator: types.Type
) -> None:
    """The first `count` lanes of a vector, in stores of 16, 8, 4, 2 or 1."""
    done = 0
    while done < count:
        size = 1 << (count - done).bit_length() - 1
        lanes_taken = ir.Constant(ir.VectorType(simd.I32, size), [simd.I32(done + i) for i in range(size)])
        piece = builder.shuffle_vector(value, value, lanes_taken)
        where = builder.add(address, simd.I64(done * storage.bitwidth // 8))
        simd.store(builder, piece, where, storage, accumulator)
        done += size


def _masked_store(
    builder: Any, value: Any, address: Any, storage: types.Type, accumulator: types.Type, mask: Any
) -> None:
    size = value.type.count
    if simd.is_half(storage, accumulator):
        value = half.narrow(builder, value, simd.HAS_HALF)
    where = simd.pointer(builder, address, value.type)
    kind = {"float": "f32", "double": "f64"}.get(str(value.type.element), str(value.type.element))
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [value.type, where.type, simd.I32, mask.type]),
        f"llvm.masked.store.v{size}{kind}.p0",
    )
    builder.call(function, [value, where, simd.I32(storage.bitwidth // 8), mask])


@intrinsic
def turn(
    typingctx: Any, source: Any, position: Any, across: Any, count: Any, target: Any, target_position: Any, step: Any,
    zero: Any,
) -> Any:  # fmt: skip
    """Copy a square transposed, as memory.copy_at does: `count` vectors at byte addresses position, position + across,
    … are the columns of rows that are written, as whole vectors, to target_position, target_position + step, …

    Lanes past `count` repeat the last. Later rows are written after earlier ones. Nothing where `transposes` says no.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = simd.lanes_of(zero)
        if size > _TRANSPOSED:
            return context.get_dummy_value()
        _, position, across, count, _, target_position, step, _ = args
        last = builder.sub(count, simd.I64(1))
        rows = []
        for i in range(size):
            inside = builder.icmp_signed("<", simd.I64(i), count)
            offset = builder.mul(builder.select(inside, simd.I64(i), last), across)
            rows.append(simd.load(builder, builder.add(position, offset), source.dtype, target.dtype, size))
        for i, column in enumerate(transpose(builder, rows)):
            where = builder.add(target_position, builder.mul(step, simd.I64(i)))
            simd.store(builder, column, where, target.dtype, target.dtype)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(source, integer, integer, integer, target, integer, integer, zero), codegen


@intrinsic
def turn_rows(
    typingctx: Any, source: Any, rows: Any, first: Any, shift: Any, target: Any, position: Any, stride: Any, zero: Any
) -> Any:
    """A square of vectors transposed from memory to memory: as many rows as a vector of zero's type has lanes.

    Row i is read at byte address rows[first + i] + shift, of source's storage type; column i goes to byte address
    position + i · stride, rounded to target's. For types that `transposes` is true of.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size, wide = simd.lanes_of(zero), types.unliteral(zero)
        if size > _TRANSPOSED:
            return context.get_dummy_value()
        _, table, first, shift, _, position, stride, _ = args
        addresses = context.make_array(signature.args[1])(context, builder, table).data
        values = []
        for i in range(size):
            address = builder.load(builder.gep(addresses, [builder.add(first, simd.I64(i))]))
            values.append(simd.load(builder, builder.add(address, shift), source.dtype, wide, size))
        for i, column in enumerate(transpose(builder, values)):
            where = builder.add(position, builder.mul(stride, simd.I64(i)))
            simd.store(builder, column, where, target.dtype, wide)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(source, rows, integer, integer, target, integer, integer, zero), codegen
