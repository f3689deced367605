"""convolve and correlate give what scipy.signal gives."""

import numpy as np
import pytest
from data import close, normal

import convlab


@pytest.fixture
def signal():
    return pytest.importorskip("scipy.signal")


@pytest.mark.peers
def test_convolve_as_documented(signal):
    sig, win = np.repeat([0.0, 1.0, 0.0], 100), signal.windows.hann(50)
    close(convlab.convolve(sig, win, mode="same") / sum(win), signal.convolve(sig, win, mode="same") / sum(win))


@pytest.mark.peers
def test_correlate_as_documented(signal):
    sig = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0], 128)
    noisy = sig + np.random.default_rng(0).standard_normal(len(sig))
    close(convlab.correlate(noisy, np.ones(128), mode="same"), signal.correlate(noisy, np.ones(128), mode="same"))
    x, y = normal(1000, dtype="f8"), normal(1000, dtype="f8", seed=1)
    close(convlab.correlate(x, y), signal.correlate(x, y))


@pytest.mark.peers
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("call", ["convolve", "correlate"])
@pytest.mark.parametrize(
    ("shape1", "shape2"),
    [((7,), (3,)), ((3,), (7,)), ((4,), (4,)), ((5, 6), (2, 3)), ((2, 3), (5, 6)), ((4, 5, 6), (3, 2, 1)),
     ((3, 3, 3, 3), (2, 1, 2, 3)), ((), ())],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "complex128", "int64", "float32"])
def test_n_dimensional_as_scipy(signal, call, mode, shape1, shape2, dtype):
    in1, in2 = (10 * normal(*shape, dtype="c16", seed=i) for i, shape in enumerate((shape1, shape2)))
    in1, in2 = (a.astype(dtype) if dtype == "complex128" else a.real.astype(dtype) for a in (in1, in2))
    expected = getattr(signal, call)(in1, in2, mode, "direct")
    result = getattr(convlab, call)(in1, in2, mode)
    assert result.dtype == np.asarray(expected).dtype
    close(result, expected)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["longdouble", "object", "bool"])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_dtypes_without_kernels_as_scipy(signal, dtype, mode):
    in1, in2 = np.array([1, 0, 2, 1]).astype(dtype), np.array([1, 1, 0]).astype(dtype)
    for call in ("convolve", "correlate"):
        expected = getattr(signal, call)(in1, in2, mode, "direct")
        result = getattr(convlab, call)(in1, in2, mode)
        assert result.dtype == expected.dtype
        assert np.array_equal(result, expected)


def test_convolve_without_scipy():
    for mode in ("full", "same", "valid"):
        in1, in2 = np.arange(1, 8), np.array([1, -1, 2])
        assert np.array_equal(convlab.convolve(in1, in2, mode), np.convolve(in1, in2, mode))
        assert np.array_equal(convlab.correlate(in1, in2, mode), np.correlate(in1, in2, mode))
    assert np.array_equal(convlab.correlate([1j, 2], [1j, 1]), np.correlate([1j, 2], [1j, 1], "full"))


def test_convolve_of_nothing():
    assert convlab.convolve([], [1.0]).shape == (0,)
    assert convlab.correlate(np.ones((3, 0)), np.ones((2, 2))).size == 0
