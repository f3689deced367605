"""1x1 kernels by themselves, in a user's own parallel function."""

import numba
import numpy as np
import pytest

from convlab.kernels import taps
from convlab.kernels.cpu import (
    Extent,
    pointwise_serial,
    row_panels,
    tensor,
    vector_panels,
)
from convlab.kernels.cpu.pointwise import workspace

NO_BIAS, ZERO = np.empty(0, np.float32), np.float32(0)


@numba.njit(parallel=True)
def in_pieces(upright, pieces, x, panels, tables, extent, packed, y):
    for task in numba.prange(pieces):
        pointwise_serial(
            task, task + 1, pieces, upright, tensor(x), panels, NO_BIAS, tables, extent, 0, ZERO, packed,
            tensor(y),
        )  # fmt: skip


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(17, 12), (3, 4)])  # more outputs than filters, and fewer
@pytest.mark.parametrize("upright", [False, True])
def test_in_ones_own_parallel_function(upright, size, stride):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 20, *size)).astype(np.float32)
    w = rng.integers(-4, 5, (67, 20, 1, 1)).astype(np.float32)
    expected = np.einsum("nchw,kc->nkhw", x[:, :, ::stride, ::stride], w[:, :, 0, 0])
    panels, tables = (vector_panels if upright else row_panels)(w), taps.forward(size, (1, 1), stride)
    for pieces in (1, 3, 64):
        y = np.zeros_like(expected)
        packed = np.full((pieces, workspace(20, 4)), 99, np.float32)
        in_pieces(upright, pieces, x, panels, tables, Extent(2, 1, 20, 67, 1), packed, y)
        assert np.array_equal(y, expected)
