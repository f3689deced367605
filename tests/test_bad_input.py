"""Bad input is refused by convlab's own errors, which name the argument, the value, and what would be valid."""

import numpy as np
import pytest

import convlab
from convlab import BackendError, ConvProblem, DTypeError, ProblemError, UnsupportedError

X, W = np.zeros((1, 4, 8, 8), "f4"), np.zeros((4, 4, 3, 3), "f4")
G = np.zeros((1, 4, 6, 6), "f4")


def refused(error, message, call, *args, **options):
    with pytest.raises(error, match=message) as caught:
        call(*args, **options)
    assert isinstance(caught.value, convlab.ConvlabError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride must be at least 1, not 0"),
        ({"stride": (1, -1)}, r"stride\[1\] must be at least 1, not -1"),
        ({"stride": (1, 1, 1)}, r"stride must be one integer or 2 of them, not \(1, 1, 1\)"),
        ({"stride": 1.5}, "stride must be an integer, not 1.5"),
        ({"dilation": 0}, "dilation must be at least 1, not 0"),
        (
            {"dilation": 5},
            "kernel of 3 with dilation 5 spans 11 elements on spatial axis 0, more than the padded input's 8",
        ),
        ({"padding": -1}, "padding must be at least 0, not -1"),
        ({"padding": "full"}, "padding='full' is unknown; valid names are 'valid', 'same', 'same_lower'"),
        ({"padding": ((1, 1),) * 3}, r"padding must hold 2 \(lo, hi\) pairs"),
        ({"padding_mode": "mirror"}, "padding_mode='mirror' is unknown; valid are 'zeros', 'reflect'"),
        ({"padding": 8, "padding_mode": "reflect"}, r"padding=\(8, 8\) .* must be less than its size 8"),
        ({"padding": 9, "padding_mode": "circular"}, r"padding=\(9, 9\) .* must not exceed its size 8"),
        ({"groups": 0}, "groups must be at least 1, not 0"),
        ({"groups": 1.5}, "groups must be an integer, not 1.5"),
        ({"groups": 3}, "x has 4 channels, but w .* with groups=3 takes 12"),
        ({"activation": "elu"}, "activation='elu' is unknown; valid are None, 'relu'"),
        ({"layout": "NHWC"}, "layout='NHWC' is unknown; valid are 'channels_first', 'channels_last'"),
        ({"layout": "channels_last"}, "x has 8 channels, but w of shape .* takes 4"),
        ({"accuracy": "high"}, "accuracy='high' is unknown; valid are 'componentwise'"),
        ({"workspace_limit": "a lot"}, "workspace_limit='a lot' is not a size; an example is '64MiB'"),
        ({"workspace_limit": -1}, "workspace_limit=-1 must not be negative"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"threads": "all"}, "threads must be an integer, not 'all'"),
        ({"bias": np.zeros(3)}, r"bias has shape \(3,\); it must be \(4,\)"),
        ({"out": np.zeros((1, 4, 6, 7), "f4")}, r"out has shape \(1, 4, 6, 7\); it must be \(1, 4, 6, 6\)"),
        ({"out": []}, "out must be a NumPy array, not list"),
    ],
)
def test_option(options, message):
    refused(ProblemError, message, convlab.conv2d, X, W, **options)


@pytest.mark.parametrize(
    ("x", "w", "options", "message"),
    [
        (X[0, 0], W, {}, r"x has shape \(8, 8\); 2-D convolution takes 4 dimensions, or 3 unbatched"),
        (1.0, W, {}, r"x has shape \(\)"),
        (X, W[0], {}, r"w has shape \(4, 3, 3\); 2-D convolution takes 4 dimensions"),
        (X, W[:, :3], {}, "x has 4 channels, but w .* takes 3"),
        (X, W[:3, :2], {"groups": 2}, "groups=2 does not divide the 3 out-channels"),
        (X[..., :2, :], W, {}, "kernel of 3 with dilation 1 spans 3 elements on spatial axis 0"),
        (X[..., :0], W, {}, r"spatial size \(8, 0\) and kernel \(3, 3\) must have no empty axis"),
        (X, W[..., :0], {}, "must have no empty axis"),
        (X, W[..., :1, :1], {"out": X}, "out overlaps x in memory; give it memory of its own"),
        (
            X.astype(int),
            W.astype(int),
            {"activation": "tanh"},
            "'tanh' is not defined for int64; valid: 'relu' and 'relu6'",
        ),
        (X.astype(complex), W, {"activation": "relu"}, "'relu' is not defined for complex128; valid: none"),
    ],
)
def test_arrays(x, w, options, message):
    refused(ProblemError, message, convlab.conv2d, x, w, **options)


