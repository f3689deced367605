"""Few filters a group: blocks larger than the conformance kit draws, signals, and separable filters."""

import numba
import numpy as np
import pytest

import convlab
from convlab import ConvProblem, reference, registry
from convlab.algorithms.factors import factors, worthwhile
from convlab.kernels import taps
from convlab.kernels.cpu import Extent, rows_serial, rows_tasks, tensor
from convlab.testing.judge import assert_same_bits, assert_within, make_plan, tolerance

DIRECT = registry.get_algorithm("direct", "cpu")


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_right(problem, x, w, factored):
    plan = make_plan(DIRECT, problem, (x, w, None), 2)
    assert {flag for *_, flag in plan._state} == {factored}
    expected = reference.solve(problem, x, w)
    assert_within(plan(x), expected, tolerance(DIRECT, problem, (x, w, None)))


# -- sums over all taps: tasks of several tiles, kernels of several blocks, taps that share loads and that do not

GEOMETRIES = {
    "whole tiles": ((1, 1, 48, 256), (1, 1, 3, 3), {"padding": 1}),
    "parts of tiles": ((1, 1, 50, 301), (1, 1, 5, 7), {"padding": 3, "padding_mode": "reflect"}),
    "groups": ((1, 3, 30, 70), (3, 1, 7, 7), {"padding": 3, "groups": 3, "padding_mode": "circular"}),
    "channels and filters": ((2, 2, 40, 60), (3, 2, 11, 5), {"padding": 4}),
    "blocks of rows and columns": ((1, 1, 60, 130), (1, 1, 37, 101), {"padding": 50}),
    "stride": ((1, 1, 90, 301), (2, 1, 5, 4), {"padding": 3, "stride": 2}),
    "stride and dilation": ((1, 1, 130, 301), (1, 1, 5, 4), {"padding": 3, "stride": 3, "dilation": 2}),
    "one is a multiple": ((1, 1, 130, 301), (1, 1, 4, 5), {"padding": 3, "stride": 2, "dilation": 4}),
    "far apart": ((1, 1, 300, 300), (1, 1, 3, 3), {"padding": 90, "dilation": 90}),
    "planes": ((1, 1, 4, 30, 30), (1, 1, 3, 3, 3), {"padding": 1}),
    "few rows": ((1, 1, 3, 2000), (1, 1, 3, 9), {"padding": 4}),
    "signal": ((1, 1, 7000), (1, 1, 33), {"padding": 16}),
    "dilated signal": ((1, 2, 7000), (1, 2, 101), {"padding": 9, "dilation": 2}),
    "unevenly dilated signal": ((1, 1, 7000), (1, 1, 21), {"padding": 9, "dilation": 3}),
    "strided signal": ((1, 1, 9000), (1, 1, 40), {"padding": 9, "stride": 3}),
    "long filter": ((1, 1, 9000), (1, 1, 12001), {"padding": 6000}),
}


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_block_is_summed(geometry, direction):
    x_shape, w_shape, options = GEOMETRIES[geometry]
    if direction == "backward_data" and "padding_mode" in options:
        pytest.skip("zeros only")
    problem = ConvProblem.forward(x_shape, w_shape, direction=direction, **options)
    source = problem.x_shape if direction == "forward" else problem.y_shape
    assert_right(problem, normal(source, "f4"), normal(w_shape, "f4", 1), factored=False)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "complex64", "int16"])
def test_every_storage_type(dtype, layout):
    shape = (1, 2, 30, 150) if layout == "channels_first" else (1, 30, 150, 2)
    problem = ConvProblem.forward(shape, (2, 1, 5, 5), padding=2, groups=2, layout=layout, dtype=np.dtype(dtype))
    x, w = 4 * normal(shape, "f8"), 4 * normal(problem.w_shape, "f8", 1)
    assert_right(problem, x.astype(dtype), w.astype(dtype), factored=False)


# -- separable filters


def gaussian(rows, columns, dtype="f4"):
    w = np.outer(np.exp(-(np.linspace(-2, 2, rows) ** 2)), np.exp(-(np.linspace(-1, 3, columns) ** 2)))
    return (w / w.sum()).astype(dtype)


BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 6, 15, 20, 15, 6, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 3), (5, 5), (15, 15), (31, 4), (63, 63)])
def test_factors_of_rounded_products_are_found(shape, dtype):
    for w in (gaussian(*shape, dtype), np.outer(normal(shape[0], "f8"), normal(shape[1], "f8", 1)).astype(dtype)):
        found = factors(w).astype(np.longdouble)
        a, b = found[: shape[0]], found[shape[0] :]
        assert (np.abs(np.outer(a, b) - w) <= 4 * np.finfo(dtype).eps / 2 * np.abs(w)).all()
        assert 0.5 <= np.abs(b).max() <= 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint8", "int64"])
@pytest.mark.parametrize("w", [BINOMIAL % 200, np.ones((4, 4)), np.zeros((3, 5)), np.outer([0, 6, -9], [2, 0, 4, -6])])
def test_factors_of_whole_numbers_are_exact(w, dtype):
    w = np.abs(w).astype(dtype) if dtype == "uint8" else w.astype(dtype)
    found = factors(w)
    if np.linalg.matrix_rank(w.astype(float)) > 1:
        assert found is None
    else:
        assert np.array_equal(np.outer(*np.split(found, [len(w)])), w)


