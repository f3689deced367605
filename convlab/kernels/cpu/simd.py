"""Vector code for Numba, at the level of LLVM: how wide a register is, and how elements get into one.

A kernel names the type it computes in by an example, `zero`, of the accumulator's type. The storage type is
that of its arrays, and the same but for float16: Numba has no half on the CPU, so such arrays come viewed
as uint16, and a uint16 that meets a float32 `zero` is loaded and stored as a half.

Memory is named by byte address (an integer): one arithmetic serves every layout, and a padding pixel is
the address of a zero.
"""

from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
CACHE_LINE = 64


def _host_features() -> frozenset[str]:
    """CPU features that Numba compiles for; NUMBA_CPU_FEATURES and NUMBA_CPU_NAME override the host's."""
    if numba.config.CPU_FEATURES is not None:
        listed = numba.config.CPU_FEATURES.split(",")
        return frozenset(f.strip().lstrip("+") for f in listed if not f.strip().startswith("-"))
    if numba.config.CPU_NAME == "generic":
        return frozenset()
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


FEATURES = _host_features()
# Bytes in a vector register. SSE2 and NEON have 16 as well, so 16 is the floor everywhere.
VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx2" in FEATURES else 16
# AVX-512 has 32 vector registers, as NEON has; AVX2 and SSE have 16.
REGISTERS = 32 if "avx512f" in FEATURES or "neon" in FEATURES else 16
# Without the instruction, LLVM would call a library function for every lane.
HAS_FMA = bool(FEATURES & {"fma", "avx512f", "neon"})


def lanes_of(scalar: types.Type) -> int:
    """Elements of a type in a vector register."""
    return VECTOR_BYTES * 8 // scalar.bitwidth


def llvm_scalar(scalar: types.Type) -> ir.Type:
    """The LLVM type of a Numba number."""
    if scalar == types.float32:
        return ir.FloatType()
    return ir.DoubleType() if scalar == types.float64 else ir.IntType(scalar.bitwidth)


def is_half(storage: types.Type, accumulator: types.Type) -> bool:
    return storage == types.uint16 and accumulator == types.float32


def pointer(builder: ir.IRBuilder, address: ir.Value, element: ir.Type) -> ir.Value:
    return builder.inttoptr(address, element.as_pointer())


def load(builder: Any, address: Any, storage: types.Type, accumulator: types.Type, lanes: int = 0) -> Any:
    """The element at an address, or `lanes` of them as a vector, widened to the accumulator's type."""
    half = is_half(storage, accumulator)
    element = ir.HalfType() if half else llvm_scalar(storage)
    wide: ir.Type = llvm_scalar(accumulator)
    if lanes:
        element, wide = ir.VectorType(element, lanes), ir.VectorType(wide, lanes)
    value = builder.load(pointer(builder, address, element))
    value.align = storage.bitwidth // 8
    return builder.fpext(value, wide) if half else value


def store(builder: Any, value: Any, address: Any, storage: types.Type, accumulator: types.Type, lanes: int = 0) -> None:
    """The inverse of `load`: rounded to storage."""
    if is_half(storage, accumulator):
        element: ir.Type = ir.HalfType()
        value = builder.fptrunc(value, ir.VectorType(element, lanes) if lanes else element)
    target = builder.store(value, pointer(builder, address, value.type))
    target.align = storage.bitwidth // 8


def broadcast(builder: Any, scalar: Any, lanes: int) -> Any:
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a · b + c on scalars or vectors; one rounding where the machine can, wrapping for integers."""
    element = getattr(a.type, "element", a.type)
    if isinstance(element, ir.IntType):
        return builder.add(builder.mul(a, b), c)
    if not HAS_FMA:
        return builder.fadd(builder.fmul(a, b), c)
    suffix = "f64" if isinstance(element, ir.DoubleType) else "f32"
    count = f"v{a.type.count}" if isinstance(a.type, ir.VectorType) else ""
    # By name: llvmlite's declare_intrinsic refuses vector types.
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), f"llvm.fma.{count}{suffix}"
    )
    return builder.call(fma, [a, b, c])


@intrinsic
def outlined(typingctx: Any) -> Any:
    """Called in a function, keeps LLVM from inlining that function: once compiled, it is not compiled again inside
    every caller and every parallel region, which is most of what a kernel's first call costs."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def lanes(typingctx: Any, zero: Any) -> Any:
    """Elements of zero's type in a vector register."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, lanes_of(zero))

    return types.intp(zero), codegen


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Byte address of an array's first element."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, I64)

    return types.intp(array), codegen


def _stack_array(context: Any, builder: Any, array_type: Any, count: int) -> Any:
    """`count` elements in the function's frame, as a Numba array."""
    data_type = context.get_data_type(array_type.dtype)
    with builder.goto_entry_block():
        memory = builder.alloca(ir.ArrayType(data_type, count))
    memory.align = CACHE_LINE
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
        return _stack_array(context, builder, array_type, count.literal_value * lanes_of(array_type.dtype))

    return array_type(like, count), codegen


