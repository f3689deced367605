"""direct with vectors of columns: rows, strips and filters larger than the conformance kit draws."""

import numpy as np
import pytest

from convlab import ConvProblem, reference, registry
from convlab.testing.buffers import odd_view
from convlab.testing.judge import assert_same_bits, assert_within, make_plan, tolerance

DIRECT = registry.get_algorithm("direct", "cpu")


def normal(shape, dtype, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def assert_right(problem, out=None):
    filters = problem.out_channels if problem.direction == "forward" else problem.in_channels
    source = problem.x_shape if problem.direction == "forward" else problem.y_shape
    arrays = (
        normal(source, problem.dtype),
        normal(problem.w_shape, problem.dtype, 1),
        normal((filters,), problem.dtype, 2) if problem.has_bias else None,
    )
    plan = make_plan(DIRECT, problem, arrays, 2)
    assert {kernel.py_func.__name__ for kernel, *_ in plan._state} == {"columns"}
    result = plan(arrays[0], out=out)
    assert_within(result, reference.solve(problem, *arrays), tolerance(DIRECT, problem, arrays))
    assert_same_bits(make_plan(DIRECT, problem, arrays, 1)(arrays[0]), result, "on two threads it was")


GEOMETRIES = {
    "whole tiles": ((1, 3, 40, 64), (16, 3, 3, 3), {"padding": 1}),
    "parts of tiles": ((2, 3, 9, 83), (21, 3, 3, 5), {"padding": (1, 2), "padding_mode": "reflect"}),
    "one vector": ((1, 3, 20, 16), (24, 3, 3, 3), {"padding": 1, "padding_mode": "circular"}),
    "a vector and some": ((1, 4, 20, 30), (16, 4, 3, 3), {"padding": 1}),
    "groups": ((2, 6, 30, 64), (32, 3, 5, 5), {"padding": 2, "groups": 2, "padding_mode": "replicate"}),
    "blocks of columns": ((1, 4, 6, 3001), (16, 4, 3, 3), {"padding": 1}),
    "stride": ((1, 3, 61, 223), (16, 3, 7, 7), {"padding": 3, "stride": 2}),
    "large stride": ((1, 3, 83, 323), (16, 3, 5, 4), {"padding": 2, "stride": 5}),
    "dilation": ((1, 3, 50, 96), (16, 3, 3, 3), {"padding": 2, "dilation": 2}),
    "stride and dilation": ((1, 3, 90, 290), (16, 3, 3, 4), {"padding": 3, "stride": 3, "dilation": 2}),
    "more padding than image": ((1, 3, 2, 3), (16, 3, 3, 3), {"padding": 9}),
    "planes": ((1, 2, 5, 12, 48), (16, 2, 3, 3, 3), {"padding": 1}),
    "signal": ((1, 3, 5000), (16, 3, 33), {"padding": 16}),
}


# Those whose gradient of the input is wide enough for vectors of columns too, in every phase of the stride.
BACKWARD = ["whole tiles", "a vector and some", "blocks of columns", "stride", "dilation", "planes", "signal"]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_geometry(geometry):
    x_shape, w_shape, options = GEOMETRIES[geometry]
    assert_right(ConvProblem.forward(x_shape, w_shape, **options))


@pytest.mark.parametrize("geometry", BACKWARD)
def test_gradient_of_the_input(geometry):
    (n, c, *image), (k, _, *kernel), options = GEOMETRIES[geometry]
    assert_right(ConvProblem.forward((n, k, *image), (c, k, *kernel), direction="backward_data", **options))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint16"])
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
def test_bias_and_activation(dtype, activation):
    shape = (1, 3, 12, 150)
    assert_right(
        ConvProblem.forward(
            shape, (40, 3, 3, 3), padding=1, has_bias=True, activation=activation, dtype=np.dtype(dtype)
        )
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_other_activations_and_views(dtype):
    problem = ConvProblem.forward(
        (1, 3, 12, 64), (20, 3, 3, 3), padding=1, has_bias=True, activation="gelu", dtype=np.dtype(dtype)
    )
    assert_right(problem)
    assert_right(problem, out=odd_view(problem.y_shape, problem.dtype)[1])
    plain = ConvProblem.forward((1, 3, 12, 64), (20, 3, 3, 3), padding=1, dtype=np.dtype(dtype))
    assert_right(plain, out=odd_view(plain.y_shape, plain.dtype)[1])


def test_nan_stays_nan():
    problem = ConvProblem.forward((1, 3, 8, 32), (16, 3, 3, 3), padding=1, activation="relu6")
    x, w = normal(problem.x_shape, "f4"), normal(problem.w_shape, "f4", 1)
    x[0, 1, 4, 17] = np.nan
    result = make_plan(DIRECT, problem, (x, w, None))(x)
    touched = np.zeros((8, 32), bool)
    touched[3:6, 16:19] = True
    np.testing.assert_array_equal(np.isnan(result), np.broadcast_to(touched, result.shape))
