"""Implicit GEMM on the emulator against the oracle, its machine code and its use of memory."""

import functools

import numpy as np
import pytest
from convolutions import GEOMETRIES, MODES, arguments, assert_solves, convolve, numbers, of, problem

from convlab.kernels.cuda.gemm import DEPTH, LARGE, SMALL
from convlab.kernels.cuda.im2col import im2col, kernel, tile_for
from convlab.machinecode import GPUS, compiled, modelled
from convlab.testing import operands

TILES = pytest.mark.parametrize("tile", [LARGE, SMALL], ids=["large", "small"])


def check(device, problem, tile=SMALL, seed=1):
    arrays, launcher = operands(problem, seed), functools.partial(im2col, tile=tile)
    assert_solves(problem, convolve(device, launcher, tile.height, DEPTH, problem, arrays), arrays)


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, direction):
    check(device, of(kind, direction=direction, has_bias=True, activation="relu"))


@pytest.mark.parametrize("kind", ["2-D", "3-D", "grouped"])
def test_channels_last(device, kind):
    check(device, of(kind, layout="channels_last"))


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(device, mode):
    check(device, of("strided", padding_mode=mode))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", ["2-D", "strided"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(device, dtype, kind, direction):
    check(device, of(kind, direction=direction, dtype=dtype, has_bias=True))


@TILES
@pytest.mark.parametrize("channels", [1, 7, 8, 9, 15, 16, 17, 32, 40])
def test_channels(device, tile, channels):
    """A part of a slice, whole ones, one more; an odd and an even number of them: two taps and three."""
    check(device, problem((2, channels, 5, 9), (5, channels, 2, 3), padding=1), tile)


@TILES
@pytest.mark.parametrize("filters", [63, 65, 129])
def test_filters_and_outputs_beyond_a_tile(device, tile, filters):
    check(device, problem((3, 16, 7, 9), (filters, 16, 3, 3), padding=1), tile)


@pytest.mark.parametrize("x", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_sum_is_the_bias(device, x):
    check(device, problem(x, (4, x[1], 3, 3), has_bias=True))


def test_padding_multiplies_and_what_fills_up_does_not(device):
    """An infinite weight makes NaN of a padding zero; infinite inputs make no NaN of channels that are none."""
    wanted = problem((1, 5, 4, 6), (3, 5, 3, 3), padding=1)
    x, w, _ = operands(wanted, 3)
    w[2, 1, 0, 0], w[:2], x[0, 0] = np.inf, np.abs(w[:2]), np.inf  # channels that are none read the first
    result = convolve(device, im2col, SMALL.height, DEPTH, wanted, (x, w, None))
    assert np.isnan(result[:, 2, 0]).all()
    assert not np.isnan(result[:, :2]).any()


def test_tiles_are_large_where_they_are_filled():
    assert tile_for(32 * 56 * 56, 256, 4) == LARGE
    assert tile_for(32 * 56 * 56, 64, 4) == tile_for(56 * 56, 128, 4) == tile_for(32 * 56 * 56, 256, 8) == SMALL


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("tile", "even", "share", "warps"),
    [(LARGE, True, 0.84, 16), (LARGE, False, 0.78, 8), (SMALL, True, 0.75, 16), (SMALL, False, 0.65, 12)],
    ids=["large", "large uneven", "small", "small uneven"],
)
def test_machine_code(dtype, tile, even, share, warps, capability):
    storage, total = numbers(dtype)
    code = compiled(kernel(storage, total, tile, 0, True, even), arguments(storage, total), capability, tile.threads)
    assert code.misses(ffma=share, warps=warps) == []


@pytest.mark.parametrize("even", [True, False])
def test_machine_code_of_float64(even):
    storage, total = numbers("float64")
    code = compiled(kernel(storage, total, SMALL, 0, True, even), arguments(storage, total), (8, 0), SMALL.threads)
    assert code.misses(double=True, warps=8 if even else 4) == []


def loop_traffic(counters, space, opcodes):
    """(transactions, ideal) of the instructions with such opcodes in a space, over a launch."""
    rows = [i for i, instruction in enumerate(counters.code) if any(o in instruction.opcode for o in opcodes)]
    return counters.accesses[space][rows, 1].sum(), counters.accesses[space][rows, 2].sum()


@TILES
def test_memory_is_used_as_well_as_can_be(device, tile):
    """Outputs of a warp lie together; 1x1, because a shifted row meets a sector more. All of shared memory, and what is
    read of global memory: stores are by the element, four to a thread."""
    check(device, problem((1, 32, 16, 32), (tile.height, 32, 1, 1)), tile)
    counters = device.launches[-1]
    assert counters.shared.excess <= 1.1
    transactions, ideal = loop_traffic(counters, "global", ["ld."])
    assert transactions <= 1.1 * ideal


@pytest.mark.parametrize("name", ["A100", "H100"])
@pytest.mark.parametrize(("channels", "size"), [(128, 112), (256, 56), (512, 28)])
def test_modelled_share_of_the_peak(device, name, channels, size):
    """A VGG layer at batch 32: wavefronts as the emulator counts them in one block, scaled to all."""
    gpu, images = GPUS[name], 32
    check(device, problem((1, 16, 8, 16), (LARGE.height, 16, 1, 1)), LARGE)
    outputs, depth = images * size**2, 9 * channels
    blocks = -(-outputs // LARGE.width) * (channels // LARGE.height)
    wavefronts = device.launches[-1].shared.transactions * blocks * depth / 16
    storage, total = numbers("float32")
    types = arguments(storage, total)
    code = compiled(kernel(storage, total, LARGE, 0, True, True), types, gpu.capability, LARGE.threads)
    moved = 4 * (2 * outputs * channels + 9 * channels**2)
    assert modelled(gpu, code.hot, 2 * outputs * channels * depth, wavefronts, moved, blocks).peak_fraction > 0.75
