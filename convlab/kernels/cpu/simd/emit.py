"""Vector code at the level of LLVM: what an intrinsic of a kernel emits.

A kernel names the type it computes in by an example, `zero`, of the accumulator's type. The storage type is
that of its arrays, and the same but for float16: Numba has no half on the CPU, so such arrays come viewed
as uint16, and a uint16 that meets a float32 `zero` is loaded and stored as a half.

Memory is named by byte address (an integer): one arithmetic serves every layout, and a padding pixel is
the address of a zero.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import half
from .features import CACHE_LINE, HAS_FMA, HAS_HALF, lanes_of

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


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
    element = llvm_scalar(storage)
    value = builder.load(pointer(builder, address, ir.VectorType(element, lanes) if lanes else element))
    value.align = storage.bitwidth // 8
    return widened(builder, value, storage, accumulator)


def load_first(builder: Any, address: Any, scalar: types.Type, lanes: int, count: Any) -> Any:
    """A vector of `lanes` elements of which only the first `count` are read; the others are zero."""
    vector = ir.VectorType(llvm_scalar(scalar), lanes)
    numbers = ir.Constant(ir.VectorType(I64, lanes), [I64(i) for i in range(lanes)])
    mask = builder.icmp_signed("<", numbers, broadcast(builder, count, lanes))
    where = pointer(builder, address, vector)
    kind = {"float": "f32", "double": "f64"}.get(str(vector.element), str(vector.element))
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [where.type, I32, mask.type, vector]),
        f"llvm.masked.load.v{lanes}{kind}.p0",
    )
    return builder.call(function, [where, I32(scalar.bitwidth // 8), mask, ir.Constant(vector, None)])


def widened(builder: Any, value: Any, storage: types.Type, accumulator: types.Type) -> Any:
    """A number or a vector as stored, in the accumulator's type."""
    return half.widen(builder, value, HAS_HALF) if is_half(storage, accumulator) else value


def store(builder: Any, value: Any, address: Any, storage: types.Type, accumulator: types.Type) -> None:
    """The inverse of `load`, of a number or a vector: rounded to storage."""
    if is_half(storage, accumulator):
        value = half.narrow(builder, value, HAS_HALF)
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


def fetch(builder: Any, address: Any, size: int = CACHE_LINE, write: bool = False, close: bool = True) -> None:
    """Have the cache lines of `size` bytes fetched, to L1 or if not `close` to L2, without waiting for them; nothing
    happens if there is no memory."""
    byte = I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for offset in range(0, size, CACHE_LINE):
        where = builder.inttoptr(builder.add(address, I64(offset)), byte)
        builder.call(prefetch, [where, I32(int(write)), I32(3 if close else 2), I32(1)])  # 1: data, not code


@intrinsic
def outlined(typingctx: Any) -> Any:
    """Called in a function, keeps LLVM from inlining that function: once optimised, it is not again inside every
    caller (see kernels/linking.py), which is most of what a kernel's first call costs."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        context.active_code_library.outlined = True
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def inlined(typingctx: Any) -> Any:
    """Called in a function, has LLVM inline that function wherever it is called: what its arguments hold in registers
    stays there, and an argument that is a constant costs nothing."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("alwaysinline")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def lanes(typingctx: Any, zero: Any) -> Any:
    """Elements of zero's type in a vector register; of a vector, its lanes."""
    count = getattr(zero, "lanes", None) or lanes_of(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(zero), codegen


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
