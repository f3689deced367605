"""What happens to a sum before it is stored: bias and activation, each activation in a kernel of its own."""

import functools
import math
from typing import Any

from numba import types

from ..cpu.epilogue import GELU, NONE, RELU, RELU6, SIGMOID, SILU, TANH
from .compile import inlined


@functools.cache
def activated(code: int, number: types.Float) -> Any:
    """The device function of an activation, by its code for floats, for numbers of this type.

    Comparisons are written so that NaN stays NaN; all constants have the type, or float32 would become float64.
    """
    nought, half, one, six = (number(value) for value in (0, 0.5, 1, 6))
    of_root = number(-math.sqrt(0.5))
    functions = {
        NONE: lambda v: v,
        RELU: lambda v: nought if v < nought else v,
        RELU6: lambda v: nought if v < nought else six if v > six else v,
        SILU: lambda v: v / (one + math.exp(-v)),
        GELU: lambda v: half * v * math.erfc(v * of_root),
        SIGMOID: lambda v: one / (one + math.exp(-v)),
        TANH: lambda v: math.tanh(v),
    }
    return inlined(functions[code])


def with_bias(bias: Any) -> bool:
    """Whether a bias was given: none is an empty array."""
    return bool(bias.size)