@pytest.mark.parametrize(
    ("x", "w", "options", "message"),
    [
        (X.astype(bool), W, {}, "x is bool, for which convolution is not defined; cast it to an integer or float"),
        (X, W.astype(bool), {}, "w is bool"),
        (X.astype("g"), W, {}, "is not supported; valid are float32, float64, float16"),
        (X.astype(object), W, {}, "dtype object is not supported"),
        (X.astype(str), W, {}, "is not supported|no common dtype"),
        (X.astype("m8[s]"), W, {}, "is not supported|no common dtype"),
        (X, W, {"bias": np.zeros(4, complex)}, "bias is complex128, which has no meaning in a float32 convolution"),
        (X, W, {"out": np.zeros((1, 4, 6, 6))}, "out has dtype float64; it must be float32"),
    ],
)
def test_dtypes(x, w, options, message):
    refused(DTypeError, message, convlab.conv2d, x, w, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"algorithm": "direkt"}, UnsupportedError, "algorithm='direkt' is unknown on cpu. Did you mean 'direct'?"),
        ({"backend": "gpu"}, BackendError, "backend='gpu' is unknown; valid are 'auto', 'cpu', 'cuda'"),
        ({"stream": object()}, BackendError, "stream= belongs to backend='cuda'; the cpu backend has none"),
    ],
)
def test_algorithm_and_backend(options, error, message):
    refused(error, message, convlab.conv2d, X, W, **options)


@pytest.mark.parametrize(
    ("x", "w", "options", "message"),
    [
        (X, W[:3], {}, r"x has 4 channels, but w of shape \(3, 4, 3, 3\) takes 3"),
        (X, W, {"padding": "same"}, "padding='same' has no meaning here; give an integer, 2 integers or 2"),
        (
            X,
            W,
            {"stride": 2, "output_padding": 2},
            "output_padding=2 .* must be less than the stride 2 or the dilation 1",
        ),
        (X, W, {"padding": 5}, r"padding=\(5, 5\) on spatial axis 0 leaves an output of 0 elements"),
        (X, W, {"groups": 3}, "groups=3 does not divide the 4 out-channels"),
        (X[..., :0], W, {}, "must have no empty axis"),
    ],
)
def test_conv_transpose(x, w, options, message):
    refused(ProblemError, message, convlab.conv_transpose2d, x, w, **options)


def test_gradients():
    grad = convlab.grad
    shapes = r"grad_output has shape \(1, 4, 8, 8\); the forward convolution gives \(1, 4, 6, 6\)"
    refused(ProblemError, shapes, grad.conv2d_input, X.shape, W, X)
    refused(ProblemError, shapes, grad.conv2d_weight, X, W.shape, X)
    refused(ProblemError, r"input_size has shape \(8,\)", grad.conv2d_input, (8,), W, G)
    refused(ProblemError, r"weight_size has shape \(3, 3\)", grad.conv2d_weight, X, (3, 3), G)
    refused(ProblemError, "padding_mode='reflect' has no backward_data", grad.conv2d_input, X.shape, W, X,
            padding=1, padding_mode="reflect")  # fmt: skip


def test_plan():
    problem = ConvProblem.forward(X.shape, W.shape, has_bias=True)
    refused(ProblemError, "bias is None, but problem.has_bias=True", convlab.plan, problem, W)
    refused(ProblemError, "must be a shape or a ConvProblem, not 5", convlab.plan, 5, W)
    refused(
        ProblemError,
        r"w has shape \(4, 4, 3, 2\); it must be \(4, 4, 3, 3\)",
        convlab.plan,
        problem,
        W[..., :2],
        [0] * 4,
    )
    refused(ProblemError, r"x has shape \(1, 4, 8, 7\)", convlab.plan(X.shape, W), X[..., :7])
    refused(DTypeError, "x is float64, which does not cast safely", convlab.plan(X.shape, W), X.astype("f8"))
    refused(DTypeError, "dtype bool|is bool", convlab.plan, X.shape, W, dtype=bool)


def test_signal():
    refused(ProblemError, "in1 has 1 dimensions and in2 2", convlab.convolve, [1], [[1]])
    refused(
        ProblemError, "mode='some' is unknown; valid are 'full', 'valid', 'same'", convlab.convolve, [1], [1], "some"
    )
    refused(ProblemError, "method='slow' is unknown; valid are", convlab.correlate, [1], [1], method="slow")
    refused(ProblemError, "mode='valid' needs one array", convlab.convolve, np.ones((2, 3)), np.ones((3, 2)), "valid")
