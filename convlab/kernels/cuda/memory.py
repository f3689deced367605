"""Device memory by address: bytes from where an array begins, whatever its strides. Nothing is checked.

Loads and stores are of global memory. An offset times a scale is one wide multiply-add (IMAD.WIDE) of machine code,
where sums of 64 bits are two instructions: a scale of 0 keeps an address where it is.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.cuda.extending import intrinsic

_WORD, _LONG = ir.IntType(32), ir.IntType(64)
_GLOBAL_SPACE, _SHARED_SPACE = 1, 3


def _word(builder: Any, value: Any) -> Any:
    return builder.trunc(value, _WORD) if value.type.width > _WORD.width else value


def _long(builder: Any, value: Any) -> Any:
    return builder.sext(value, _LONG) if value.type.width < _LONG.width else value


def _pointer(context: Any, builder: Any, array_type: Any, address: Any) -> Any:
    element = context.get_data_type(array_type.dtype)
    return builder.inttoptr(address, ir.PointerType(element, _GLOBAL_SPACE))


def _product(builder: Any, a: Any, b: Any) -> Any:
    """a · b of 32 bits in 64, by an instruction that LLVM does not take apart. Nor does ptxas: with the sum in the same
    instruction (mad.wide) it makes three of it."""
    function = ir.FunctionType(_LONG, [_WORD, _WORD])
    return builder.call(ir.InlineAsm(function, "mul.wide.u32 $0, $1, $2;", "=l,r,r"), [a, b])


@intrinsic
def address(typing: Any, array: Any) -> Any:
    """Where an array begins, an int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=args[0]).data
        return builder.ptrtoint(data, _LONG)

    return types.int64(array), generate


@intrinsic
def moved(typing: Any, address: Any, count: Any, stride: Any) -> Any:
    """address + count · stride, both of 32 bits, not negative."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.add(_long(builder, args[0]), _product(builder, *(_word(builder, v) for v in args[1:])))

    return types.int64(address, count, stride), generate


@intrinsic
def load(typing: Any, array: Any, address: Any, offset: Any, scale: Any) -> Any:
    """The element, of the array's type, at address + offset · scale; offset and scale are of 32 bits, not negative."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.add(_product(builder, *(_word(builder, v) for v in args[2:])), _long(builder, args[1]))
        return builder.load(_pointer(context, builder, signature.args[0], place))

    return array.dtype(array, address, offset, scale), generate


@intrinsic
def load4(typing: Any, array: Any, address: Any) -> Any:
    """Four elements in a row, of the array's type, from an address on that is aligned to their size, as a tuple."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(signature.args[0].dtype)
        pointer = builder.inttoptr(_long(builder, args[1]), ir.PointerType(ir.VectorType(element, 4), _GLOBAL_SPACE))
        loaded = builder.load(pointer)
        loaded.align = 4 * context.get_abi_sizeof(element)
        return cgutils.pack_array(builder, [builder.extract_element(loaded, _WORD(i)) for i in range(4)])

    return types.UniTuple(array.dtype, 4)(array, address), generate


@intrinsic
def words4(typing: Any, address: Any) -> Any:
    """The 16 bytes at an address that is aligned to 16, as four uint32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(_long(builder, args[0]), ir.PointerType(ir.VectorType(_WORD, 4), _GLOBAL_SPACE))
        loaded = builder.load(pointer)
        loaded.align = 16
        return cgutils.pack_array(builder, [builder.extract_element(loaded, _WORD(i)) for i in range(4)])

    return types.UniTuple(types.uint32, 4)(address), generate


@intrinsic
def store(typing: Any, array: Any, address: Any, value: Any) -> Any:
    """Write an element, of the array's type, at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, signature.args[0], _long(builder, args[1])))
        return context.get_dummy_value()

    return types.void(array, address, array.dtype), generate


@intrinsic
def quotient(typing: Any, a: Any, b: Any) -> Any:
    """(a // b, a % b) of numbers from 0 to 2³² − 1; b is not 0, which Python would have checked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = [_word(builder, value) for value in args]
        results = [builder.zext(operation(*words), _LONG) for operation in (builder.udiv, builder.urem)]
        return context.make_tuple(builder, signature.return_type, results)

    return types.UniTuple(types.int64, 2)(a, b), generate


@intrinsic
def scale_of(typing: Any, condition: Any) -> Any:
    """1 or 0, as an int32 of which the compiler knows nothing: it would make selections of 64 bits of products."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bit = context.cast(builder, args[0], signature.args[0], types.boolean)
        function = ir.FunctionType(_WORD, [_WORD])
        return builder.call(ir.InlineAsm(function, "mov.b32 $0, $1;", "=r,r"), [builder.zext(bit, _WORD)])

    return types.int32(condition), generate


@intrinsic
def chosen(typing: Any, condition: Any, a: Any, b: Any) -> Any:
    """a if the condition holds, else b: a selection, where the like in Python is a branch that LLVM may keep."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(context.cast(builder, args[0], signature.args[0], types.boolean), *args[1:])

    return a(condition, a, a), generate


@intrinsic
def copy16(typing: Any, shared: Any, to: Any, address: Any) -> Any:
    """Begin to copy 16 bytes from an address to a flat index of a shared array, past L1 and the registers (sm_80); both
    places are aligned to 16 bytes. intrinsics.cp_async_commit and the waits say when it has landed."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = signature.args[0]
        start = context.make_array(array)(context, builder, value=args[0]).data
        offset = builder.ptrtoint(builder.addrspacecast(start, ir.PointerType(_WORD, _SHARED_SPACE)), _WORD)
        scaled = builder.mul(_word(builder, args[1]), _WORD(context.get_abi_sizeof(start.type.pointee)))
        function = ir.FunctionType(ir.VoidType(), [_WORD, _LONG])
        text = "cp.async.cg.shared.global [$0], [$1], 16;"
        asm = ir.InlineAsm(function, text, "r,l,~{memory}", side_effect=True)
        builder.call(asm, [builder.add(offset, scaled), _long(builder, args[2])])
        return context.get_dummy_value()

    return types.void(shared, to, address), generate


@intrinsic
def spread_sign(typing: Any, value: Any) -> Any:
    """-1 if the low 32 bits are a negative number, else 0, an int32 of which the compiler knows nothing: of a mask it
    would make a predicate, and a selection of every `and` with it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = ir.FunctionType(_WORD, [_WORD])
        return builder.call(ir.InlineAsm(function, "shr.s32 $0, $1, 31;", "=r,r"), [_word(builder, args[0])])

    return types.int32(value), generate
