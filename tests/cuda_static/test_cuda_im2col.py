"""Implicit GEMM on the emulator against the oracle, its machine code and its use of memory."""

import functools

import numpy as np
import pytest
from convolutions import GEOMETRIES, MODES, arguments, assert_solves, convolve, numbers, of, problem

from convlab.kernels.cpu.epilogue import TANH
from convlab.kernels.cuda.block_tiles import tile_for
from convlab.kernels.cuda.gemm import DEPTH, FINE, LARGE, TALL, WIDE
from convlab.kernels.cuda.im2col import PANEL, im2col, kernel
from convlab.machinecode import GPUS, compiled, modelled
from convlab.testing import operands

TILES = pytest.mark.parametrize("tile", [LARGE, TALL, WIDE, FINE], ids=["large", "tall", "wide", "fine"])


def check(device, problem, tile=FINE, seed=1):
    arrays, launcher = operands(problem, seed), functools.partial(im2col, tile=tile)
    assert_solves(problem, convolve(device, launcher, PANEL, DEPTH, problem, arrays), arrays)


@functools.cache
def machine_code(dtype, tile, whole, capability):
    storage, total = numbers(dtype)
    return compiled(kernel(storage, total, tile, 0, True, whole), arguments(storage, total), capability, tile.threads)


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


@pytest.mark.parametrize(
    ("tile", "channels"), [(LARGE, 3), (LARGE, 16), (LARGE, 19), (WIDE, 16), (WIDE, 19), (TALL, 16), (FINE, 16)]
)
def test_channels(device, tile, channels):
    """A part of a slice, whole ones, both: six taps."""
    check(device, problem((2, channels, 5, 9), (5, channels, 2, 3), padding=1), tile)


@TILES
@pytest.mark.parametrize("filters", [126, 130])
def test_filters_and_outputs_beyond_a_tile(device, tile, filters):
    check(device, problem((3, 8, 7, 9), (filters, 8, 1, 3), padding=(0, 1)), tile)


@pytest.mark.parametrize("channels", [1, 7, 8, 9])
def test_few_channels(device, channels):
    check(device, problem((1, channels, 5, 9), (5, channels, 2, 1), padding=1))


def test_panels_of_groups(device):
    """Two groups of three panels each, by tiles of two: the last of a group is not the next group's first."""
    check(device, problem((1, 18, 4, 5), (260, 9, 1, 1), groups=2), LARGE)


def test_all_tiles_make_the_same_bits(device):
    wanted = problem((1, 19, 9, 8), (70, 19, 3, 3), padding=1)
    arrays = operands(wanted, 2)
    results = [
        convolve(device, functools.partial(im2col, tile=tile), PANEL, DEPTH, wanted, arrays)
        for tile in (LARGE, TALL, WIDE, FINE)
    ]
    assert all(np.array_equal(results[0], other) for other in results)


@pytest.mark.parametrize("x", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_sum_is_the_bias(device, x):
    check(device, problem(x, (4, x[1], 3, 3), has_bias=True))


def test_padding_multiplies_and_what_fills_up_does_not(device):
    """An infinite weight makes NaN of a padding zero; infinite inputs make no NaN of channels that are none."""
    wanted = problem((1, 5, 4, 6), (3, 5, 3, 3), padding=1)
    x, w, _ = operands(wanted, 3)
    w[2, 1, 0, 0], w[:2], x[0, 0] = np.inf, np.abs(w[:2]), np.inf  # channels that are none read the first
    result = convolve(device, im2col, PANEL, DEPTH, wanted, (x, w, None))
    assert np.isnan(result[:, 2, 0]).all()
    assert not np.isnan(result[:, :2]).any()


@pytest.mark.parametrize(
    ("capability", "dtype", "tile", "whole", "share", "warps"),
    [
        ((8, 0), "float32", LARGE, True, 0.88, 16),
        ((9, 0), "float32", LARGE, True, 0.88, 16),
        ((8, 0), "float32", LARGE, False, 0.82, 16),
        ((9, 0), "float32", TALL, True, 0.88, 12),
        ((8, 0), "float32", WIDE, True, 0.87, 12),
        ((9, 0), "float32", WIDE, True, 0.87, 12),
        ((9, 0), "float32", WIDE, False, 0.81, 12),
        ((8, 0), "float32", FINE, True, 0.82, 16),
        ((9, 0), "float32", FINE, False, 0.72, 16),
        ((9, 0), "float16", LARGE, False, 0.81, 16),
    ],
)
def test_machine_code(capability, dtype, tile, whole, share, warps):
    """Where slices are not whole, the loop that is looked at goes through taps too, and each begins with a part."""
    assert machine_code(dtype, tile, whole, capability).misses(ffma=share, warps=warps) == []


def test_activations_do_not_spill():
    storage, total = numbers("float32")
    code = compiled(kernel(storage, total, LARGE, TANH, True, True), arguments(storage, total), (8, 0), LARGE.threads)
    assert code.misses(ffma=0.88, warps=16) == []


@pytest.mark.parametrize("whole", [True, False])
def test_machine_code_of_float64(whole):
    assert machine_code("float64", FINE, whole, (8, 0)).misses(double=True, warps=12) == []


def loop_traffic(counters, space, opcodes):
    """(transactions, ideal) of the instructions with such opcodes in a space, over a launch."""
    rows = [i for i, instruction in enumerate(counters.code) if any(o in instruction.opcode for o in opcodes)]
    return counters.accesses[space][rows, 1].sum(), counters.accesses[space][rows, 2].sum()


@TILES
def test_memory_is_used_as_well_as_can_be(device, tile):
    """Outputs of a warp lie together; 1x1, because a shifted row meets a sector more. All of shared memory, and what is
    read of global memory: stores are by the element, four to a thread."""
    check(device, problem((1, 32, 8, 32), (tile.height, 32, 1, 1)), tile)
    counters = device.launches[-1]
    assert counters.shared.excess <= 1.1
    transactions, ideal = loop_traffic(counters, "global", ["ld."])
    assert transactions <= 1.1 * ideal


VGG = (
    (64, 64, 224),
    (64, 128, 112),
    (128, 128, 112),
    (128, 256, 56),
    (256, 256, 56),
    (256, 512, 28),
    (512, 512, 28),
    (512, 512, 14),
)


@pytest.mark.parametrize("name", ["A100", "H100"])
def test_modelled_share_of_the_peak(device, name):
    """VGG-E's layers at batch 32, each by the tile that is chosen for it: the model's assumptions, and that wavefronts
    are those that the emulator counts for a slice of one block, scaled to all. The first layer, three channels, reaches
    three eighths of this at most."""
    gpu, images, slices = GPUS[name], 32, 8

    @functools.cache
    def of(tile):
        check(device, problem((1, slices * DEPTH, 8, 16), (tile.height, slices * DEPTH, 1, 1)), tile)
        counters = device.launches[-1]
        code = machine_code("float32", tile, True, gpu.capability)
        return counters.shared.transactions / counters.blocks / slices, code.hot

    for channels, filters, size in VGG:
        outputs, depth = images * size**2, 9 * channels
        tile = tile_for(outputs, filters, 4, gpu.sms)
        of_slice, hot = of(tile)
        blocks = -(-outputs // tile.width) * -(-filters // tile.height)
        moved = 4 * (outputs * (channels + filters) + filters * depth)
        flops, wavefronts = 2 * outputs * filters * depth, of_slice * blocks * depth / DEPTH
        assert modelled(gpu, hot, flops, wavefronts, moved, blocks).peak_fraction > 0.85
