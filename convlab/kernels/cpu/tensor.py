"""Tensor: an array of images as kernels see it, whatever its layout: a start and five strides.

Kernels compile once a dtype; every layout, view and dimensionality is the same type to them. Complex arrays
are seen as real ones: the part (0 real, 1 imaginary) is one more axis, whose stride is one element, and
the weights' panels carry the rule of complex multiplication.
"""

import ctypes
import functools
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

_REAL = {np.dtype(np.complex64): np.float32, np.dtype(np.complex128): np.float64, np.dtype(np.float16): np.uint16}


class Tensor(NamedTuple):
    """data: an array that begins with the first element; then the bytes between neighbouring images, channels, planes,
    rows, columns.

    Flat, because Numba's parallel regions take apart one level of tuples only.
    """

    data: np.ndarray
    image: int
    channel: int
    plane: int
    row: int
    column: int


def storage(array: np.ndarray) -> np.ndarray:
    """A contiguous array in the type that kernels store: complex as pairs, float16 as uint16, integers unsigned."""
    if array.dtype.kind == "i":
        return array.view(array.dtype.str.replace("i", "u"))
    real = _REAL.get(array.dtype)
    return array if real is None else array.view(real)


def parts(dtype: np.dtype) -> int:
    """Real numbers in an element."""
    return 2 if dtype.kind == "c" else 1


@functools.cache
def zero(dtype: np.dtype) -> Any:
    """A zero of the type in which kernels accumulate for an array of this dtype."""
    if dtype.kind == "i":
        return np.dtype(dtype.str.replace("i", "u")).type(0)
    real: dict[str, Any] = {"float16": np.float32, "complex64": np.float32, "complex128": np.float64}
    return real.get(dtype.name, dtype.type)(0)


def tensor(array: np.ndarray, channels_last: bool = False) -> Tensor:
    """The Tensor of an aligned array (N, C, *spatial), or (N, *spatial, C), of one to three spatial dimensions."""
    n, *others = array.strides
    if channels_last:
        others = [others[-1], *others[:-1]]
    c, *axes = others
    return Tensor(first(array), n, c, *(0,) * (3 - len(axes)), *axes)


def first(array: np.ndarray) -> np.ndarray:
    """The first element, as a writeable array of one dimension: read-only inputs are no type of their own to Numba.

    What follows it in memory may be in the array too: then no view of one element need be made.
    """
    flags = array.flags
    if flags.writeable and flags.c_contiguous and array.size:
        return storage(array.reshape(-1))
    if not array.size:
        return storage(np.empty(1, array.dtype))
    if flags.writeable:
        return storage(array[(slice(1),) * array.ndim].reshape(1))
    memory = (ctypes.c_uint8 * array.itemsize).from_address(array.__array_interface__["data"][0])
    return storage(np.frombuffer(memoryview(memory), array.dtype))


@intrinsic
def first_of(typingctx: Any, array: Any) -> Any:
    """first, compiled: a one-element view."""
    view = types.Array(array.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, args[0])
        target = context.make_array(view)(context, builder)
        one, item = context.get_constant(types.intp, 1), source.itemsize
        from numba.np.arrayobj import populate_array

        populate_array(target, data=source.data, shape=[one], strides=[item], itemsize=item, meminfo=None)
        return target._getvalue()

    return view(array), codegen


@overload(tensor, strict=False)  # the parameters are the same, their annotations are not
def _tensor(array: Any, channels_last: Any = False) -> Any:
    """tensor() inside a user's own @njit function: real arrays, channels first."""
    if array.ndim == 3:
        return lambda array, channels_last=False: Tensor(
            first_of(array), array.strides[0], array.strides[1], 0, 0, array.strides[2]
        )
    if array.ndim == 4:
        return lambda array, channels_last=False: Tensor(
            first_of(array), array.strides[0], array.strides[1], 0, array.strides[2], array.strides[3]
        )
    if array.ndim == 5:
        return lambda array, channels_last=False: Tensor(first_of(array), *array.strides)
    return None
