"""Implicit GEMM on tensor cores, on the emulator against the oracle; its machine code and its use of memory."""

import functools

import numpy as np
import pytest
from convolutions import GEOMETRIES, MODES, of, problem

from convlab import reference
from convlab.algorithm import Context
from convlab.algorithms.cuda import lowering
from convlab.algorithms.cuda.im2col_mma import Im2colMma
from convlab.kernels.cuda import rows
from convlab.kernels.cuda.im2col_mma import LARGE, SMALL, im2col_mma
from convlab.testing import operands
from convlab.testing.judge import assert_within

DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32"])


def convolve(device, problem, arrays, height=SMALL):
    x, w, bias = (None if a is None else device.array(a) for a in arrays)
    ctx = Context(device=device)
    shape = problem.y_shape if problem.direction == "forward" else problem.x_shape
    out = device.empty(shape, problem.dtype)
    state = lowering.prepare(problem, w, ctx, height, rows.channels_of(problem.dtype), rows)
    lowering.run(functools.partial(im2col_mma, height=height), problem, (x, bias), state, out, ctx)
    return out.copy_to_host()


def check(device, problem, height=SMALL, seed=1):
    arrays = operands(problem, seed)
    result = convolve(device, problem, arrays, height)
    assert_within(result, reference.solve(problem, *arrays), Im2colMma().error_model(problem).bound(problem, arrays))


@DTYPES
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, direction, dtype):
    check(device, of(kind, direction=direction, dtype=dtype, has_bias=True, activation="relu"))
