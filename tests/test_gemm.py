"""Matrix products, from Python and from a user's own parallel function."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlab.kernels.cpu import gemm, gemm_serial, matrix
from convlab.kernels.cpu.blis import workspace
from convlab.kernels.cpu.microkernel import tile_start, tiles_of
from convlab.kernels.cpu.tensor import storage, zero
from convlab.kernels.cpu.tile import ROWS

KINDS = ("float32", "float64", "int16")


def panels(dtype, threads=1):
    """The workspace, full of what must not matter."""
    example = zero(np.dtype(dtype))
    return [np.full((threads, n), 99, type(example)) for n in workspace(example.itemsize)]


def multiplied(a, b, c, accumulate=False, threads=1):
    gemm(
        *(matrix(storage_view(m)) for m in (a, b)), accumulate, zero(c.dtype), *panels(c.dtype, threads), threads,
        matrix(storage_view(c)),
    )  # fmt: skip
    return c


def storage_view(array):
    """Signed integers run unsigned; strided views keep their strides."""
    return array.view(storage(np.empty(0, array.dtype)).dtype)


def whole_numbers(rng, dtype, *shape):
    return rng.integers(0 if dtype == "uint8" else -4, 5, shape).astype(dtype)


def placed(array, order, gap):
    """The same numbers in other places: in C or Fortran order, or with gaps between all of them."""
    if order == "gaps":
        return np.repeat(np.repeat(array, 2, -1), 2 + gap, -2)[..., :: 2 + gap, ::2]
    if order == "F":
        wide = np.ascontiguousarray(np.pad(array.swapaxes(-1, -2), [(0, 0)] * (array.ndim - 1) + [(0, gap)]))
        return wide[..., : array.shape[-2]].swapaxes(-1, -2)
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, gap)])[..., : array.shape[-1]]


orders = st.sampled_from(("C", "F", "gaps"))
sizes = st.one_of(st.integers(0, 40), st.integers(90, 120))


@settings(deadline=None)
@given(
    st.tuples(sizes, sizes, sizes), st.tuples(orders, orders, orders), st.integers(0, 3), st.integers(1, 3),
    st.booleans(), st.sampled_from(KINDS), st.integers(1, 3),
)  # fmt: skip
def test_products_of_matrices_wherever_they_lie(size, order, gap, batch, accumulate, dtype, threads):
    m, n, k = size
    rng = np.random.default_rng(m + 100 * n)
    a, b = whole_numbers(rng, dtype, batch, m, k), whole_numbers(rng, dtype, batch, k, n)
    start = whole_numbers(rng, dtype, batch, m, n)
    expected = (a @ b + start if accumulate else a @ b).astype(dtype)
    around = np.full((batch, 2 * m + 8, 2 * n + 8), 7, dtype)
    target = placed(around, order[2], gap)
    c = target[:, 3 : 3 + m, 2 : 2 + n]
    c[...] = start
    multiplied(placed(a, order[0], gap), placed(b, order[1], gap), c, accumulate, threads)
    assert np.array_equal(c, expected)
    c[...] = 7
    assert (target == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(300, 700, 1100), (31, 5000, 40), (200, 17, 2100)])
def test_products_of_several_blocks(dtype, size):
    m, n, k = size
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    results = [multiplied(a, b, np.empty((m, n), dtype), threads=threads) for threads in (1, 2, 3)]
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    bound = (k + 2) * np.finfo(dtype).eps / 2 * (np.abs(a) @ np.abs(b))
    assert (np.abs(results[0] - exact) <= bound).all()
    assert all(np.array_equal(results[0], other) for other in results[1:])


@numba.njit(parallel=True)
def squares(a, a_panels, b_panels, c):
    """c[i] = a[i]ᵀ · a[i], a matrix a task."""
    for i in numba.prange(len(a)):
        gemm_serial(matrix(a[i].T), matrix(a[i]), False, np.float32(0), a_panels[i], b_panels[i], matrix(c[i]))


@numba.njit
def all_squares(a, a_panels, b_panels, c):
    gemm(matrix(a), matrix(a), False, np.float32(0), a_panels, b_panels, 2, matrix(c))


def test_products_in_ones_own_functions():
    a = np.random.default_rng(0).integers(-4, 5, (4, 30, 30)).astype(np.float32)
    c = np.zeros_like(a)
    squares(a, *panels("float32", 4), c)
    assert np.array_equal(c, a.swapaxes(1, 2) @ a)
    all_squares(a, *panels("float32", 2), c)
    assert np.array_equal(c, a @ a)


def test_rows_are_cut_into_even_tiles():
    for rows in range(1, 200):
        starts = [tile_start(i, rows) for i in range(tiles_of(rows) + 1)]
        heights = np.diff(starts)
        assert starts[0] == 0
        assert starts[-1] == rows + rows % 2
        assert set(heights % 2) == {0}
        assert heights.max() <= ROWS
        assert heights.max() - heights.min() <= 2