def test_what_is_no_product_has_no_factors():
    w = gaussian(7, 7)
    w[3, 5] *= 1 + 2**-20
    assert factors(w) is None
    assert factors(normal((5, 5), "f4")) is None
    assert factors(np.eye(3, dtype=np.float32)) is None
    for value in (np.nan, np.inf, -np.inf):
        w = gaussian(7, 7)
        w[0, 0] = value
        assert factors(w) is None
    assert factors(np.outer([1e-30, 1], [1e-15, 0.3]).astype(np.float32)) is None  # a product is subnormal


SEPARABLE = {
    "whole tiles": ((1, 1, 48, 512), (7, 7), {"padding": 3}),
    "parts of tiles": ((2, 3, 50, 301), (15, 9), {"padding": 6, "groups": 3, "padding_mode": "reflect"}),
    "blocks of rows and columns": ((1, 1, 60, 130), (37, 101), {"padding": 50}),
    "stride": ((1, 1, 90, 301), (9, 8), {"padding": 3, "stride": 2}),
    "stride and dilation": ((1, 1, 200, 301), (9, 8), {"padding": 3, "stride": 3, "dilation": 2}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry", SEPARABLE)
def test_separable_filters_stay_within_the_bound(geometry, dtype):
    x_shape, kernel, options = SEPARABLE[geometry]
    w = np.array([[gaussian(*kernel, dtype)]] * x_shape[1])
    problem = ConvProblem.forward(x_shape, w.shape, dtype=np.dtype(dtype), **options)
    assert_right(problem, normal(x_shape, dtype), w, factored=True)


def test_separable_backward_data():
    w = gaussian(9, 7)[None, None]
    problem = ConvProblem.forward((1, 1, 60, 90), w.shape, padding=4, direction="backward_data")
    assert_right(problem, normal(problem.y_shape, "f4"), w, factored=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
def test_separable_whole_numbers_are_exact(dtype):
    w = np.outer([1, -2, 0, 2, -1], [1, 2, 3, 2, 1, 0, -2])[None, None].astype(dtype)
    problem = ConvProblem.forward((1, 1, 40, 100), w.shape, padding=3, dtype=np.dtype(dtype))
    x = np.random.default_rng(0).integers(-3, 4, problem.x_shape).astype(dtype)
    plan = make_plan(DIRECT, problem, (x, w, None))
    assert plan._state[0][-1]
    assert_same_bits(plan(x), reference.solve(problem, x, w).astype(dtype), "exact is")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_separable_filters_spread_what_is_not_finite_as_far_as_others_do(value):
    """With zeros among the weights, and with infinities that meet in one sum."""
    w = np.outer([1, 0, 2, -1, 0.5], [0.25, -1, 0, 3, 1, 2, 0.7])[None, None].astype(np.float32)
    problem = ConvProblem.forward((1, 1, 40, 100), w.shape, padding=2)
    x = normal(problem.x_shape, "f4")
    x[0, 0, 10, 30] = value
    x[0, 0, 12, 31], x[0, 0, 11, 60], x[0, 0, 13, 60] = np.inf, np.inf, value
    plan = make_plan(DIRECT, problem, (x, w, None))
    assert plan._state[0][-1]
    result, expected = plan(x), reference.solve(problem, x, w)
    clean = np.isfinite(expected)
    assert_same_bits(result[~clean], expected[~clean].astype("f4"), "the oracle says")
    bound = np.broadcast_to(tolerance(DIRECT, problem, (np.where(np.isfinite(x), x, 0), w, None)), expected.shape)
    assert_within(result[clean], expected[clean], bound[clean])


def test_all_filters_must_be_separable_and_it_must_pay():
    w = np.array([gaussian(7, 7), normal((7, 7), "f4")])[:, None]
    problem = ConvProblem.forward((1, 1, 40, 100), w.shape, padding=3)
    assert_right(problem, normal(problem.x_shape, "f4"), w, factored=False)
    small = problem.replace(out_channels=1, kernel=(3, 3), padding=((1, 1), (1, 1)))
    assert_right(small, normal(problem.x_shape, "f4"), gaussian(3, 3)[None, None], factored=False)
    assert not worthwhile(1, 15)
    assert not worthwhile(15, 1)
    assert worthwhile(7, 7)


def test_separable_filters_with_bias_and_activation():
    w, x = gaussian(7, 7)[None, None], normal((1, 1, 50, 70), "f4")
    bias = np.array([0.3], np.float32)
    result = convlab.conv2d(x, w, bias, padding=3, activation="relu", algorithm="direct")
    plain = convlab.conv2d(x, w, padding=3, algorithm="direct")
    assert np.allclose(result, np.maximum(plain + bias[0], 0), atol=1e-6)


# -- from a user's own code


@numba.njit(parallel=True)
def smooth(frames, weights, bias, tables, extent, zero, out):
    tasks = rows_tasks(extent, tables, zero)
    for t in numba.prange(len(frames)):
        rows_serial(
            0, tasks, tensor(frames[t : t + 1]), weights, False, bias, tables, extent, 0, zero, tensor(out[t : t + 1])
        )


def test_from_a_users_own_loop():
    frames, w = normal((3, 1, 40, 60), "f4"), normal((1, 1, 5, 5), "f4", 1)
    out = np.empty_like(frames)
    extent, tables = Extent(1, 1, 1, 1, 1), taps.forward((40, 60), (5, 5), padding=2)
    smooth(frames, w.reshape(-1).copy(), np.empty(0, np.float32), tables, extent, np.float32(0), out)
    assert np.array_equal(out, convlab.conv2d(frames, w, padding=2, algorithm="direct"))
