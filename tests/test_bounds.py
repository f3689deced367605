"""Error bounds: honest rounding stays within them, and a mistake does not."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convlab import ConvProblem, bounds, reference
from convlab.testing import operands, problems

FLOATS = ("float32", "float64", "float16", "complex64", "complex128")
MODELS = (bounds.componentwise, bounds.normwise)
SEEDS = st.integers(0, 1000)


def rounded(problem, arrays):
    """The oracle's sum with every product and every partial sum rounded to the accumulator, and then the result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "wide_dtype", bounds.accumulator)
        return reference.solve(problem, *arrays).astype(problem.dtype)


@pytest.mark.parametrize("make", MODELS)
@given(problem=problems(dtypes=FLOATS), seed=SEEDS)
def test_rounding_stays_within(make, problem, seed):
    arrays = operands(problem, seed)
    exact = reference.solve(problem, *arrays)
    error = np.abs(rounded(problem, arrays).astype(exact.dtype) - exact)
    assert (error <= make(problem).bound(problem, arrays)).all()


@pytest.mark.parametrize("make", MODELS)
@given(problem=problems(dtypes=("float32", "float64")), seed=SEEDS)
def test_bound_has_the_shape_of_the_result_and_is_tight_enough_to_matter(make, problem, seed):
    problem = problem.replace(activation=None)
    arrays = operands(problem, seed)
    bound = make(problem).bound(problem, arrays)
    result = reference.solve(problem, *arrays)
    assert np.broadcast_shapes(bound.shape, result.shape) == result.shape
    assume(result.size and problem.macs)
    # One weight or one grad_output wrong by a tenth shows.
    assert (np.broadcast_to(bound, result.shape) < 1e-2 * (np.abs(result).max() + problem.reduction)).all()


@pytest.mark.parametrize("make", MODELS)
@given(problem=problems(dtypes=("int8", "uint32", "int64")), seed=SEEDS)
def test_integers_are_exact(make, problem, seed):
    assert not make(problem).bound(problem, operands(problem, seed)).any()


def test_componentwise_by_hand():
    problem = ConvProblem.forward((1, 2, 3), (1, 2, 1))
    x, w = np.array([[[1, 2, 0], [3, -4, 0]]], np.float32), np.array([[[5], [-6]]], np.float32)
    u, n = 2.0**-24, 2 + 1
    gamma = (n + 2) * u / (1 - (n + 2) * u)
    expected = np.array([[[23, 34, 0]]]) * (gamma + u * (1 + gamma))
    assert np.allclose(bounds.componentwise(problem).bound(problem, (x, w, None)), expected, rtol=1e-6, atol=1e-40)


def test_normwise_by_hand():
    problem = ConvProblem.forward((1, 2, 2), (1, 2, 1))
    x, w = np.array([[[3, 4], [6, 8]]], np.float32), np.array([[[1], [-2]]], np.float32)
    expected = (2 + 128) * 2.0**-24 * (5 * 1 + 10 * 2)
    assert bounds.normwise(problem).bound(problem, (x, w, None)) == pytest.approx(expected)


def test_normwise_follows_the_groups():
    problem = ConvProblem.forward((1, 2, 2), (2, 1, 1), groups=2)
    x, w = np.array([[[3, 4], [0, 0]]], np.float32), np.ones((2, 1, 1), np.float32)
    bound = bounds.normwise(problem).bound(problem, (x, w, None))
    assert bound[0, 0, 0] > 1e6 * bound[0, 1, 0]


def test_kinds_and_claims():
    problem = ConvProblem.forward((1, 1, 1), (1, 1, 1))
    assert bounds.componentwise(problem).kind == "componentwise"
    assert bounds.componentwise(problem).exact_integers
    assert bounds.normwise(problem).kind == "normwise"
    assert not bounds.normwise(problem).exact_integers


@pytest.mark.parametrize(
    ("dtype", "wide"), [("float16", "float32"), ("float32", "float32"), ("complex64", "complex64")]
)
def test_accumulator(dtype, wide):
    assert bounds.accumulator(np.dtype(dtype)) == np.dtype(wide)
