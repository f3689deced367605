"""What accuracy promises: "componentwise" never takes a transform, and what is not finite stays where it belongs."""

import numpy as np
import pytest
from data import normal

import convlab
from convlab import ConvProblem, select

CASES = {
    "signal": ((1, 1, 20000), (1, 1, 999), 1),
    "image": ((1, 1, 400, 400), (1, 1, 63, 63), 1),
    "volume": ((1, 1, 40, 40, 40), (1, 1, 13, 13, 13), 1),
    "layer of 3x3": ((1, 64, 56, 56), (64, 64, 3, 3), 1),
    "layer of 5x5": ((1, 32, 28, 28), (64, 32, 5, 5), 1),
    "layer of 11x11": ((1, 32, 40, 40), (32, 32, 11, 11), 1),
    "depthwise of 31x31": ((1, 16, 64, 64), (16, 1, 31, 31), 16),
}


def problems():
    for x, w, groups in CASES.values():
        padding = [n // 2 for n in w[2:]]
        for direction in ("forward", "backward_data", "backward_weights"):
            for dtype in ("float32", "float64", "complex64"):
                yield ConvProblem.forward(x, w, padding=padding, groups=groups, dtype=dtype, direction=direction)


def test_componentwise_takes_no_transform():
    refused, taken = set(), set()
    for problem in problems():
        for candidate in select.rank(problem, accuracy="componentwise"):
            if candidate.reason is None:
                assert candidate.error_model is None or candidate.error_model.kind == "componentwise", candidate.name
            elif "bounded normwise only" in candidate.reason:
                refused.add(candidate.name)
        assert select.pick(select.rank(problem, accuracy="componentwise"), problem).name not in refused
        taken.add(select.pick(select.rank(problem), problem).name)
    transforms = {"fft", "fft-tiled", "fft-tiled-gradient", "winograd", "winograd-gradient"}
    assert transforms <= refused
    assert {"fft", "winograd"} <= taken  # these are problems for them


@pytest.mark.parametrize("name", CASES)
def test_componentwise_keeps_a_nan_to_what_touches_it(name):
    x_shape, w_shape, groups = CASES[name]
    x_shape = (*x_shape[:2], *(min(n, 200) for n in x_shape[2:])) if len(x_shape) > 3 else x_shape
    x, w = normal(*x_shape), normal(*w_shape, seed=1)
    middle = tuple(n // 2 for n in x_shape[2:])
    x[(0, 0, *middle)] = np.nan
    padding = [n // 2 for n in w_shape[2:]]
    result = convlab.plan(x_shape, w, padding=padding, groups=groups, accuracy="componentwise")(x)
    touched = np.zeros(result.shape, bool)
    box = tuple(slice(m - n // 2, m + n // 2 + 1) for m, n in zip(middle, w_shape[2:], strict=True))
    touched[(0, slice(w_shape[0] // groups), *box)] = True
    assert np.array_equal(np.isnan(result), touched)


@pytest.mark.parametrize("algorithm", ["winograd", "fft-tiled", "fft"])
def test_a_transform_spreads_a_nan_over_its_tile_and_not_beyond(algorithm):
    x, w = normal(1, 4, 300, 300), normal(4, 4, 5, 5, seed=1)
    plan = convlab.plan(x.shape, w, padding=2, algorithm=algorithm, threads=1)
    clean = plan(x)
    x[0, 0, 0, 0] = np.inf
    harmed = ~np.isfinite(plan(x))
    assert harmed[:, :, :3, :3].all()  # what touches it
    assert harmed.sum() > 4 * 9  # and more
    if algorithm != "fft":  # whose block may be the image
        rows, columns = (np.flatnonzero(harmed.any(axis).any(0).any(0)) for axis in (3, 2))
        assert max(rows.max(), columns.max()) < 32
        assert np.array_equal(plan(x)[~harmed], clean[~harmed])
