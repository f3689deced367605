"""How properties run an algorithm and judge a result."""

from typing import Any

import numpy as np

from .. import bounds, reference, registry, select
from ..algorithm import Algorithm, Context, ErrorModel
from ..plan import Plan
from ..problem import ConvProblem


def names(problem: ConvProblem) -> tuple[str, ...]:
    """What `operands` returns."""
    return {
        "forward": ("x", "w", "bias"),
        "backward_data": ("grad_output", "w", "bias"),
        "backward_weights": ("x", "grad_output"),
    }[problem.direction]


def make_plan(algorithm: Algorithm, problem: ConvProblem, arrays: Any, threads: int = 1, **options: Any) -> Plan:
    """A Plan of exactly this algorithm, which must have accepted the problem."""
    candidate = select.consider(algorithm, problem, Context(threads=threads), "reduced")
    assert candidate.reason is None, candidate.reason
    weight, bias = (None, None) if problem.direction == "backward_weights" else arrays[1:]
    return Plan(problem, candidate, weight, bias, threads=threads, **options)


def inputs(problem: ConvProblem, arrays: Any) -> Any:
    """What a Plan is called with."""
    return arrays if problem.direction == "backward_weights" else arrays[0]


def compute(algorithm: Algorithm, problem: ConvProblem, arrays: Any, threads: int = 1, **call: Any) -> np.ndarray:
    """The algorithm's result."""
    return make_plan(algorithm, problem, arrays, threads)(inputs(problem, arrays), **call)


def model(algorithm: Algorithm, problem: ConvProblem) -> ErrorModel:
    """The bound to judge by: the algorithm's own, else the contract of accuracy="normwise"."""
    return algorithm.error_model(problem) or bounds.normwise(problem)


def tolerance(algorithm: Algorithm, problem: ConvProblem, arrays: Any) -> np.ndarray:
    """How far from the oracle each result may be; where the oracle is no wider than the problem, it errs as well."""
    bound = model(algorithm, problem).bound(problem, arrays)
    if problem.dtype == reference.wide_dtype(problem.dtype):
        bound = bound + bounds.componentwise(problem).bound(problem, arrays)
    return bound


def assert_within(result: np.ndarray, expected: np.ndarray, bound: Any, what: str = "the oracle says") -> None:
    """Every element within its bound; a NaN never is. Integers are compared exactly."""
    if expected.dtype.kind in "iu":
        return assert_same_bits(result, expected.astype(result.dtype), what)
    error = np.abs(result.astype(expected.dtype) - expected)
    bound = np.broadcast_to(bound, error.shape)
    wrong = ~(error <= bound)
    if wrong.any():
        at = worst(wrong, np.where(wrong, error / np.maximum(bound, np.finfo(np.float64).tiny), 0))
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} results are wrong; worst is {at}: got {result[at]}, {what} "
            f"{expected[at]}, error {error[at]:.3g}, allowed {bound[at]:.3g}"
        )


def assert_repeated(
    algorithm: Algorithm, problem: ConvProblem, arrays: Any, result: np.ndarray, expected: np.ndarray, what: str
) -> None:
    """Another run on the same values gave the same bits, as convlab promises of its algorithms.

    No other library promises that: of a peer, the result must be within its bound once more.
    """
    if registry.is_peer(algorithm.name, algorithm.backend):
        assert_within(result, reference.solve(problem, *arrays), tolerance(algorithm, problem, arrays))
    else:
        assert_same_bits(result, expected, what)


def assert_same_bits(result: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Equal elements, NaN equal to NaN and −0 to 0."""
    wrong = ~((result == expected) | (result != result) & (expected != expected))
    if wrong.any():
        at = worst(wrong, wrong)
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} results differ; first is {at}: got {result[at]}, {what} {expected[at]}"
        )


def worst(wrong: np.ndarray, score: np.ndarray) -> tuple[int, ...]:
    """Index of the worst of the wrong elements."""
    score = np.where(np.isnan(score), np.inf, score)
    return tuple(map(int, np.unravel_index(np.argmax(np.where(wrong, score, -1)), wrong.shape)))
