"""Winograd beyond what the conformance kit tries: every tile size, tiles made on request, cuts, memory, accuracy."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convlab
from convlab import ConvProblem, bounds, reference
from convlab.algorithm import Context
from convlab.algorithms.winograd import Winograd
from convlab.kernels import taps as tap_tables
from convlab.kernels.cpu import Extent, tensor
from convlab.kernels.cpu.regions import table, whole
from convlab.kernels.cpu.tensor import storage, zero
from convlab.kernels.cpu.transform import TILES, ToomCook
from convlab.kernels.cpu.winograd import winograd, winograd_serial, winograd_tasks, workspace
from convlab.kernels.cpu.winograd_filters import filter_panels
from convlab.kernels.cpu.winograd_gradient import Block, gradient_workspace, winograd_gradient
from convlab.kernels.transforms import toom_cook
from convlab.testing import PROPERTIES, check

SIZES = [size for size in TILES.sizes if size != (1, 1)]


def convolve(m, x, w, bias=None):
    """x (1, C, H, W) by w, no padding, in tiles of m, by the kernels themselves."""
    size, kernel = x.shape[2:], w.shape[2:]
    taps = tap_tables.forward(size, kernel)
    region = whole((taps.height, taps.width), kernel, m, x.shape[1], len(w))
    accumulator = zero(x.dtype)
    wide = np.dtype(type(accumulator))
    y = np.empty((1, len(w), taps.height, taps.width), x.dtype)
    winograd(
        tensor(x), filter_panels(w.astype(wide), region), storage(np.empty(0, x.dtype) if bias is None else bias),
        taps, Extent(1, 1, x.shape[1], len(w), 1), 0, table([region]), TILES, accumulator,
        np.empty((2, workspace(region, x.shape[1], accumulator)), wide), 2, tensor(y),
    )  # fmt: skip
    return y


def arrays(problem, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(problem.x_shape if problem.direction == "forward" else problem.y_shape)
    return a.astype(problem.dtype), rng.standard_normal(problem.w_shape).astype(problem.dtype)


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_every_tile_size(m, r):
    problem = ConvProblem.forward((1, 17, 11, 37), (33, 17, r, r), has_bias=True)
    x, w = arrays(problem)
    bias = np.linspace(-1, 1, 33, dtype=np.float32)
    expected = reference.solve(problem, x, w, bias)
    np.testing.assert_allclose(convolve(m, x, w, bias), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kernel", [(3, 1), (1, 5), (5, 3)])
def test_rectangular_kernels(kernel):
    problem = ConvProblem.forward((1, 5, 14, 15), (18, 5, *kernel), padding="same")
    PROPERTIES["equivalence"].holds(convlab.get_algorithm("winograd"), problem, 0)


def test_tiles_on_request_are_an_algorithm_like_any_other(registered):
    stub = Winograd(ToomCook(((1, 1), (3, 4))), "stub")
    registered(stub)
    problem = ConvProblem.forward((1, 5, 14, 15), (18, 5, 4, 4))
    PROPERTIES["equivalence"].holds(stub, problem, 0)
    assert "kernels of [4], not (3, 3)" in stub.why_not(ConvProblem.forward((1, 5, 14, 15), (18, 5, 3, 3)))
    registered(Winograd(ToomCook(((1, 1), (3, 3))), "stub"))
    assert not check("stub", properties=["threads", "delta_kernel"], max_examples=10)


@given(st.tuples(*[st.integers(1, 40)] * 2), st.sampled_from([3, 5]), st.integers(1, 3), st.integers(1, 70))
def test_regions_cover_every_output_once(size, r, threads, channels):
    problem = ConvProblem.forward((1, channels, *size), (40, channels, r, r), padding="same")
    covered = np.zeros(size, int)
    cut = convlab.get_algorithm("winograd").dense.cut(problem)
    for region in cut.regions(problem, threads):
        for i in range(region.tiles_h):
            for j in range(region.tiles_w):
                h, w = region.first_h + i * region.m_h, region.first_w + j * region.m_w
                covered[h : h + region.m_h, w : w + region.m_w] += 1
    assert (covered == 1).all()


def test_edges_take_smaller_tiles_where_that_pays():
    cut = convlab.get_algorithm("winograd").dense.cut(ConvProblem.forward((1, 64, 56, 56), (64, 64, 3, 3), padding=1))
    assert len(cut.boxes) > 1
    assert cut.multiplications < 2 * 10 * 10 * 64 * 64 * 64  # those of 10 x 10 tiles of 8 x 8 points


@pytest.mark.parametrize("size", [7, 56, 224, 2048])
@pytest.mark.parametrize("channels", [16, 128, 512])
def test_workspace_stays_under_four_mebibytes_a_thread(size, channels):
    problem = ConvProblem.forward((4, channels, size, size), (channels, channels, 3, 3), padding=1)
    (spec,) = convlab.get_algorithm("winograd").workspace(problem, Context(threads=2)).values()
    assert spec.nbytes() <= 4 * 2**20


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("m", "r"), SIZES)
def test_error_keeps_the_contract_of_normwise_accuracy(m, r, dtype):
    """Random data, and data whose signs add up along the largest rows of the transforms."""
    problem = ConvProblem.forward((1, 64, 24, 24), (16, 64, r, r), dtype=dtype)
    x, w = arrays(problem)
    signs = np.sign(np.array(toom_cook(m, r).bt, np.float64)[m + r - 3])
    line = np.resize(np.where(signs == 0, 1, signs), 24)
    for data in (x, np.ascontiguousarray(np.broadcast_to(line * line[:, None], x.shape), dtype)):
        error = np.abs(convolve(m, data, w) - reference.solve(problem, data, w, None))
        assert (error <= bounds.normwise(problem).bound(problem, (data, w, None))).all()


@numba.njit(parallel=True)
def brightest(frames, panels, bias, taps, extent, region, tiles, scratch, best):
    """The largest response of each filter in each frame, without keeping any response."""
    for t in numba.prange(len(frames)):
        zero = np.float32(0)
        response = np.empty((1, best.shape[1], *frames.shape[2:]), frames.dtype)
        tasks = winograd_tasks(extent, region)
        winograd_serial(
            0, tasks, tensor(frames[t : t + 1]), panels, bias, taps, extent, 0, region, tiles, zero, scratch[t],
            tensor(response),
        )  # fmt: skip
        for k in range(best.shape[1]):
            best[t, k] = response[0, k].max()


@pytest.mark.parametrize("m", [2, 4, 6])
def test_kernel_in_a_users_own_parallel_function(m):
    problem = ConvProblem.forward((5, 4, 13, 14), (6, 4, 3, 3), padding=1, has_bias=True)
    x, w = arrays(problem)
    bias = np.linspace(-1, 1, 6, dtype=np.float32)
    region = whole((13, 14), (3, 3), m, 4, 6)
    scratch = np.empty((5, workspace(region, 4, np.float32(0))), np.float32)
    best = np.empty((5, 6), np.float32)
    taps, extent = tap_tables.forward((13, 14), (3, 3), padding=1), Extent(1, 1, 4, 6, 1)
    brightest(x, filter_panels(w, region), bias, taps, extent, region, TILES, scratch, best)
    np.testing.assert_allclose(best, reference.solve(problem, x, w, bias).max((2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_gradient_of_every_tile_size(m, r):
    """Blocks smaller than the channels, tiles in several goes, an edge that no tile fills."""
    problem = ConvProblem.forward((2, 37, 11, 23), (35, 37, r, r)).replace(direction="backward_weights")
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal(shape, np.float32) for shape in (problem.x_shape, problem.y_shape))
    accumulator = np.float32(0)
    region = whole(problem.out_size, (r, r), m, 37, 35)
    block = Block(32, 32, 5)
    w = np.empty(problem.w_shape, np.float32)
    winograd_gradient(
        tensor(x), tensor(g), tap_tables.forward((11, 23), (r, r)), Extent(2, 1, 37, 35, 1), table([region]), block,
        TILES, accumulator, np.empty((2, gradient_workspace(region, block, accumulator)), np.float32), 2, tensor(w),
    )  # fmt: skip
    np.testing.assert_allclose(w, reference.solve(problem, x, g), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("size", [7, 56, 224])
@pytest.mark.parametrize("channels", [3, 64, 512])
def test_workspace_of_the_gradient_stays_under_four_mebibytes_a_thread(size, channels):
    problem = ConvProblem.forward((4, channels, size, size), (channels, channels, 3, 3), padding=1)
    problem = problem.replace(direction="backward_weights")
    (spec,) = convlab.get_algorithm("winograd-gradient").workspace(problem, Context(threads=2)).values()
    assert spec.nbytes() <= 4 * 2**20
