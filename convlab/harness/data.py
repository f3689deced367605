"""Operands to measure with: standard normal data, weights scaled as networks scale them, the same every time."""

import math
from typing import Any

import numpy as np

from ..arrays import HOST
from ..plan import bias_operand
from ..problem import ConvProblem

_SEED = 0


def operands(problem: ConvProblem, weights: Any = None, data: Any = None) -> tuple[np.ndarray | None, ...]:
    """(x, w, bias) forward, (grad_output, w, bias) for backward_data, (x, grad_output) for backward_weights.

    What is not given is random. data: x, grad_output or the pair of them, as the direction has it; weights
    (K, C/groups, *kernel). Results have about the variance of the data: the second factor is divided by the
    square root of the products in a sum. Raises ProblemError or DTypeError for an array that does not fit.
    """
    rng = np.random.default_rng(_SEED)
    scale = 1 / math.sqrt(max(problem.reduction, 1))

    def either(name: str, given: Any, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
        if given is None:
            return random(rng, shape, problem.dtype, scale)
        return HOST.operand(name, given, shape, problem.dtype)

    if problem.direction == "backward_weights":
        x, grad_output = (None, None) if data is None else data
        return either("x", x, problem.x_shape), either("grad_output", grad_output, problem.y_shape, scale)
    name, shape = ("x", problem.x_shape) if problem.direction == "forward" else ("grad_output", problem.y_shape)
    bias = None
    if problem.has_bias:
        bias = bias_operand(random(rng, problem.bias_shape, problem.dtype), problem)
    return either(name, data, shape), either("weights", weights, problem.w_shape, scale), bias


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, scale: float = 1.0) -> np.ndarray:
    """Normal values of standard deviation `scale`; integers are uniform and small, and not scaled."""
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else -8, 9, shape, np.int64).astype(dtype)
    if dtype.kind == "c":
        parts = rng.standard_normal((2, *shape)) * (scale / math.sqrt(2))
        return (parts[0] + 1j * parts[1]).astype(dtype)
    values = rng.standard_normal(shape, np.float64 if dtype == np.float64 else np.float32)
    values *= values.dtype.type(scale)
    return values.astype(dtype, copy=False)
