"""The cuda backend on emulated devices: arrays in and out, plans, errors, and the properties of every algorithm."""

import numpy as np
import pytest

import convlab
from convlab import BackendError, DTypeError, ProblemError, UnsupportedError, arrays, registry
from convlab.emulator import Device, DeviceArray
from convlab.testing import check

RNG = np.random.default_rng(5)
X = RNG.standard_normal((2, 6, 5, 7)).astype(np.float32)
W = RNG.standard_normal((10, 3, 1, 1)).astype(np.float32)
Y = convlab.conv2d(X, W, groups=2)


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def names(device):
    return [counters.function for counters in device.launches]


@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_device_arrays_in_and_out(device, algorithm):
    y = convlab.conv2d(device.array(X), device.array(W), groups=2, algorithm=algorithm)
    assert isinstance(y, DeviceArray)
    assert y.device is device
    assert_close(y.copy_to_host(), Y)


def test_numpy_arrays_are_copied(device):
    with arrays.using(device):
        y = convlab.conv2d(X, W, groups=2, backend="cuda")
        out = np.empty_like(Y)
        assert convlab.conv2d(X, device.array(W), groups=2, backend="cuda", out=out) is out
    assert type(y) is np.ndarray
    assert_close(y, Y)
    assert_close(out, Y)


def test_plan_copies_nothing(device):
    """One launch a call, on the very arrays given."""
    plan = convlab.plan(X.shape, device.array(W), groups=2, algorithm="direct")
    before, out = len(device.launches), device.empty(Y.shape, np.float32)
    assert plan(device.array(X), out) is out
    assert names(device)[before:] == ["direct"]
    assert_close(out.copy_to_host(), Y)
    assert_close(plan(X), Y)


@pytest.mark.parametrize("algorithm", ["pointwise", "direct"])
@pytest.mark.parametrize("step", [2, -1])
def test_strided_arrays(device, algorithm, step):
    wide = np.repeat(X, 2, axis=3) if step == 2 else X[..., ::-1]
    x = device.array(wide)[..., ::step]
    whole = device.empty((2, 10, 5, 7 * abs(step)), np.float32)
    out = whole[..., ::step]
    assert convlab.conv2d(x, W, groups=2, algorithm=algorithm, out=out) is out
    assert_close(out.copy_to_host(), Y)
    if step == 2:  # between its elements nothing was written
        assert np.isnan(whole.copy_to_host()[..., 1::2]).all()


def test_unbatched(device):
    y = convlab.conv2d(device.array(X[0]), W, groups=2)
    assert_close(y.copy_to_host(), Y[0])
    out = device.empty(Y[0].shape, np.float32)
    convlab.conv2d(device.array(X[0]), W, groups=2, out=out)
    assert_close(out.copy_to_host(), Y[0])


def test_dtypes_are_cast_on_the_device(device):
    y = convlab.conv2d(device.array(X), device.array(W.astype(np.float64)), groups=2)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.copy_to_host(), convlab.conv2d(X, W.astype(np.float64), groups=2), rtol=1e-12)
    with pytest.raises(DTypeError, match="x is float64, which does not cast safely"):
        convlab.plan(X.shape, device.array(W), groups=2)(device.array(X.astype(np.float64)))


def test_bias_and_activation(device):
    bias = RNG.standard_normal(10)
    y = convlab.conv2d(device.array(X), W, device.array(bias), groups=2, activation="silu")
    assert_close(y.copy_to_host(), convlab.conv2d(X, W, bias, groups=2, activation="silu"))


def test_transposed_and_gradient(device):
    w = RNG.standard_normal((6, 4, 3, 3)).astype(np.float32)
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    y = convlab.conv_transpose2d(device.array(X), device.array(w), **options)
    assert_close(y.copy_to_host(), convlab.conv_transpose2d(X, w, **options))
    g = RNG.standard_normal(Y.shape).astype(np.float32)
    x = convlab.grad.conv2d_input(X.shape, W, device.array(g), groups=2)
    assert_close(x.copy_to_host(), convlab.grad.conv2d_input(X.shape, W, g, groups=2))


def test_named_algorithm_says_why_not(device):
    with pytest.raises(UnsupportedError, match="the gradient of the weights is a product of another kind"):
        convlab.grad.conv2d_weight(device.array(X), W.shape, device.array(Y), groups=2, algorithm="pointwise")


def test_gradient_of_the_weights(device):
    x, g, size = X[..., ::-1], RNG.standard_normal(Y.shape).astype(np.float32), (10, 3, 1, 1)
    w = convlab.grad.conv2d_weight(device.array(X)[..., ::-1], size, device.array(g), groups=2)
    assert isinstance(w, DeviceArray)
    assert_close(w.copy_to_host(), convlab.grad.conv2d_weight(x, size, g, groups=2))


def test_empty_result(device):
    y = convlab.conv2d(device.empty((0, 6, 5, 7), np.float32), W, groups=2)
    assert y.shape == (0, 10, 5, 7)


def test_bad_arrays(device):
    x, w = device.array(X), device.array(W)
    with pytest.raises(ProblemError, match="out has shape"):
        convlab.conv2d(x, w, groups=2, out=device.empty((2, 10, 5, 6), np.float32))
    with pytest.raises(DTypeError, match="out has dtype float64"):
        convlab.conv2d(x, w, groups=2, out=device.empty(Y.shape, np.float64))
    square = device.array(np.ones((6, 6, 1, 1), np.float32))
    with pytest.raises(ProblemError, match="out overlaps x in memory"):
        convlab.conv2d(x, square, out=x)
    with pytest.raises(BackendError, match="not in this emulated device's memory"):
        convlab.conv2d(x, Device().array(W), groups=2)
    with pytest.raises(BackendError, match="backend='cpu' takes no convlab array on a CUDA device"):
        convlab.conv2d(X, w, groups=2)


@pytest.mark.parametrize("name", [name for name, _ in registry.algorithms("cuda")])
@pytest.mark.parametrize("wanted", ["equivalence", "guard_bands"])
def test_properties(device, name, wanted):
    with arrays.using(device):
        assert check(name, "cuda", properties=[wanted], max_examples=2) == []
