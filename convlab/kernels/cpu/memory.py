"""Memory as kernels use it: byte addresses, elements and vectors at them, arrays on the stack."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from . import simd


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Byte address of an array's first element."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, simd.I64)

    return types.intp(array), codegen


def _stack_array(context: Any, builder: Any, array_type: Any, count: int) -> Any:
    """`count` elements in the function's frame, as a Numba array."""
    data_type = context.get_data_type(array_type.dtype)
    with builder.goto_entry_block():
        memory = builder.alloca(ir.ArrayType(data_type, count))
    memory.align = simd.CACHE_LINE
    array = context.make_array(array_type)(context, builder)
    item = context.get_constant(types.intp, context.get_abi_sizeof(data_type))
    data = builder.bitcast(memory, data_type.as_pointer())
    shape = [context.get_constant(types.intp, count)]
    populate_array(array, data=data, shape=shape, strides=[item], itemsize=item, meminfo=None)
    return array._getvalue()


@intrinsic(prefer_literal=True)
def stack(typingctx: Any, like: Any, count: Any) -> Any:
    """An uninitialised 1-D array of like's type (a number's, or an array's elements') on the stack, on a cache line.

    `count` is a literal. The array lives as long as the function that asked for it.
    """
    array_type = types.Array(like.dtype if isinstance(like, types.Array) else types.unliteral(like), 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _stack_array(context, builder, array_type, count.literal_value)

    return array_type(like, count), codegen


@intrinsic(prefer_literal=True)
def stack_vectors(typingctx: Any, like: Any, count: Any) -> Any:
    """`stack` of as many elements as `count` vector registers hold."""
    array_type = types.Array(like.dtype if isinstance(like, types.Array) else types.unliteral(like), 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _stack_array(context, builder, array_type, count.literal_value * simd.lanes_of(array_type.dtype))

    return array_type(like, count), codegen


@intrinsic
def load_at(typingctx: Any, source: Any, zero: Any, position: Any) -> Any:
    """The element at a byte address, of source's storage type, widened to zero's type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.load(builder, args[2], source.dtype, zero)

    return zero(source, zero, types.intp), codegen


@intrinsic
def raw_at(typingctx: Any, source: Any, position: Any) -> Any:
    """The element at a byte address, as source's storage type holds it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.load(builder, args[1], source.dtype, source.dtype)

    return source.dtype(source, types.intp), codegen


@intrinsic
def store_at(typingctx: Any, target: Any, position: Any, value: Any) -> Any:
    """Write a number to a byte address, rounded to target's storage type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        simd.store(builder, args[2], args[1], target.dtype, value)
        return context.get_dummy_value()

    return types.void(target, types.intp, value), codegen


@intrinsic
def store_vector(typingctx: Any, target: Any, position: Any, buffer: Any, offset: Any) -> Any:
    """One register of accumulators, from element `offset` of their buffer, to a byte address, rounded to storage."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, count = buffer.dtype, simd.lanes_of(buffer.dtype)
        data = context.make_array(signature.args[2])(context, builder, args[2]).data
        source = builder.ptrtoint(builder.gep(data, [args[3]]), simd.I64)
        value = simd.load(builder, source, wide, wide, count)
        simd.store(builder, value, args[1], target.dtype, wide)
        return context.get_dummy_value()

    return types.void(target, types.intp, buffer, types.intp), codegen


@intrinsic
def copy_at(typingctx: Any, source: Any, position: Any, target: Any, target_position: Any) -> Any:
    """One element from a byte address to another, widened where target's type is the accumulator of source's."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = simd.load(builder, args[1], source.dtype, target.dtype)
        simd.store(builder, value, args[3], target.dtype, target.dtype)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), codegen


@intrinsic
def copy_vector(typingctx: Any, source: Any, position: Any, target: Any, target_position: Any, zero: Any) -> Any:
    """`copy_at` of one register of elements; zero's type says how many."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = simd.load(builder, args[1], source.dtype, target.dtype, simd.lanes_of(zero))
        simd.store(builder, value, args[3], target.dtype, target.dtype)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, zero), codegen


@intrinsic
def keep_at(typingctx: Any, address: Any, value: Any) -> Any:
    """Store an accumulator at a byte address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        simd.store(builder, args[1], args[0], value, value)
        return context.get_dummy_value()

    return types.void(types.intp, value), codegen


@intrinsic
def kept_at(typingctx: Any, address: Any, zero: Any) -> Any:
    """The accumulator at a byte address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.load(builder, args[0], zero, zero)

    return zero(types.intp, zero), codegen


@intrinsic
def widen_vector(typingctx: Any, source: Any, position: Any, target: Any, target_position: Any) -> Any:
    """One register of elements from a byte address, as accumulators (target's type) to another."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = simd.load(builder, args[1], source.dtype, target.dtype, simd.lanes_of(target.dtype))
        simd.store(builder, value, args[3], target.dtype, target.dtype)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), codegen


@intrinsic
def widen_halved(typingctx: Any, source: Any, position: Any, target: Any, target_position: Any) -> Any:
    """widen_vector of every second element: of twice as many, the last of which is not used."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes, item = simd.lanes_of(target.dtype), source.dtype.bitwidth // 8
        pair = [
            simd.load(builder, builder.add(args[1], simd.I64(i * lanes * item)), source.dtype, target.dtype, lanes)
            for i in range(2)
        ]
        even = ir.Constant(ir.VectorType(simd.I32, lanes), [simd.I32(2 * i) for i in range(lanes)])
        simd.store(builder, builder.shuffle_vector(*pair, even), args[3], target.dtype, target.dtype)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), codegen


@intrinsic
def fill_vector(typingctx: Any, target: Any, position: Any, value: Any) -> Any:
    """One register of accumulators (target's and value's type), all of one value, to a byte address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = simd.broadcast(builder, args[2], simd.lanes_of(target.dtype))
        simd.store(builder, vector, args[1], target.dtype, target.dtype)
        return context.get_dummy_value()

    return types.void(target, types.intp, value), codegen


@intrinsic(prefer_literal=True)
def widen(typingctx: Any, source: Any, position: Any, target: Any, offset: Any, part: Any) -> Any:
    """A register of accumulators, or that `part` of one (a literal: 2 for half, 4 for a quarter, an element at least),
    from storage at a byte address to element `offset` of a buffer of accumulators."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = target.dtype
        value = simd.load(builder, args[1], source.dtype, wide, max(1, simd.lanes_of(wide) // part.literal_value))
        data = context.make_array(signature.args[2])(context, builder, args[2]).data
        where = builder.ptrtoint(builder.gep(data, [args[3]]), simd.I64)
        simd.store(builder, value, where, wide, wide)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, part), codegen


@intrinsic
def expect_store(typingctx: Any, position: Any) -> Any:
    """Have the cache line at a byte address fetched for writing, without waiting for it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        simd.fetch(builder, args[0], write=True)
        return context.get_dummy_value()

    return types.void(types.intp), codegen
