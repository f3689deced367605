"""Device arrays of images as kernels see them: a start and five strides in bytes."""

import math
from typing import Any

from ..cpu.tensor import Tensor


def tensor(array: Any, channels_last: bool = False) -> Tensor:
    """The Tensor of a device array (N, C, *spatial), or (N, *spatial, C), of one to three spatial dimensions.

    array: one of numba's or of the emulator's. Its data are flat where nothing lies between them, so that kernels of
    any number of dimensions are the same.
    """
    n, *others = array.strides
    if channels_last:
        others = [others[-1], *others[:-1]]
    c, *axes = others
    return Tensor(flat(array), n, c, *(0,) * (3 - len(axes)), *axes)


def flat(array: Any) -> Any:
    """The array in one dimension if it is C-contiguous, else as it is."""
    step = array.dtype.itemsize
    for length, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if length > 1 and stride != step:
            return array
        step *= length
    return array.reshape(math.prod(array.shape))
