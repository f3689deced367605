"""1x1 kernels by themselves, in a user's own parallel function."""

import numba
import numpy as np
import pytest

from convlab.kernels import taps
from convlab.kernels.cpu import (
    Extent,
    pointwise_filters_serial,
    pointwise_filters_tasks,
    pointwise_pixels_serial,
    pointwise_pixels_tasks,
    row_panels,
    tensor,
    vector_panels,
)
from convlab.kernels.cpu.pointwise import workspace

NO_BIAS, ZERO = np.empty(0, np.float32), np.float32(0)


@numba.njit(parallel=True)
def along_pixels(x, panels, tables, extent, packed, y):
    tasks = pointwise_pixels_tasks(extent, tables, ZERO)
    for task in numba.prange(tasks):
        pointwise_pixels_serial(
            task, task + 1, tensor(x), panels, NO_BIAS, tables, extent, 0, ZERO, packed[task], tensor(y)
        )


@numba.njit(parallel=True)
def along_filters(x, panels, tables, extent, packed, y):
    tasks = pointwise_filters_tasks(extent, tables, 4, ZERO)
    for task in numba.prange(tasks):
        pointwise_filters_serial(
            task, task + 1, tensor(x), panels, NO_BIAS, tables, extent, 0, ZERO, packed[task], tensor(y)
        )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "order"), [(along_pixels, row_panels), (along_filters, vector_panels)])
def test_in_ones_own_parallel_function(kernel, order, stride):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 20, 17, 12)).astype(np.float32)
    w = rng.integers(-4, 5, (37, 20, 1, 1)).astype(np.float32)
    expected = np.einsum("nchw,kc->nkhw", x[:, :, ::stride, ::stride], w[:, :, 0, 0])
    y = np.zeros_like(expected)
    packed = np.full((64, workspace(20, 4)), 99, np.float32)
    kernel(x, order(w), taps.forward((17, 12), (1, 1), stride), Extent(2, 1, 20, 37, 1), packed, y)
    assert np.array_equal(y, expected)
