"""benchdnn descriptors: read, written, and read again."""

import pytest
from hypothesis import assume, given

from convlab import ConvProblem, ProblemError, geometry
from convlab.testing import problems

# Lines of benchdnn's own problem files, as oneDNN ships them, with what they describe:
# (batch, in-channels, out-channels, in_size, out_size, kernel, stride, padding, groups)
REAL = {
    'mb256_ic3ih227oc96oh55kh11sh4ph0n"alexnet:conv1"':
        (256, 3, 96, (227, 227), (55, 55), (11, 11), (4, 4), ((0, 0), (0, 0)), 1),
    'g2mb256_ic96ih27oc256oh27kh5ph2n"alexnet:conv2"':
        (256, 96, 256, (27, 27), (27, 27), (5, 5), (1, 1), ((2, 2), (2, 2)), 2),
    'mb256_ic256ih13oc384oh13kh3ph1n"alexnet:conv3"':
        (256, 256, 384, (13, 13), (13, 13), (3, 3), (1, 1), ((1, 1), (1, 1)), 1),
    'mb64ic3ih224oc64oh224kh3ph1n"vgg_19:conv1_1"':
        (64, 3, 64, (224, 224), (224, 224), (3, 3), (1, 1), ((1, 1), (1, 1)), 1),
    'mb64ic512ih14oc512oh14kh3ph1n"vgg_19:conv5_1*4"':
        (64, 512, 512, (14, 14), (14, 14), (3, 3), (1, 1), ((1, 1), (1, 1)), 1),
    'mb50ic3ih224oc64oh112kh7sh2ph3n"resnet_50:conv1"':
        (50, 3, 64, (224, 224), (112, 112), (7, 7), (2, 2), ((3, 3), (3, 3)), 1),
    'mb50ic256ih56oc512oh28kh1sh2ph0n"resnet_50:res3a_branch1"':
        (50, 256, 512, (56, 56), (28, 28), (1, 1), (2, 2), ((0, 0), (0, 0)), 1),
    "ic64ih56oc64oh56kh3ph1":
        (1, 64, 64, (56, 56), (56, 56), (3, 3), (1, 1), ((1, 1), (1, 1)), 1),
    "mb2_ic8iw20oc4ow18kw3pw0":
        (2, 8, 4, (20,), (18,), (3,), (1,), ((0, 0),), 1),
    "mb2ic16id8ih9iw10oc16od8oh9ow10kd3kh3kw3pd1ph1pw1":
        (2, 16, 16, (8, 9, 10), (8, 9, 10), (3, 3, 3), (1, 1, 1), ((1, 1),) * 3, 1),
    "mb1ic16id8oc16od6kd3pd0":
        (1, 16, 16, (8, 8, 8), (6, 6, 6), (3, 3, 3), (1, 1, 1), ((0, 0),) * 3, 1),
    "mb1ic4ih10iw12oc4oh10ow12kh3kw5ph1pw2":
        (1, 4, 4, (10, 12), (10, 12), (3, 5), (1, 1), ((1, 1), (2, 2)), 1),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REAL.items(), ids=list(REAL))
def test_real_descriptors(text, expected):
    p = ConvProblem.from_descriptor(text)
    assert (
        p.batch, p.in_channels, p.out_channels, p.in_size, p.out_size, p.kernel, p.stride, p.padding, p.groups
    ) == expected  # fmt: skip


def test_dilation_counts_the_extra():
    assert ConvProblem.from_descriptor("ic4ih8oc4kh3dh0").dilation == (1, 1)
    assert ConvProblem.from_descriptor("ic4ih8oc4kh3dh1").dilation == (2, 2)


def test_output_size_is_optional():
    assert ConvProblem.from_descriptor("ic4ih8oc4kh3").out_size == (6, 6)
    assert ConvProblem.from_descriptor("ic4ih8oc4kh3ph1sh2").out_size == (4, 4)


def test_padding_at_the_end_follows_from_the_output():
    assert ConvProblem.from_descriptor("ic4ih8oc4oh8kh4ph1").padding == ((1, 2), (1, 2))


def test_options_are_the_problem_s():
    p = ConvProblem.from_descriptor("ic4ih8oc4kh3", layout="channels_last", direction="backward_data", has_bias=True)
    assert (p.layout, p.direction, p.has_bias) == ("channels_last", "backward_data", True)


def forward_size(problem):
    p = problem
    return geometry.output_size(p.in_size, p.kernel, p.stride, p.padding, p.dilation)


@given(problems())
def test_round_trip(problem):
    """What is written is read again: all but a padding at the end that no output sees."""
    # An output_padding beyond the stride (where the dilation allows it) leaves input that no descriptor can.
    assume(forward_size(problem) == problem.out_size)
    again = ConvProblem.from_descriptor(
        problem.descriptor, dtype=problem.dtype, layout=problem.layout, direction=problem.direction,
        has_bias=problem.has_bias, activation=problem.activation,
    )  # fmt: skip
    lows = [lo for lo, _ in problem.padding]
    assert [lo for lo, _ in again.padding] == lows
    assert again == problem.replace(padding=again.padding, padding_mode="zeros")
    assert again.descriptor == problem.descriptor


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks ic and oc"),
        ("ic4ih8", "lacks oc"),
        ("ic4oc4", "lacks a spatial size"),
        ("ic4ih8oc4kh3zz5", "is not understood from 'zz5' on"),
        ("ic4ic4ih8oc4", "gives ic twice"),
        ("ic4ih8oc4kh9", "no padding at the end of axis h gives an output of 0"),
        ("ic4ih8oc4oh3kh3ph1", "no padding at the end of axis h gives an output of 3"),
        ("ic4ih8oc4kh0", "ih, kh and sh must be at least 1"),
        ("ic4ih8oc4kh3sh0", "ih, kh and sh must be at least 1"),
        ("g3ic4ih8oc4kh3", "groups=3 does not divide the 4 in-channels"),
        ("g0ic4ih8oc4kh3", "groups must be at least 1"),
        ("ic4ih-8oc4", "is not understood"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ProblemError, match=message):
        ConvProblem.from_descriptor(text)