@intrinsic
def load_at(typingctx: Any, source: Any, zero: Any, position: Any) -> Any:
    """The element at a byte address, of source's storage type, widened to zero's type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load(builder, args[2], source.dtype, zero)

    return zero(source, zero, types.intp), codegen


@intrinsic
def raw_at(typingctx: Any, source: Any, position: Any) -> Any:
    """The element at a byte address, as source's storage type holds it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load(builder, args[1], source.dtype, source.dtype)

    return source.dtype(source, types.intp), codegen


@intrinsic
def store_at(typingctx: Any, target: Any, position: Any, value: Any) -> Any:
    """Write a number to a byte address, rounded to target's storage type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store(builder, args[2], args[1], target.dtype, value)
        return context.get_dummy_value()

    return types.void(target, types.intp, value), codegen


@intrinsic
def store_vector(typingctx: Any, target: Any, position: Any, buffer: Any, offset: Any) -> Any:
    """One register of accumulators, from element `offset` of their buffer, to a byte address, rounded to storage."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, count = buffer.dtype, lanes_of(buffer.dtype)
        data = context.make_array(signature.args[2])(context, builder, args[2]).data
        source = builder.ptrtoint(builder.gep(data, [args[3]]), I64)
        value = load(builder, source, wide, wide, count)
        store(builder, value, args[1], target.dtype, wide, count)
        return context.get_dummy_value()

    return types.void(target, types.intp, buffer, types.intp), codegen


# Lanes of the widest vectors whose square is transposed in registers: beyond, the shuffles are too many to compile.
_TRANSPOSED = 16


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """A square of vectors turned: log2(lanes) perfect shuffles of all of them."""
    size = len(rows)
    low, high = (
        ir.Constant(ir.VectorType(I32, size), [I32(i // 2 + first + i % 2 * size) for i in range(size)])
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
        return ir.IntType(1)(lanes_of(zero) <= _TRANSPOSED)

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
        wide, size = buffer.dtype, lanes_of(buffer.dtype)
        if size > _TRANSPOSED:
            return context.get_dummy_value()
        _, position, stride, array, offset, step, count, _ = args
        data = context.make_array(signature.args[3])(context, builder, array).data
        last = builder.sub(count, I64(1))
        rows = []
        for i in range(size):  # past the last vector, that one again
            inside = builder.icmp_signed("<", I64(i), count)
            row = builder.mul(builder.select(inside, I64(i), last), step)
            where = builder.ptrtoint(builder.gep(data, [builder.add(offset, row)]), I64)
            rows.append(load(builder, where, wide, wide, size))
        columns = [
            (column, builder.add(position, builder.mul(stride, I64(lane))))
            for lane, column in enumerate(_transpose(builder, rows))
        ]
        usual = usual_count.literal_value % size or size
        with builder.if_else(builder.icmp_signed("==", count, I64(usual))) as (then, otherwise):
            with then:  # plain stores of powers of two: masked ones cost ten times as much on Zen 4
                for column, where in columns:
                    _store_pieces(builder, column, usual, where, target.dtype, wide)
            with otherwise:
                lanes_range = ir.Constant(ir.VectorType(I64, size), [I64(i) for i in range(size)])
                mask = builder.icmp_signed("<", lanes_range, broadcast(builder, count, size))
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
        lanes_taken = ir.Constant(ir.VectorType(I32, size), [I32(done + i) for i in range(size)])
        piece = builder.shuffle_vector(value, value, lanes_taken)
        where = builder.add(address, I64(done * storage.bitwidth // 8))
        store(builder, piece, where, storage, accumulator, size)
        done += size


def _masked_store(
    builder: Any, value: Any, address: Any, storage: types.Type, accumulator: types.Type, mask: Any
) -> None:
    size = value.type.count
    if is_half(storage, accumulator):
        halves = builder.fptrunc(value, ir.VectorType(ir.HalfType(), size))
        value = builder.bitcast(halves, ir.VectorType(ir.IntType(16), size))
    where = pointer(builder, address, value.type)
    kind = {"float": "f32", "double": "f64"}.get(str(value.type.element), str(value.type.element))
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [value.type, where.type, I32, mask.type]),
        f"llvm.masked.store.v{size}{kind}.p0",
    )
    builder.call(function, [value, where, I32(storage.bitwidth // 8), mask])


@intrinsic
def copy_vector(typingctx: Any, source: Any, position: Any, target: Any, target_position: Any, zero: Any) -> Any:
    """One register of elements from a byte address to another, unchanged in storage; zero's type says how many."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(llvm_scalar(source.dtype), lanes_of(zero))
        value = builder.load(pointer(builder, args[1], vector))
        value.align = source.dtype.bitwidth // 8
        builder.store(value, pointer(builder, args[3], vector)).align = source.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, zero), codegen


@intrinsic
def cast_like(typingctx: Any, number: Any, like: Any) -> Any:
    """A number in the type of another."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], number, like)

    return like(number, like), codegen


@intrinsic
def is_negative(typingctx: Any, number: Any) -> Any:
    """Whether the top bit of an unsigned integer is set: its sign, read as two's complement."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.icmp_signed("<", args[0], ir.Constant(args[0].type, 0))

    return types.boolean(number), codegen
