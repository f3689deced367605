"""What a caller may write for stride, padding and dilation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlab import ProblemError, geometry


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, (2, 2)), ((2,), (2, 2)), ([1, 3], (1, 3)), (np.int64(2), (2, 2)), (np.array([1, 2]), (1, 2))],
)
def test_per_axis(value, expected):
    assert geometry.per_axis("stride", value, 2, 1) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "stride must be at least 1, not 0"),
        (-1, "stride must be at least 1, not -1"),
        ((1, 0), r"stride\[1\] must be at least 1, not 0"),
        ((1, 2, 3), r"stride must be one integer or 2 of them, not \(1, 2, 3\)"),
        ((), r"stride must be one integer or 2 of them, not \(\)"),
        (1.5, "stride must be an integer, not 1.5"),
        ("same", "stride must be an integer, not 'same'"),
        (None, "stride must be an integer, not None"),
    ],
)
def test_per_axis_refuses(value, message):
    with pytest.raises(ProblemError, match=message):
        geometry.per_axis("stride", value, 2, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ([(1, 2)], ((1, 2), (1, 2))),
        (np.array([0, 1]), ((0, 0), (1, 1))),
        ("valid", ((0, 0), (0, 0))),
    ],
)
def test_padding(value, expected):
    assert geometry.resolve_padding(value, (8, 8), (3, 3), (1, 1), (1, 1)) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "padding must be at least 0, not -1"),
        (((1, -2), (0, 0)), r"padding\[0\]\[1\] must be at least 0, not -2"),
        (((1, 2, 3), (0, 0)), r"padding must hold 2 \(lo, hi\) pairs"),
        ("full", "padding='full' is unknown; valid names are 'valid', 'same', 'same_lower'"),
        (0.5, "padding must be an integer, not 0.5"),
    ],
)
def test_padding_refuses(value, message):
    with pytest.raises(ProblemError, match=message):
        geometry.resolve_padding(value, (8, 8), (3, 3), (1, 1), (1, 1))


@given(size=st.integers(1, 30), kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3))
def test_same_gives_size_over_stride(size, kernel, stride, dilation):
    axis = (size,), (kernel,), (stride,), (dilation,)
    ((lo, hi),) = geometry.resolve_padding("same", *axis)
    assert geometry.resolve_padding("same_lower", *axis) == ((hi, lo),)
    assert 0 <= hi - lo <= 1  # the odd one at the end
    assert geometry.output_size((size,), (kernel,), (stride,), ((lo, hi),), (dilation,)) == (-(-size // stride),)


@given(size=st.integers(1, 20), kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3))
def test_output_size_counts_positions(size, kernel, stride, dilation):
    span = geometry.extent(kernel, dilation)
    starts = [i for i in range(0, size, stride) if i + span <= size]
    if starts:
        assert geometry.output_size((size,), (kernel,), (stride,), ((0, 0),), (dilation,)) == (len(starts),)
    else:
        with pytest.raises(ProblemError, match=f"kernel of {kernel} with dilation {dilation} spans {span} elements"):
            geometry.output_size((size,), (kernel,), (stride,), ((0, 0),), (dilation,))


def test_transposed_size_is_the_inverse():
    size = geometry.transposed_size((5,), (3,), (2,), ((1, 1),), (1,), (1,))
    assert size == (10,)
    assert geometry.output_size(size, (3,), (2,), ((1, 1),), (1,)) == (5,)


def test_transposed_size_refuses():
    with pytest.raises(ProblemError, match="output_padding=2 on spatial axis 0 must be less than the stride 2"):
        geometry.transposed_size((5,), (3,), (2,), ((1, 1),), (1,), (2,))
    with pytest.raises(ProblemError, match=r"padding=\(3, 3\) on spatial axis 0 leaves an output of -5 elements"):
        geometry.transposed_size((1,), (1,), (1,), ((3, 3),), (1,), (0,))


@pytest.mark.parametrize(
    ("mode", "padding", "message"),
    [
        ("reflect", (0, 4), "padding=.* on spatial axis 0 with padding_mode='reflect' must be less than its size 4"),
        ("circular", (5, 0), "padding=.* on spatial axis 0 with padding_mode='circular' must not exceed its size 4"),
        ("mirror", (0, 0), "padding_mode='mirror' is unknown; valid are 'zeros', 'reflect', 'replicate', 'circular'"),
    ],
)
def test_padding_mode_refuses(mode, padding, message):
    with pytest.raises(ProblemError, match=message):
        geometry.check_padding_mode(mode, (padding,), (4,))


def test_padding_modes_take_what_fits():
    geometry.check_padding_mode("reflect", ((3, 3),), (4,))
    geometry.check_padding_mode("circular", ((4, 4),), (4,))
    geometry.check_padding_mode("replicate", ((9, 9),), (1,))
