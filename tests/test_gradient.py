"""The gradient of the weights where the property suite does not reach: blocks of taps and of pairs, boxes of several
images, windows that are not stretches, and the kernel inside a user's own function."""

import numba
import numpy as np
import pytest

from convlab import ConvProblem, reference, registry
from convlab.kernels import taps
from convlab.kernels.cpu import Extent, tensor
from convlab.kernels.cpu.gradient import direct_gradient_serial, direct_gradient_tasks
from convlab.testing.judge import assert_within, compute, tolerance
from convlab.testing.strategies import operands

PROBLEMS = {
    "taps in two blocks": "ic1iw300oc2ow100kw201",
    "kernel in blocks of lines": "ic2ih20oc3oh4kh17",
    "far apart taps": "ic3ih40oc5oh8kh3dh15",
    "wide stride": "ic3ih40oc20oh8kh2sh5",
    "strided 1x1": "ic17ih13oc40oh7kh1sh2",
    "lines copied as one": "mb3ic20ih9oc33oh9kh1",
    "images in one box": "mb5ic33ih5oc18oh5kh3ph1",
    "more filters than a block": "ic3ih6oc600oh6kh3ph1",
    "more pairs than a block": "ic130ih6oc8oh6kh3ph1",
    "depthwise": "mb2g20ic20ih17oc20oh17kh3ph1",
    "depthwise, two filters, strided": "g9ic9ih21oc18oh11kh3sh2ph1",
    "image": "ic1ih40iw300oc1oh40ow300kh7ph3",
    "long signal and kernel": "ic1iw900oc1ow800kw101",
    "row in two boxes": "ic2ih3iw500oc3oh3ow500kh3ph1",
}


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", ["direct", "im2col"])
@pytest.mark.parametrize("what", PROBLEMS)
def test_blocks_boxes_and_windows(what, name, layout):
    problem = ConvProblem.from_descriptor(PROBLEMS[what], direction="backward_weights", layout=layout)
    algorithm, arrays = registry.get_algorithm(name, "cpu"), operands(problem, 0)
    expected = reference.solve(problem, *arrays)
    one = compute(algorithm, problem, arrays, threads=1)
    assert_within(one, expected, tolerance(algorithm, problem, arrays))
    assert np.array_equal(one, compute(algorithm, problem, arrays, threads=3))


@numba.njit(parallel=True, nogil=True)
def of_every_task(x, g, tables, extent, zero, w):
    tasks = direct_gradient_tasks(x, tables, extent, zero)
    for share in numba.prange(4):
        direct_gradient_serial(tasks * share // 4, tasks * (share + 1) // 4, x, g, tables, extent, zero, w)


def test_in_a_users_own_parallel_function():
    problem = ConvProblem.from_descriptor("mb2ic6ih9oc40oh9kh3ph1", direction="backward_weights")
    arrays, w = operands(problem, 0), np.empty(problem.w_shape, np.float32)
    x, g = (tensor(array) for array in arrays[:2])
    tables = taps.forward((9, 9), (3, 3), padding=1)
    of_every_task(x, g, tables, Extent(2, 1, 6, 40, 1), np.float32(0), tensor(w))
    direct = registry.get_algorithm("direct", "cpu")
    assert_within(w, reference.solve(problem, *arrays), tolerance(direct, problem, arrays))
