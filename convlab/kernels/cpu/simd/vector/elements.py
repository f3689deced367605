"""Vectors from and to memory: by index in an array, or by byte address as kernels name their operands.

Arrays are C-contiguous of any number of dimensions and their elements are counted flat; nothing checks that they are
inside. No alignment is needed beyond the element's. float16, which Numba does not have on the CPU, is a uint16
view (`array.view(numpy.uint16)`) loaded or stored as float32: a uint16 array that meets float32 holds halves.
"""

from typing import Any

from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .. import emit
from .value import Vector, given, is_number, wanted


def _lanes_type(array: Any, value: types.Type) -> types.Type:
    """dtype of what is loaded from or stored to the array, which must fit it."""
    element = value.dtype if isinstance(value, Vector) else value
    if not isinstance(array, types.Array):
        raise TypingError(f"vectors are in arrays, not in {array}")
    if not is_number(element):
        raise TypingError(f"no {element} in memory: float32, float64 and integers only")
    if element != array.dtype and not emit.is_half(array.dtype, element):
        raise TypingError(f"{array.dtype} in memory is not {element}: convert it, or give a `like` of its type")
    return element


def _is_flat(array: types.Array) -> None:
    if not array.is_c_contig:
        raise TypingError(f"{array} is not C-contiguous: its neighbours in memory are others")


def _is_writable(array: types.Array) -> None:
    if not array.mutable:
        raise TypingError(f"{array} is read-only")


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Byte address of an element of an array, counted flat."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.ptrtoint(builder.gep(data, [index]), emit.I64)


def _places(builder: Any, first: Any, step: Any, count: int) -> list[Any]:
    """first, first + step, …"""
    return [builder.add(first, builder.mul(step, emit.I64(i))) for i in range(count)]


def _load(builder: Any, array: Any, address: Any, value: types.Type, element: types.Type) -> Any:
    return emit.load(builder, address, array.dtype, element, value.lanes if isinstance(value, Vector) else 0)


@intrinsic(prefer_literal=True)
def load(typingctx: Any, array: Any, index: Any, like: Any = None, lanes: Any = None) -> Any:
    """The vector at element `index` of an array: of like's type (one number, if like is a number), or of `lanes` lanes
    (a literal), or of as many as a register holds."""
    value = wanted(getattr(array, "dtype", array), like, lanes)
    element = _lanes_type(array, value)
    _is_flat(array)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(builder, array, _address(context, builder, array, args[0], args[1]), value, element)

    return value(array, types.intp, given(like), given(lanes)), codegen


@intrinsic
def store(typingctx: Any, value: Any, array: Any, index: Any) -> Any:
    """Write a vector's lanes, or one number, to an array from element `index` on."""
    element = _lanes_type(array, value)
    _is_flat(array)
    _is_writable(array)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = _address(context, builder, array, args[1], args[2])
        emit.store(builder, args[0], where, array.dtype, element)
        return context.get_dummy_value()

    return types.void(value, array, types.intp), codegen


@intrinsic(prefer_literal=True)
def load_rows(typingctx: Any, array: Any, index: Any, step: Any, count: Any, like: Any = None) -> Any:
    """A tuple of `count` (a literal) vectors, at elements index, index + step, … of an array; of like's type, if given.

    What `deinterleave` and `transpose` take; step is the lanes where the vectors follow each other.
    """
    value = wanted(getattr(array, "dtype", array), like, None)
    element = _lanes_type(array, value)
    _is_flat(array)
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError("count must be a literal, or a global integer")
    rows = types.UniTuple(value, count.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = _places(builder, args[1], args[2], rows.count)
        vectors = [
            _load(builder, array, _address(context, builder, array, args[0], at), value, element) for at in places
        ]
        return context.make_tuple(builder, rows, vectors)

    return rows(array, types.intp, types.intp, count, given(like)), codegen


@intrinsic
def store_rows(typingctx: Any, rows: Any, array: Any, index: Any, step: Any) -> Any:
    """Write a tuple of vectors to elements index, index + step, … of an array."""
    if not isinstance(rows, types.UniTuple):
        raise TypingError(f"a tuple of vectors is stored, not {rows}")
    element = _lanes_type(array, rows.dtype)
    _is_flat(array)
    _is_writable(array)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for i, at in enumerate(_places(builder, args[2], args[3], rows.count)):
            where = _address(context, builder, array, args[1], at)
            emit.store(builder, builder.extract_value(args[0], i), where, array.dtype, element)
        return context.get_dummy_value()

    return types.void(rows, array, types.intp, types.intp), codegen


@intrinsic
def load_at(typingctx: Any, source: Any, address: Any, like: Any) -> Any:
    """A vector or number of like's type at a byte address; `source` is an array that tells only the type in memory."""
    value = types.unliteral(like)
    element = _lanes_type(source, value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(builder, source, args[1], value, element)

    return value(source, types.intp, value), codegen


@intrinsic
def store_at(typingctx: Any, value: Any, target: Any, address: Any) -> Any:
    """Write a vector or number to a byte address; `target` is an array that tells only the type in memory."""
    element = _lanes_type(target, value)
    _is_writable(target)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit.store(builder, args[0], args[2], target.dtype, element)
        return context.get_dummy_value()

    return types.void(value, target, types.intp), codegen
