"""The oracle, against loops that spell out the definition, and against torch where it is installed."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convlab import ConvProblem, reference
from convlab.testing import operands, problems

SEEDS = st.integers(0, 1000)


def source(i, size, mode):
    """The input coordinate behind coordinate i of the padded input, or None for a zero."""
    if mode == "replicate":
        return min(max(i, 0), size - 1)
    if mode == "circular":
        return i % size
    if mode == "reflect":
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i
    return i if 0 <= i < size else None


def naive(p, a, b):
    """The three sums of the ConvProblem docstring, one product at a time, channels first, in Python numbers."""
    shape = {"forward": p.y_shape, "backward_data": p.x_shape, "backward_weights": p.w_shape}[p.direction]
    result = np.zeros(shape, object)
    depth, filters = p.in_channels // p.groups, p.out_channels // p.groups
    axes = (p.batch, p.out_channels, depth, *p.out_size, *p.kernel)
    for n, k, c, *rest in itertools.product(*map(range, axes)):
        o, r = rest[: p.ndim], rest[p.ndim :]
        at = [
            source(oi * s + ri * d - lo, h, p.padding_mode)
            for oi, s, ri, d, (lo, _), h in zip(o, p.stride, r, p.dilation, p.padding, p.in_size, strict=True)
        ]
        if None in at:
            continue
        x, w, y = (n, k // filters * depth + c, *at), (k, c, *r), (n, k, *o)
        if p.direction == "forward":
            result[y] += a[x] * b[w]
        elif p.direction == "backward_data":
            result[x] += a[y] * b[w]
        else:
            result[w] += a[x] * b[y]
    return result


@given(problems(dtypes=("int64", "float64", "complex128"), layouts=("channels_first",), max_macs=3000), SEEDS)
def test_against_the_definition(problem, seed):
    problem = problem.replace(has_bias=False, activation=None)
    arrays = operands(problem, seed, small_integers=True)
    expected = naive(problem, *(array.astype(object) for array in arrays[:2]))
    assert np.array_equal(reference.solve(problem, *arrays), expected)


@given(problems(dtypes=("int8", "uint16", "uint64"), layouts=("channels_first",), max_macs=2000), SEEDS)
def test_integers_wrap(problem, seed):
    problem = problem.replace(has_bias=False, activation=None)
    arrays = operands(problem, seed)
    exact = naive(problem, *(array.astype(object) for array in arrays[:2]))
    bits, signed = 8 * problem.dtype.itemsize, problem.dtype.kind == "i"
    wrapped = np.array(
        [(v + signed * 2 ** (bits - 1)) % 2**bits - signed * 2 ** (bits - 1) for v in exact.flat], object
    )
    result = reference.solve(problem, *arrays)
    assert result.dtype == problem.dtype
    assert np.array_equal(result.reshape(-1), wrapped)


@given(problems(dtypes=("float32", "int16")), SEEDS)
def test_layouts_agree(problem, seed):
    first = problem.replace(layout="channels_first")
    last = problem.replace(layout="channels_last")
    arrays = operands(first, seed)
    turned = [np.moveaxis(arrays[0], 1, -1), *arrays[1:]]
    result = reference.solve(first, *arrays)
    if problem.direction == "backward_weights":
        turned[1] = np.moveaxis(arrays[1], 1, -1)
    else:
        result = np.moveaxis(result, 1, -1)
    assert np.allclose(reference.solve(last, *turned), result, rtol=1e-12, atol=1e-12)


@given(problems(directions=("forward", "backward_data"), dtypes=("float64", "int32")), SEEDS)
def test_bias_is_one_value_a_channel_of_the_result(problem, seed):
    problem = problem.replace(has_bias=True, activation=None)
    a, w, bias = operands(problem, seed, small_integers=True)
    plain = reference.solve(problem.replace(has_bias=False), a, w)
    axis = -1 if problem.layout == "channels_last" else 1
    with_bias = reference.solve(problem, a, w, bias)
    for channel, value in enumerate(bias):
        assert np.array_equal(np.take(with_bias, channel, axis), np.take(plain, channel, axis) + value)


ACTIVATIONS = {
    "relu": lambda v: max(v, 0.0),
    "relu6": lambda v: min(max(v, 0.0), 6.0),
    "silu": lambda v: v / (1 + math.exp(-v)),
    "gelu": lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2,
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    values = np.linspace(-9, 9, 37)
    assert np.allclose(reference.activate(values, name), [ACTIVATIONS[name](v) for v in values], rtol=1e-14, atol=0)


def test_padding_is_a_zero_that_multiplies():
    problem = ConvProblem.forward((1, 1, 3), (1, 1, 3), padding=1, dtype=np.float64)
    result = reference.solve(problem, np.ones((1, 1, 3)), np.array([[[np.inf, 1.0, 1.0]]]))
    assert np.array_equal(result, [[[np.nan, np.inf, np.inf]]], equal_nan=True)


def torch_result(p, arrays):
    """The problem solved by torch: the forward call, or what autograd makes of it."""
    import torch
    from torch.nn import functional

    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
    first, second, *rest = (None if a is None else torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
    turn = p.layout == "channels_last"
    first = first.movedim(-1, 1) if turn else first
    conv = getattr(functional, f"conv{p.ndim}d")

    def forward(x, w, bias=None):
        padded = functional.pad(x, [n for pair in reversed(p.padding) for n in pair], modes[p.padding_mode])
        full = conv(padded, w, bias, p.stride, 0, p.dilation, p.groups)
        return full[(..., *(slice(n) for n in p.out_size))]

    if p.direction == "forward":
        result = forward(first, second, *rest)
    elif p.direction == "backward_data":
        shape = (p.batch, p.in_channels, *p.in_size)
        x = torch.zeros(shape, dtype=first.dtype, requires_grad=True)
        # autograd conjugates the weights, the problem does not
        (result,) = torch.autograd.grad(forward(x, second.conj().resolve_conj()), x, first)
        if rest[0] is not None:
            result = result + rest[0].reshape(-1, *[1] * p.ndim)
    else:
        second = second.movedim(-1, 1) if turn else second
        w = torch.zeros(p.w_shape, dtype=first.dtype, requires_grad=True)
        (result,) = torch.autograd.grad(forward(first.conj().resolve_conj(), w), w, second)
        return result.numpy()
    return (result.movedim(1, -1) if turn else result).numpy()


@pytest.mark.peers
@given(problems(dtypes=("float64", "complex128"), max_macs=2**15), SEEDS)
def test_against_torch(problem, seed):
    pytest.importorskip("torch")
    problem = problem.replace(activation=None)
    assume(problem.macs)  # torch refuses what is empty
    arrays = operands(problem, seed)
    assert np.allclose(reference.solve(problem, *arrays), torch_result(problem, arrays), rtol=1e-9, atol=1e-9)


@pytest.mark.peers
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_against_torch(name):
    torch = pytest.importorskip("torch")
    values = np.linspace(-9, 9, 37)
    expected = getattr(torch.nn.functional, name)(torch.from_numpy(values)).numpy()
    assert np.allclose(reference.activate(values, name), expected, rtol=1e-13, atol=1e-15)
