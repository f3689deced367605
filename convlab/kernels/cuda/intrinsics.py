"""What numba.cuda lacks: loads and stores of 128 bits, asynchronous copies, matrix products of a warp.

Arrays are addressed by the flat index of an element, which must not be negative and is not checked: element 0 is the
array's first, and strides are ignored. What moves 16 bytes at once wants them aligned to 16.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.cuda.extending import intrinsic

_FLOAT, _WORD, _LONG, _VOID = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.VoidType()
_SHARED_SPACE = 3  # NVVM's address space of shared memory


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """The address of an element, past numba's wraparound of negative indices."""
    data = context.make_array(array_type)(context, builder, value=array).data
    wide = builder.zext(index, _LONG) if index.type.width < _LONG.width else index
    return builder.gep(data, [wide])


def _four(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """The address of four elements, as that of a vector."""
    pointer = _pointer(context, builder, array_type, array, index)
    vector = ir.VectorType(context.get_data_type(array_type.dtype), 4)
    return builder.bitcast(pointer, vector.as_pointer(pointer.type.addrspace)), vector


@intrinsic
def ld1(typing: Any, array: Any, index: Any) -> Any:
    """The element at a flat index."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args))

    return array.dtype(array, index), generate


@intrinsic
def st1(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the element at a flat index."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, signature.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(array, index, array.dtype), generate


@intrinsic
def ld4(typing: Any, array: Any, index: Any) -> Any:
    """Four elements from a flat index on, aligned to their size, as a tuple."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, vector = _four(context, builder, signature.args[0], *args)
        loaded = builder.load(pointer)
        loaded.align = 4 * context.get_abi_sizeof(vector.element)
        return cgutils.pack_array(builder, [builder.extract_element(loaded, _WORD(i)) for i in range(4)])

    return types.UniTuple(array.dtype, 4)(array, index), generate


@intrinsic
def st4(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Write four elements from a flat index on, aligned to their size."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, vector = _four(context, builder, signature.args[0], *args[:2])
        value = ir.Constant(vector, ir.Undefined)
        for i in range(4):
            value = builder.insert_element(value, args[2 + i], _WORD(i))
        builder.store(value, pointer).align = 4 * context.get_abi_sizeof(vector.element)
        return context.get_dummy_value()

    return types.void(array, index, *[array.dtype] * 4), generate


def _assembly(builder: Any, result: Any, text: str, constraints: str, values: list[Any], effects: bool) -> Any:
    function = ir.FunctionType(result, [value.type for value in values])
    return builder.call(ir.InlineAsm(function, text, constraints, side_effect=effects), values)


@intrinsic
def cp_async16(typing: Any, shared: Any, to: Any, array: Any, index: Any) -> Any:
    """Begin to copy 16 bytes from a global to a shared array, past L1 and the registers (sm_80)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = _pointer(context, builder, signature.args[0], *args[:2])
        source = _pointer(context, builder, signature.args[2], *args[2:])
        offset = builder.ptrtoint(builder.addrspacecast(target, target.type.pointee.as_pointer(_SHARED_SPACE)), _WORD)
        text = "cp.async.cg.shared.global [$0], [$1], 16;"
        _assembly(builder, _VOID, text, "r,l,~{memory}", [offset, builder.ptrtoint(source, _LONG)], True)
        return context.get_dummy_value()

    return types.void(shared, to, array, index), generate


def _order(text: str, purpose: str) -> Any:
    """An instruction without operands that orders memory."""

    def typed(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _assembly(builder, _VOID, text, "~{memory}", [], True)
            return context.get_dummy_value()

        return types.void(), generate

    typed.__doc__ = purpose
    return intrinsic(typed)


cp_async_commit = _order("cp.async.commit_group;", "Make the copies begun since the last call a group.")
cp_async_wait0 = _order("cp.async.wait_group 0;", "Wait until no group of this thread's copies is on its way.")
cp_async_wait1 = _order("cp.async.wait_group 1;", "Wait until but the last group of this thread's copies have landed.")


def _register(name: str, purpose: str) -> Any:
    """A special register."""

    def typed(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _assembly(builder, _WORD, f"mov.u32 $0, %{name};", "=r", [], True)

        return types.uint32(), generate

    typed.__doc__ = purpose
    return intrinsic(typed)


# cuda.threadIdx and cuda.blockIdx, read where they are called: what the end of a kernel computes from them anew is kept
# in no register through its loop.
thread_x = _register("tid.x", "cuda.threadIdx.x, read again.")
block_x = _register("ctaid.x", "cuda.blockIdx.x, read again.")
block_z = _register("ctaid.z", "cuda.blockIdx.z, read again.")


@intrinsic
def float_bits(typing: Any, value: Any) -> Any:
    """The bits of a float32, as a uint32."""
    return types.uint32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], _WORD)


@intrinsic
def bits_float(typing: Any, value: Any) -> Any:
    """The float32 of these bits, a uint32."""
    return types.float32(types.uint32), lambda context, builder, signature, args: builder.bitcast(args[0], _FLOAT)


@intrinsic
def pair_bits(typing: Any, low: Any, high: Any) -> Any:
    """The bits of two float16, the first in the lower half, as a uint32.

    Where it stands: as an instruction that LLVM may not move, it does not wait for loads before its turn.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = [builder.bitcast(value, ir.IntType(16)) for value in args]
        return _assembly(builder, _WORD, "mov.b32 $0, {$1, $2};", "=r,h,h", halves, True)

    return types.uint32(types.float16, types.float16), generate


@intrinsic
def to_tf32(typing: Any, value: Any) -> Any:
    """A float32 rounded to TF32, as the bits that `mma_tf32` takes (sm_80)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _assembly(builder, _WORD, "cvt.rna.tf32.f32 $0, $1;", "=r,f", [args[0]], True)

    return types.uint32(types.float32), generate


def _product(instruction: str) -> Callable[..., Any]:
    """D = A·B + C of a warp: A in four registers a lane, B in two, C and D four float32 (PTX ISA, mma)."""
    names = [f"${i}" for i in range(14)]
    groups = (names[:4], names[4:8], names[8:10], names[10:])
    text = f"{instruction} " + ", ".join("{" + ",".join(group) + "}" for group in groups) + ";"
    constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)
    four = types.UniTuple(types.float32, 4)
    signature = four(types.UniTuple(types.uint32, 4), types.UniTuple(types.uint32, 2), four)

    def generate(context: Any, builder: Any, _: Any, args: Any) -> Any:
        values = [
            builder.extract_value(arg, i) for arg, count in zip(args, (4, 2, 4), strict=True) for i in range(count)
        ]
        found = _assembly(builder, ir.LiteralStructType([_FLOAT] * 4), text, constraints, values, False)
        return cgutils.pack_array(builder, [builder.extract_value(found, i) for i in range(4)])

    return lambda: (signature, generate)


_tf32 = _product("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32")
_float16 = _product("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")


@intrinsic
def mma_tf32(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """A (16 x 8) · B (8 x 8) + C of a warp, TF32 operands as their bits (sm_80)."""
    return _tf32()


@intrinsic
def mma_float16(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """A (16 x 16) · B (16 x 8) + C of a warp, pairs of float16 as their bits (sm_80)."""
    return _float16()


@intrinsic
def ldmatrix4(typing: Any, shared: Any, index: Any) -> Any:
    """Four 8x8 matrices of 16-bit elements as a warp's fragments, four uint32 a lane.

    Lane 8·j + i gives where in shared memory the 16 bytes of row i of matrix j begin.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _pointer(context, builder, signature.args[0], *args)
        offset = builder.ptrtoint(builder.addrspacecast(row, row.type.pointee.as_pointer(_SHARED_SPACE)), _WORD)
        text = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0,$1,$2,$3}, [$4];"
        words = ir.LiteralStructType([_WORD] * 4)
        found = _assembly(builder, words, text, "=r,=r,=r,=r,r,~{memory}", [offset], True)
        return cgutils.pack_array(builder, [builder.extract_value(found, i) for i in range(4)])

    return types.UniTuple(types.uint32, 4)(shared, index), generate
