"""Depthwise kernels where the conformance kit's small problems do not go: many strips, and a user's own function."""

import numba
import numpy as np
import pytest

from convlab import ConvProblem, plan, reference
from convlab.algorithms import depthwise as algorithm
from convlab.kernels import taps
from convlab.kernels.cpu import Extent, tensor
from convlab.kernels.cpu.depthwise import depthwise_serial, depthwise_tasks, strip_shape
from convlab.testing.strategies import operands

# More rows and columns than a strip holds, odd ones beside; 7 rows and fewer; kernels of every path.
SIZES = [
    "g18ic18ih45iw61oc18kh3ph1kw3pw1",
    "g18ic18ih61iw45oc18kh3sh2ph1kw3sw2pw1",
    "g17ic17ih30iw9oc17kh5ph2kw5pw2",
    "g17ic17ih31iw33oc17kh5sh2ph2kw5sw2pw2",
    "g3ic3ih3iw3000oc3kh3ph1kw3pw1",
    "g40ic40ih7oc40kh3ph1",
    "g40ic40ih14oc40kh3sh2ph1",
    "g9ic9ih120iw5oc9kh3ph1kw3pw1",
    "g9ic9ih60iw7oc9kh5ph2kw5pw2",
    "g2ic2ih40oc2oh40kh31ph15",
    "g20ic20ih30oc20oh30kh3ph3dh2",
    "g16ic16ih23oc16oh8kh3sh3ph1",
    "g4ic8ih40iw50oc16kh3ph1kw3pw1",
    "g2ic2iw5000oc2ow5000kw31pw15",
    "g17ic17id9ih20iw20oc17kd3pd1kh3ph1kw3pw1",
]


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("descriptor", SIZES)
def test_images_of_many_strips(descriptor, layout, direction):
    problem = ConvProblem.from_descriptor(
        descriptor, layout=layout, direction=direction, has_bias=True, activation="relu"
    )
    arrays = operands(problem, 0, small_integers=True)
    result = plan(problem, *arrays[1:], algorithm="depthwise", threads=2)(arrays[0])
    assert np.array_equal(result, reference.solve(problem, *arrays))


def test_every_strip_fits():
    for width in (*range(1, 70), 112, 224, 1000, 10**5):
        for step, lines, points, lanes in ((1, 3, 3, 16), (2, 5, 5, 16), (1, 31, 31, 8), (2, 3, 3, 1), (3, 2, 4, 1)):
            item = 4 if lanes > 1 else 64
            rows, columns, phase, pitch = strip_shape.py_func(224, width, step, step, lines, points, 1, lanes, item)
            assert rows > 0
            assert 0 < columns <= width
            assert (columns - 1) + (points - 1) // step < phase
            assert step * phase <= pitch
            assert ((rows - 1) * step + lines) * pitch * item <= 16 * 1024
            assert rows * -(-columns // lanes) * lanes * item <= 12 * 1024


def test_a_kernel_too_large_is_refused_in_words():
    problem = ConvProblem.forward((1, 2, 200, 200), (2, 1, 120, 120), groups=2)
    assert "do not fit in L1" in algorithm.Depthwise().why_not(problem)


@numba.njit(parallel=True)
def blur(frames, weights, bias, tables, result):
    extent, zero = Extent(1, frames.shape[1], 1, 1, 1), np.float32(0)
    for n in numba.prange(len(frames)):
        x, y = tensor(frames[n : n + 1]), tensor(result[n : n + 1])
        depthwise_serial(0, depthwise_tasks(extent, tables, zero), x, weights, bias, tables, extent, 0, zero, y)


def test_a_users_own_parallel_function():
    rng = np.random.default_rng(0)
    frames = rng.integers(-3, 4, (5, 3, 20, 30)).astype(np.float32)
    weights = rng.integers(-3, 4, (3, 1, 3, 3)).astype(np.float32)
    result = np.empty_like(frames)
    blur(frames, weights.reshape(-1), np.empty(0, np.float32), taps.forward((20, 30), (3, 3), padding=1), result)
    problem = ConvProblem.forward(frames.shape, weights.shape, padding=1, groups=3)
    assert np.array_equal(result, reference.solve(problem, frames, weights, None))


@pytest.mark.parametrize("shape", [(40, 1, 2), (40, 3, 3), (9, 57, 2), (7, 113, 5), (6, 7, 7)])
@pytest.mark.parametrize("threads", [1, 2])
def test_vectors_wider_than_a_row_stay_inside_the_result(shape, threads):
    problem = ConvProblem.forward((2, *shape), (shape[0], 1, 3, 3), padding=1, groups=shape[0])
    arrays = operands(problem, 0, small_integers=True)
    around = np.full(np.prod(problem.y_shape) + 64, np.float32(7))
    out = around[32:-32].reshape(problem.y_shape)
    plan(problem, *arrays[1:], algorithm="depthwise", threads=threads)(arrays[0], out=out)
    assert np.array_equal(out, reference.solve(problem, *arrays))
    assert (around[:32] == 7).all()
    assert (around[-32:] == 7).all()
