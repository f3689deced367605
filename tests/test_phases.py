"""Strided convolutions as convolutions of their phases."""

import numpy as np
import pytest

import convlab
from convlab import ConvProblem, reference
from convlab.algorithms import phases
from convlab.algorithms.fft_measured import FftMeasured
from convlab.algorithms.phased import Phased
from convlab.testing.properties import PROPERTIES

BY_PHASES = ["winograd", "winograd-gradient", "fft", "fft-tiled", "fft-tiled-gradient"]
SHAPES = [
    ((2, 3, 17, 15), (4, 3, 5, 5), {"stride": 2, "padding": 2}),
    ((1, 3, 23, 23), (5, 3, 9, 9), {"stride": 3, "padding": ((1, 0), (2, 3))}),
    ((2, 4, 20, 12), (6, 2, 9, 3), {"stride": (3, 1), "groups": 2}),
    ((1, 3, 41), (2, 3, 10), {"stride": 4, "padding": 3}),
    ((1, 2, 3, 14, 15), (3, 2, 1, 6, 6), {"stride": (1, 2, 2), "padding": (0, 1, 1)}),
]


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
@pytest.mark.parametrize("name", BY_PHASES)
def test_results_are_within_the_bound(name, direction, layout):
    algorithm, judged = convlab.get_algorithm(name), 0
    for x_shape, w_shape, options in SHAPES:
        problem = ConvProblem.forward(x_shape, w_shape, direction=direction, **options).replace(layout=layout)
        if algorithm.why_not(problem) is None:
            judged += 1
            for check in ("equivalence", "guard_bands", "threads"):
                PROPERTIES[check].holds(algorithm, problem, judged)
    assert judged or (direction == "backward_weights") != name.endswith("-gradient")


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("size", [16, 17, 18])
def test_elements_that_no_output_read_get_their_gradient_too(size, kernel):
    problem = ConvProblem.forward((1, 2, size), (3, 2, kernel), stride=3, direction="backward_data", has_bias=True)
    PROPERTIES["equivalence"].holds(convlab.get_algorithm("fft"), problem, 0)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_is_among_the_phases(mode):
    problem = ConvProblem.forward((1, 2, 13, 14), (3, 2, 5, 5), stride=2, padding=2, padding_mode=mode)
    for name in ("winograd", "fft-tiled", "fft"):
        PROPERTIES["equivalence"].holds(convlab.get_algorithm(name), problem, 0)


def test_what_no_output_reads_does_not_count():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 2, 18, 18), np.float32), rng.standard_normal((3, 2, 5, 5), np.float32)
    x[..., 17] = x[..., 17, :] = np.nan
    assert np.isfinite(convlab.conv2d(x, w, stride=4, algorithm="fft-tiled")).all()


def test_behind_the_image_are_zeros():
    problem = ConvProblem.forward((1, 1, 9), (1, 1, 3), stride=2)
    matrix = np.full(phases.shape(problem), np.nan, np.float32)
    phases.split_images(problem, np.arange(1, 10, dtype=np.float32).reshape(1, 1, 9), matrix, 1)
    assert matrix[:, 0].tolist() == [[1, 3, 5, 7, 9], [2, 4, 6, 8, 0]]


def test_the_weights_of_the_phases_are_theirs_and_zeros():
    problem = ConvProblem.forward((1, 2, 20, 20), (3, 2, 5, 7), stride=(2, 3))
    weight = np.arange(1.0, 3 * 2 * 5 * 7 + 1, dtype=np.float32).reshape(problem.w_shape)
    split = phases.split_weights(problem, weight)
    assert split.shape == (3, 2 * 6, 3, 3)
    assert split[0, 1 * 3 + 2, 1, 0] == weight[0, 0, 1 * 2 + 1, 0 * 3 + 2]
    assert sorted(split[split != 0]) == sorted(weight.ravel())
    assert (phases.join_weights(problem, split) == weight).all()


def test_the_dense_convolution_has_as_many_products_and_the_zeros():
    problem = ConvProblem.forward((1, 8, 64, 64), (8, 8, 6, 6), stride=2, padding=2)
    assert phases.dense(problem).macs == problem.macs
    assert phases.dense(problem.replace(kernel=(5, 5))).macs == problem.macs


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "chosen"),
    [
        ((1, 3, 227, 227), (96, 3, 11, 11), 4, "winograd"),  # AlexNet's first layer
        ((1, 32, 112, 112), (64, 32, 5, 5), 2, "winograd"),
        ((1, 64, 112, 112), (64, 64, 11, 11), 2, "fft-tiled"),
        ((1, 128, 56, 56), (128, 128, 3, 3), 2, "direct"),
    ],
)
def test_they_are_chosen_where_they_are_faster(shape, kernel, stride, chosen):
    rng = np.random.default_rng(0)
    plan = convlab.plan(shape, rng.standard_normal(kernel, np.float32), stride=stride, padding=(kernel[-1] - 1) // 2)
    assert plan.algorithm == chosen


def test_an_algorithm_for_stride_one_is_one_for_every_stride(registered):
    registered(Phased(FftMeasured()))
    x, w = np.ones((1, 1, 40), np.float32), np.ones((1, 1, 7), np.float32)
    y = convlab.conv1d(x, w, stride=3, algorithm="fft-measured")
    problem = ConvProblem.forward(x.shape, w.shape, stride=3)
    assert np.allclose(y, reference.solve(problem, x, w), atol=1e-5)


def test_refusals_name_the_phases():
    rng = np.random.default_rng(0)
    with pytest.raises(
        convlab.UnsupportedError, match=r"kernels of \[3, 5\], not \(4, 4\) \(the phases of stride \(2, 2\)\)"
    ):
        convlab.conv2d(
            np.ones((1, 1, 20, 20), np.float32), rng.standard_normal((1, 1, 7, 7), np.float32), stride=2,
            algorithm="winograd",
        )  # fmt: skip
    with pytest.raises(convlab.UnsupportedError, match="taps must be neighbours, the dilation is"):
        convlab.conv2d(np.ones((1, 1, 20, 20)), np.ones((1, 1, 5, 5)), stride=2, dilation=2, algorithm="fft")
