"""Depthwise convolution on the emulator against the oracle, its machine code and its use of memory."""

import pytest
from convolutions import assert_solves, problem

from convlab import registry
from convlab.algorithm import Context
from convlab.testing import operands

GEOMETRIES = {
    "1-D": {"x": (9, 3, 29), "w": (3, 1, 4), "padding": 1},
    "causal": {"x": (2, 5, 40), "w": (5, 1, 4), "padding": ((3, 0),)},
    "2-D": {"x": (2, 5, 9, 7), "w": (5, 1, 3, 3), "padding": 1},
    "wide": {"x": (1, 2, 8, 67), "w": (2, 1, 3, 3), "padding": 1},
    "3-D": {"x": (1, 2, 4, 5, 6), "w": (2, 1, 2, 3, 2), "stride": (1, 2, 1), "padding": (1, 0, 1)},
    "halved": {"x": (2, 3, 11, 13), "w": (3, 1, 3, 3), "stride": 2, "padding": 1},
    "halved 5x5": {"x": (1, 3, 15, 20), "w": (3, 1, 5, 5), "stride": 2, "padding": 2},
    "strided": {"x": (1, 3, 17, 40), "w": (3, 1, 3, 2), "stride": (3, 4), "padding": (2, 1)},
    "sparse": {"x": (1, 2, 7, 9), "w": (2, 1, 1, 2), "stride": (3, 4)},
    "dilated": {"x": (1, 4, 12, 9), "w": (4, 1, 3, 3), "dilation": (3, 2), "padding": 2},
    "far apart": {"x": (1, 2, 6, 50), "w": (2, 1, 2, 3), "dilation": (1, 20), "padding": 4},
    "strided and dilated": {"x": (1, 2, 13, 15), "w": (2, 1, 3, 3), "stride": 2, "dilation": 2, "padding": 2},
    "large": {"x": (1, 2, 12, 40), "w": (2, 1, 9, 11), "padding": (4, 5)},
    "7x7": {"x": (1, 2, 10, 30), "w": (2, 1, 7, 7), "padding": 3},
    "multiplied": {"x": (2, 3, 6, 6), "w": (6, 1, 3, 3), "stride": 2},
    "uneven padding": {"x": (1, 3, 8, 8), "w": (3, 1, 4, 4), "padding": "same"},
}


def of(kind, **options):
    """channels_last with more channels, which then are what lanes are."""
    given = dict(GEOMETRIES[kind])
    (images, channels, *size), w = given.pop("x"), given.pop("w")
    x = (images, channels, *size)
    if options.get("layout") == "channels_last":
        multiplier, channels = w[0] // channels, 9
        x, w = (images, *size, channels), (multiplier * channels, *w[1:])
    return problem(x, w, groups=channels, **given, **options)


def solve(device, problem, operands, out=None):
    algorithm, ctx = registry.get_algorithm("depthwise", "cuda"), Context(device=device)
    assert algorithm.why_not(problem) is None
    x, w, bias = (None if a is None else device.array(a) for a in operands)
    y = device.empty(problem.result_shape, problem.dtype) if out is None else out
    algorithm.run(problem, (x, bias), algorithm.prepare(problem, w, ctx), {}, y, ctx)
    return y.copy_to_host()


def check(device, problem, seed=1):
    given = operands(problem, seed)
    assert_solves(problem, solve(device, problem, given), given)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, direction, layout):
    check(device, of(kind, direction=direction, layout=layout, has_bias=True, activation="relu"))
