"""The strategies draw every feature and shrink to plain problems; the data are what they say."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

from convlab.geometry import PADDING_MODES
from convlab.problem import ACTIVATIONS, DIRECTIONS, DTYPES, LAYOUTS
from convlab.testing import operands, plain_problems, problems
from convlab.testing.buffers import Guarded, byte_swapped, odd_view, with_odd_strides, with_zero_strides

FEATURES = {
    "stride": lambda p: max(p.stride) > 1,
    "unequal strides": lambda p: len(set(p.stride)) > 1,
    "dilation": lambda p: max(p.dilation) > 1,
    "asymmetric padding": lambda p: any(lo != hi for lo, hi in p.padding),
    "padding beyond the kernel": lambda p: any(lo >= r for (lo, _), r in zip(p.padding, p.kernel, strict=True)),
    "groups": lambda p: 1 < p.groups < p.in_channels,
    "depthwise": lambda p: p.groups == p.in_channels == p.out_channels > 1,
    "odd channels a group": lambda p: p.groups > 1 and p.in_channels // p.groups % 2 and p.in_channels > p.groups,
    "many filters": lambda p: p.out_channels >= 64,
    "many channels": lambda p: p.in_channels >= 17,
    "wide": lambda p: p.in_size[-1] > 32,
    "no images": lambda p: p.batch == 0,
    "three images": lambda p: p.batch == 3,
    "no channels": lambda p: p.in_channels == 0,
    "no filters": lambda p: p.out_channels == 0,
    "bias": lambda p: p.has_bias,
    "input lost to the stride": lambda p: p.direction == "backward_data" and (p.in_size[0] - p.kernel[0]) % p.stride[0],
    **{f"mode {m}": lambda p, m=m: p.padding_mode == m and any(map(sum, p.padding)) for m in PADDING_MODES},
    **{f"activation {name}": lambda p, name=name: p.activation == name for name in ACTIVATIONS},
    **{f"{d} {x}": lambda p, d=d, x=x: (p.direction, p.layout) == (d, x) for d in DIRECTIONS for x in LAYOUTS},
    **{f"dtype {t}": lambda p, t=t: p.dtype == t for t in DTYPES},
}  # fmt: skip


def test_every_feature_is_drawn():
    missing = dict(FEATURES)

    @settings(max_examples=500, deadline=None, database=None, phases=(Phase.generate,))
    @given(problems())
    def draw(problem):
        for name in [name for name, has in missing.items() if has(problem)]:
            del missing[name]

    # Which problems a seed gives changes with every edit (Hypothesis draws constants from the sources), so no one
    # seed will do for ever; a feature that ten thousand problems do not show is not drawn.
    for attempt in range(20):
        seed(attempt)(draw)()
        if not missing:
            break
    assert not missing


@given(
    problems(directions=("forward",), dtypes=("int8", "float16"), layouts=("channels_last",), ndims=(3,), max_macs=500)
)
def test_choices_are_kept(problem):
    assert (problem.direction, problem.layout, problem.ndim) == ("forward", "channels_last", 3)
    assert problem.dtype in (np.int8, np.float16)
    assert problem.macs <= 500


@pytest.mark.parametrize("feature", ["stride", "dilation", "bias", "groups", "mode circular"])
def test_shrinks_to_the_feature_alone(feature):
    quiet = settings(max_examples=500, deadline=None, database=None, derandomize=True,
                     phases=(Phase.generate, Phase.shrink), suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    problem = find(problems(), FEATURES[feature], settings=quiet)
    others = [name for name in FEATURES if FEATURES[name](problem) and " " not in name and name != feature]
    assert others == []
    assert problem.macs <= 64
    assert (problem.direction, problem.dtype, problem.layout, problem.ndim) == (
        "forward",
        np.float32,
        "channels_first",
        1,
    )


def test_plain_problems_are_the_same_every_time():
    assert plain_problems() is plain_problems()
    assert {p.direction for p in plain_problems()} == set(DIRECTIONS)
    assert plain_problems(("forward",), DTYPES[:1], LAYOUTS[:1], (1,))[0].descriptor == "mb1ic16iw8oc16ow8kw1"


@given(problems(), st.integers(0, 2**32 - 1), st.booleans())
def test_operands(problem, seed, small):
    arrays, again = (operands(problem, seed, small_integers=small) for _ in range(2))
    shapes = {
        "forward": (problem.x_shape, problem.w_shape, problem.bias_shape),
        "backward_data": (problem.y_shape, problem.w_shape, problem.bias_shape),
        "backward_weights": (problem.x_shape, problem.y_shape),
    }[problem.direction]
    for array, same, shape in zip(arrays, again, shapes, strict=True):
        if array is None:
            assert not problem.has_bias
            continue
        assert (array.shape, array.dtype) == (shape, problem.dtype)
        assert np.array_equal(array, same)
        if small and array.size:
            assert np.array_equal(array, np.round(array.real) + 1j * np.round(array.imag))
            assert np.abs(array.real).max() <= 3


def test_integers_cover_their_range():
    (problem,) = plain_problems(("forward",), (np.dtype("int8"),), LAYOUTS[:1], (3,))[:1]
    x = operands(problem, 0)[0]
    assert (x.min(), x.max()) == (-128, 127)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3,), (2, 0, 3), (2, 3, 4)])
def test_awkward_memory(dtype, shape):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for change in (with_odd_strides, with_zero_strides, byte_swapped):
        assert np.array_equal(change(values), values)
    guarded = Guarded(shape, dtype, offset=1)
    assert guarded.array.flags.aligned
    guarded.array[...] = values
    assert guarded.intact
    base, view = odd_view(shape, dtype)
    assert view.shape == shape
    assert np.shares_memory(base, view) or not view.size
    assert not values.size or view.strides[-1] < 0


@pytest.mark.parametrize("position", [-1, 12])
def test_guard_tells_of_a_write_outside(position):
    guarded = Guarded((12,), np.dtype(np.uint8))
    inside = guarded.array.ctypes.data - guarded._raw.ctypes.data
    guarded._raw[inside + position] += 1
    assert not guarded.intact
