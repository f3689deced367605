"""Error bounds that algorithms state: how far a result may be from the exact one, given its operands.

u is the unit roundoff and η the smallest subnormal; those without a suffix are of the dtype in which
products are accumulated, those with _out of the result's. n is the number of products in one sum.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import reference
from .algorithm import ErrorModel
from .problem import ConvProblem

# An activation's slope is at most 1.13 (gelu's), and its own evaluation adds 4 units in the last place.
_SLOPE, _ACTIVATION_ULPS = 1.13, 4


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype in which products of `dtype` are summed: its own, but float32 for float16."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def componentwise(problem: ConvProblem) -> ErrorModel:
    """|err| ≤ γ(n+2)·S + u_out·|y| + (n+1)·η with S = Σ|x||w|, element by element; complex √2·γ(2n+4).

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., (3.5) and section 3.6.
    The bias is one more product in S. Integers are exact.
    """

    def bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
        if problem.dtype.kind in "iu":
            return np.zeros(())
        real = problem.replace(dtype=np.dtype(np.float64), activation=None)
        magnitude = reference.solve(real, *(None if a is None else np.abs(a).astype(np.float64) for a in operands))
        wide, out = np.finfo(accumulator(problem.dtype)), np.finfo(problem.dtype)
        u, n = float(wide.eps) / 2, problem.reduction + 1
        terms, factor = (2 * n + 4, math.sqrt(2)) if problem.dtype.kind == "c" else (n + 2, 1.0)
        gamma = terms * u / (1 - terms * u)
        # The computed |y| that is rounded to the result's dtype is at most S·(1 + γ).
        error = factor * gamma * magnitude + float(out.eps) / 2 * magnitude * (1 + gamma)
        error += (n + 1) * float(wide.smallest_subnormal) + float(out.smallest_subnormal)
        return through_activation(problem, error, magnitude)

    return ErrorModel("componentwise", bound, exact_integers=True)


def normwise(problem: ConvProblem) -> ErrorModel:
    """|err| ≤ (n + 128)·u·Σ‖x‖₂‖w‖₂, the sum over the channels (or images) that a result adds up: the contract
    of accuracy="normwise", u of the problem's dtype."""

    def bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
        if problem.dtype.kind in "iu":
            return np.zeros(())
        norms = _norm_product(problem, *operands[:2])
        if len(operands) > 2 and operands[2] is not None:
            norms = norms + as_channel(problem, np.abs(np.asarray(operands[2])).astype(np.float64))
        info = np.finfo(problem.dtype)
        error = (problem.reduction + 128) * float(info.eps) / 2 * norms + float(info.smallest_subnormal)
        return through_activation(problem, error, norms)

    return ErrorModel("normwise", bound)


def through_activation(problem: ConvProblem, error: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """The bound behind the activation, whose results are at most max(|v|, 1)."""
    if problem.activation in (None, "relu", "relu6"):
        return error
    return _SLOPE * error + _ACTIVATION_ULPS * float(np.finfo(problem.dtype).eps) * np.maximum(magnitude, 1)


def as_channel(problem: ConvProblem, values: np.ndarray) -> np.ndarray:
    """(channels,) or (N, channels), ready to be broadcast against the result."""
    if problem.layout == "channels_last":
        return values.reshape(*values.shape[:-1], *[1] * problem.ndim, values.shape[-1])
    return values.reshape(*values.shape, *[1] * problem.ndim)


def _norm_product(problem: ConvProblem, a: Any, b: Any) -> np.ndarray:
    """Σ‖x‖₂‖w‖₂ over what a result sums up, broadcastable to the result."""

    def image_norms(array: Any) -> np.ndarray:  # (N, groups, channels/groups)
        array = np.abs(np.asarray(array)).astype(np.float64)
        if problem.layout == "channels_last":
            array = np.moveaxis(array, -1, 1)
        norms = np.sqrt((array**2).sum(tuple(range(2, array.ndim))))
        return norms.reshape(len(norms), problem.groups, norms.shape[1] // problem.groups)

    first = image_norms(a)
    if problem.direction == "backward_weights":
        product = np.einsum("ngc,ngk->gkc", first, image_norms(b))
        return product.reshape(*problem.w_shape[:2], *[1] * problem.ndim)
    weight = np.abs(np.asarray(b)).astype(np.float64)
    taps = np.sqrt((weight**2).sum(tuple(range(2, weight.ndim))))
    taps = taps.reshape(problem.groups, problem.out_channels // problem.groups, weight.shape[1])
    pattern = "ngc,gkc->ngk" if problem.direction == "forward" else "ngk,gkc->ngc"
    product = np.einsum(pattern, first, taps)
    return as_channel(problem, product.reshape(len(product), product.shape[1] * product.shape[2]))
