"""ConvProblem: shapes and sizes derived from the geometry, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given

import convlab
from convlab import ConvProblem, DTypeError, ProblemError
from convlab.testing import problems

PLAIN = {
    "batch": 1, "in_channels": 4, "out_channels": 4, "in_size": (8, 8), "out_size": (6, 6), "kernel": (3, 3),
    "stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1),
}  # fmt: skip


def test_vgg_layer():
    p = ConvProblem.forward((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert p.y_shape == (1, 64, 56, 56)
    assert p.macs == 56 * 56 * 64 * 64 * 9
    assert p.min_bytes == 4 * (2 * 64 * 56 * 56 + 64 * 64 * 9)
    assert p.reduction == 64 * 9
    assert p.descriptor == "mb1ic64ih56oc64oh56kh3ph1"
    assert str(p) == "mb1ic64ih56oc64oh56kh3ph1 (float32, channels_first, forward)"


def test_everything_at_once():
    p = ConvProblem.forward(
        (2, 9, 11, 6), (8, 3, 3, 2), (2, 1), ((1, 2), (0, 1)), (1, 2), 2, layout="channels_last",
        dtype=np.float64, padding_mode="reflect", has_bias=True, activation="relu",
    )  # fmt: skip
    assert (p.batch, p.in_channels, p.in_size, p.out_size) == (2, 6, (9, 11), (5, 10))
    assert p.x_shape == (2, 9, 11, 6)
    assert p.y_shape == (2, 5, 10, 8)
    assert p.w_shape == (8, 3, 3, 2)
    assert p.bias_shape == (8,)
    assert p.ndim == 2
    assert str(p).endswith("(float64, channels_last, forward, reflect, bias, relu)")


def test_transposed_takes_the_shape_of_its_own_input():
    p = ConvProblem.transposed((1, 4, 5), (4, 3, 3), 2, 1, 1, 2, has_bias=True)
    assert p.direction == "backward_data"
    assert (p.in_channels, p.out_channels, p.groups) == (6, 4, 2)
    assert p.y_shape == (1, 4, 5)
    assert p.x_shape == p.result_shape == (1, 6, 10)
    assert p.bias_shape == (6,)


def test_products_beyond_32_bits_are_counted():
    p = ConvProblem.forward((64, 512, 512, 512), (512, 512, 3, 3), padding=1)
    assert p.macs == 64 * 512 * 512 * 512 * 512 * 9 > 2**31


@given(problems())
def test_drawn_problems_are_consistent(problem):
    assert problem.replace() == problem
    assert hash(problem.replace()) == hash(problem)
    assert problem.result_shape in (problem.x_shape, problem.w_shape, problem.y_shape)
    result = np.prod(problem.result_shape, dtype=int)
    assert problem.min_bytes >= result * problem.dtype.itemsize
    if problem.direction == "forward":
        assert problem.macs == result * problem.reduction
    assert len(problem.x_shape) == len(problem.y_shape) == len(problem.w_shape) == problem.ndim + 2


@given(problems(directions=("forward",)))
def test_forward_constructor_gives_the_problem_back(problem):
    again = ConvProblem.forward(
        problem.x_shape, problem.w_shape, problem.stride, problem.padding, problem.dilation, problem.groups,
        padding_mode=problem.padding_mode, dtype=problem.dtype, layout=problem.layout, has_bias=problem.has_bias,
        activation=problem.activation,
    )  # fmt: skip
    assert again == problem


@pytest.mark.parametrize("out_size", [(6, 6), (5, 1)])
def test_outputs_need_not_reach_the_end(out_size):
    assert ConvProblem(**{**PLAIN, "out_size": out_size}).y_shape == (1, 4, *out_size)


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
def test_one_output_too_many_is_refused_in_every_direction(direction):
    with pytest.raises(ProblemError, match="out_size=7 on spatial axis 1 reads past"):
        ConvProblem(**{**PLAIN, "out_size": (6, 7)}, direction=direction)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 3}, "groups=3 does not divide the 4 in-channels"),
        ({"groups": 0}, "groups must be at least 1, not 0"),
        ({"in_channels": 8, "groups": 8}, "groups=8 does not divide the 4 out-channels"),
        ({"kernel": (3, 0)}, r"kernel \(3, 0\) has an empty axis"),
        ({"in_size": (0, 8)}, r"spatial size \(0, 8\) has an empty axis"),
        ({"out_size": (7, 6)}, "out_size=7 on spatial axis 0 reads past the padded input of 8 elements"),
        ({"stride": (1, 2)}, r"out_size=6 on spatial axis 1 reads past .* \(kernel 3, stride 2, dilation 1\)"),
        ({"dilation": (2, 1), "padding": ((0, 1), (0, 0))}, "out_size=6 on spatial axis 0 reads past .* of 9 elements"),
        ({"direction": "backward"}, "direction='backward' is unknown; valid are 'forward', 'backward_data'"),
        ({"layout": "NHWC"}, "layout='NHWC' is unknown; valid are 'channels_first', 'channels_last'"),
        ({"activation": "elu"}, "activation='elu' is unknown; valid are None, 'relu'"),
        ({"padding_mode": "mirror"}, "padding_mode='mirror' is unknown"),
        ({"padding_mode": "reflect", "direction": "backward_data"}, "padding_mode='reflect' has no backward_data"),
        ({"has_bias": True, "direction": "backward_weights"}, "backward_weights takes neither a bias nor"),
        ({"activation": "tanh", "dtype": np.int32}, "activation='tanh' is not defined for int32; valid: 'relu' and"),
        ({"activation": "relu", "dtype": np.complex64}, "activation='relu' is not defined for complex64; valid: none"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ProblemError, match=message):
        ConvProblem(**{**PLAIN, **changes})


def test_refuses_four_dimensions():
    with pytest.raises(ProblemError, match="a convolution has 1, 2 or 3 spatial dimensions, not 4"):
        ConvProblem.forward((1, 1, 2, 2, 2, 2), (1, 1, 1, 1, 1, 1))


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options", "message"),
    [
        ((1, 3, 8, 8), (4, 4, 3, 3), {}, r"x has 3 channels, but w of shape \(4, 4, 3, 3\) with groups=1 takes 4"),
        ((1, 4, 8, 8), (4, 4, 3, 3), {"groups": 2}, "groups=2 takes 8"),
        ((1, 4, 2, 8), (4, 4, 3, 3), {}, "kernel of 3 with dilation 1 spans 3 elements on spatial axis 0"),
        ((1, 4, 0, 8), (4, 4, 3, 3), {}, "must have no empty axis"),
        ((1, 4, 8), (4, 4, 3, 3), {}, r"x of shape \(1, 4, 8\) must have 4 dimensions for 2 spatial ones"),
    ],
)
def test_forward_refuses(x_shape, w_shape, options, message):
    with pytest.raises(ProblemError, match=message):
        ConvProblem.forward(x_shape, w_shape, **options)


@pytest.mark.parametrize("dtype", ["bool", "longdouble", "object", "str", "datetime64[s]", "clongdouble"])
def test_refuses_dtypes(dtype):
    with pytest.raises(DTypeError, match="is not supported; valid are float32, float64, float16, complex64"):
        ConvProblem(**PLAIN, dtype=dtype)


def test_dtype_is_native_and_typed():
    assert ConvProblem(**PLAIN, dtype=">f4").dtype == np.dtype(np.float32)
    assert ConvProblem(**PLAIN, dtype=">f4").dtype.isnative


def test_errors_are_the_standard_ones_too():
    assert issubclass(ProblemError, (convlab.ConvlabError, ValueError))
    assert issubclass(DTypeError, TypeError)
    assert issubclass(convlab.UnsupportedError, ValueError)
    assert issubclass(convlab.BackendError, RuntimeError)
