"""Products of matrices by bilinear schemes, and the algorithm that is made of them."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convlab
from convlab import bounds, select
from convlab.kernels.bilinear import LADERMAN, SCHEMES, STRASSEN, compose
from convlab.kernels.cpu import matrix, scheme_terms, strassen
from convlab.kernels.cpu.epilogue import activation_code
from convlab.kernels.cpu.strassen import workspace
from convlab.problem import ConvProblem

SIZED = {**SCHEMES, "6x6x6": compose(STRASSEN, LADERMAN)}


def panels(scheme, m, n, k, dtype, threads=1):
    """The workspace, full of what must not matter."""
    first, second = workspace(scheme, m, n, k, np.dtype(dtype).itemsize)
    return np.full(first, np.nan, dtype), np.full((threads, second), np.nan, dtype)


def multiplied(scheme, a, b, c, *, bias=None, activation=None, accumulate=False, threads=1):
    (m, k), n = a.shape[-2:], b.shape[-1]
    bias = np.empty(0, c.dtype) if bias is None else bias
    strassen(
        matrix(a), matrix(b), *scheme_terms(scheme, c.dtype), bias, activation_code(activation, "f"), accumulate,
        c.dtype.type(0), *panels(scheme, m, n, k, c.dtype, threads), threads, matrix(c),
    )  # fmt: skip
    return c


def placed(array, order, gap):
    """The same numbers in other places: in C or Fortran order, or with gaps between all of them."""
    if order == "gaps":
        return np.repeat(np.repeat(array, 2, -1), 2 + gap, -2)[..., :: 2 + gap, ::2]
    padded = np.pad(array if order == "C" else array.T, [(0, 0), (0, gap)])
    view = padded[..., : padded.shape[-1] - gap]
    return view if order == "C" else view.T


orders = st.sampled_from(("C", "F", "gaps"))
sizes = st.one_of(st.integers(0, 40), st.integers(90, 130))


@settings(deadline=None)
@given(
    st.sampled_from(sorted(SIZED)), st.tuples(sizes, sizes, sizes), st.tuples(orders, orders, orders),
    st.integers(0, 3), st.booleans(), st.sampled_from(("float32", "float64")), st.integers(1, 3),
)  # fmt: skip
def test_products_of_matrices_wherever_they_lie(name, size, order, gap, accumulate, dtype, threads):
    """Small integers, of which every sum is exact: no rounding hides a wrong coefficient."""
    m, n, k = size
    rng = np.random.default_rng(m + 100 * n)
    a, b, start = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
    around = np.full((2 * m + 8, 2 * n + 8), 7, dtype)
    target = placed(around, order[2], gap)
    c = target[3 : 3 + m, 2 : 2 + n]
    c[...] = start if accumulate else np.nan
    multiplied(
        SIZED[name], placed(a, order[0], gap), placed(b, order[1], gap), c, accumulate=accumulate, threads=threads
    )
    assert np.array_equal(c, a @ b + start if accumulate else a @ b)
    c[...] = 7
    assert (target == 7).all()


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("size", [(600, 700, 1100), (31, 900, 9000), (1000, 800, 900)])
def test_products_of_several_blocks_whatever_the_threads(name, order, size):
    m, n, k = size
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n)))
    results = [multiplied(SCHEMES[name], a, b, np.empty((m, n), np.float32, order), threads=t) for t in (1, 2, 3)]
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(results[0] - exact).max() <= 1e-6 * np.abs(exact).max() * np.sqrt(k)
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_bias_and_activation_come_after_the_last_product(order, activation):
    rng = np.random.default_rng(0)
    a, b, bias = (rng.integers(-2, 3, shape).astype(np.float32) for shape in ((45, 33), (33, 70), (45,)))
    c = multiplied(STRASSEN, a, b, np.empty((45, 70), np.float32, order), bias=bias, activation=activation, threads=2)
    function = {None: lambda v: v, "relu": lambda v: np.maximum(v, 0), "tanh": np.tanh}[activation]
    np.testing.assert_allclose(c, function(a @ b + bias[:, None]), rtol=1e-6)


@numba.njit(parallel=True)
def squares(a, left, right, into, sums, packed, c):
    """c[i] = a[i] · a[i], a matrix a task."""
    for i in numba.prange(len(a)):
        zero = np.float32(0)
        strassen(
            matrix(a[i]), matrix(a[i]), left, right, into, a[0, 0, :0], 0, False, zero, sums[i], packed[i : i + 1], 1,
            matrix(c[i]),
        )  # fmt: skip


def test_products_in_ones_own_functions():
    a = np.random.default_rng(0).integers(-4, 5, (4, 30, 30)).astype(np.float32)
    c, (sums, packed) = np.zeros_like(a), panels(STRASSEN, 30, 30, 30, "float32", 4)
    squares(a, *scheme_terms(STRASSEN, a.dtype), np.stack([sums] * 4), packed, c)
    assert np.array_equal(c, a @ a)


def test_a_sum_of_too_many_blocks_is_refused():
    long = STRASSEN.products[0].left * 40
    wide = STRASSEN._replace(products=(STRASSEN.products[0]._replace(left=long),))
    with pytest.raises(ValueError, match="80 blocks"):
        scheme_terms(wide, np.dtype(np.float32))


def problem(size, channels=64, **options):
    return ConvProblem.forward((1, channels, size, size), (channels, channels, 1, 1), **options)


def test_it_is_named_but_never_picked_where_a_bound_for_each_filter_was_promised():
    large = problem(128, 2048)
    order = [c.name for c in select.rank(large, accuracy="reduced") if c.eligible]
    assert order[0] == "strassen"
    for accuracy in ("normwise", "componentwise"):
        assert "strassen" not in [c.name for c in select.rank(large, accuracy=accuracy) if c.eligible]
    assert select.named("strassen", large).reason is None
    with pytest.raises(convlab.UnsupportedError, match="componentwise"):
        select.named("strassen", large, accuracy="componentwise")


def test_why_it_keeps_no_bound_for_each_filter():
    """A filter of zeros among others: the bound of accuracy="normwise" is zero, and the result is not."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 64, 8, 8)), rng.standard_normal((64, 64, 1, 1))
    w[3] = 0
    y = convlab.conv2d(x, w, algorithm="strassen")
    allowed = bounds.normwise(problem(8, dtype=np.dtype(np.float64))).bound(problem(8, dtype=y.dtype), (x, w, None))
    assert (np.abs(y[0, 3]) > np.broadcast_to(allowed, y.shape)[0, 3]).any()
    assert np.abs(y[0, 3]).max() < 1e-13


def test_levels_are_chosen_by_cost():
    from convlab.algorithms.strassen import _scheme

    assert _scheme(problem(32, 512)) is SCHEMES["strassen"]
    assert _scheme(problem(256, 16384)) is SCHEMES["strassen-2"]


def test_workspace_is_what_it_says():
    plan = convlab.plan((1, 256, 32, 32), np.zeros((256, 256, 1, 1), np.float32), algorithm="strassen", threads=2)
    assert plan.workspace_bytes < 10 << 20  # of which b's packed blocks are 3 MiB a thread
