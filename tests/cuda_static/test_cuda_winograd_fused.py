"""Fused Winograd on the emulator against the oracle, its machine code and its use of memory."""

import functools
from fractions import Fraction

import numpy as np
import pytest
from convolutions import MODES, last, numbers, problem
from numba import int32, int64

from convlab import Plan, arrays, reference, registry, select
from convlab.algorithm import Context
from convlab.kernels.cpu.epilogue import TANH
from convlab.kernels.cuda import winograd_block
from convlab.kernels.cuda.winograd_filters import CHANNELS, FILTERS, size
from convlab.kernels.cuda.winograd_fused import kernel, share_of
from convlab.kernels.transforms import toom_cook
from convlab.machinecode import GPUS, compiled, modelled
from convlab.testing import operands
from convlab.testing.judge import assert_within


def candidate(problem):
    return select.consider(registry.get_algorithm("winograd-fused", "cuda"), problem, Context(), "reduced")


def solve(device, problem, given):
    with arrays.using(device):
        return Plan(problem, candidate(problem), *given[1:])(given[0])


def check(device, problem, seed=1):
    given = operands(problem, seed)
    result = solve(device, problem, given)
    bound = candidate(problem).error_model.bound(problem, given)
    assert_within(result, reference.solve(problem, *given), bound)


GEOMETRIES = {
    "even": {"x": (2, 8, 6, 8), "w": (5, 8, 3, 3), "padding": 1},
    "odd": {"x": (2, 5, 7, 5), "w": (3, 5, 3, 3), "padding": 1},
    "one output": {"x": (3, 2, 3, 3), "w": (2, 2, 3, 3)},
    "uneven padding": {"x": (1, 3, 5, 6), "w": (2, 3, 3, 3), "padding": ((2, 1), (0, 2))},
    "wide padding": {"x": (1, 2, 1, 2), "w": (2, 2, 3, 3), "padding": 3},
    "grouped": {"x": (2, 6, 5, 4), "w": (9, 2, 3, 3), "groups": 3, "padding": 1},
    "planes": {"x": (2, 2, 3, 4, 5), "w": (3, 2, 1, 3, 3), "padding": (1, 1, 0)},
}


def of(kind, **options):
    given = dict(GEOMETRIES[kind])
    x = given.pop("x")
    if options.get("layout") == "channels_last":
        x = last(x)
    return problem(x, given.pop("w"), **given, **options)


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, direction):
    check(device, of(kind, direction=direction))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_float16_with_bias_and_activation(device, layout, direction):
    check(device, of("odd", direction=direction, layout=layout, dtype="float16", has_bias=True, activation="relu"))


@pytest.mark.parametrize("kind", ["even", "grouped", "planes"])
def test_channels_last(device, kind):
    check(device, of(kind, layout="channels_last"))


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(device, mode):
    check(device, problem((1, 3, 6, 5), (2, 3, 3, 3), padding=((2, 1), (1, 2)), padding_mode=mode))


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 15, 16, 17, 26])
def test_channels(device, channels):
    """Half of a slice, one, a part of the next; one turn of the loop, several."""
    check(device, problem((1, channels, 4, 9), (5, channels, 3, 3), padding=1))


@pytest.mark.parametrize(
    "options",
    [
        {"has_bias": True, "activation": "relu"},
        {"layout": "channels_last", "has_bias": True, "activation": "relu"},
        {"dtype": "float16"},
        {"direction": "backward_data", "groups": 2},
    ],
    ids=["epilogue", "channels_last", "float16", "backward_data"],
)
def test_channels_are_shared_where_outputs_are_few(device, options):
    """130 channels a group are 17 slices: four blocks take 5, 5, 5 and 2 of them, the last with a part of one."""
    groups = options.get("groups", 1)
    x, w = ((2, 4, 5, 3), (130 * groups, 4 // groups, 3, 3)) if groups > 1 else ((2, 130, 5, 3), (4, 130, 3, 3))
    x = last(x) if options.get("layout") == "channels_last" else x
    check(device, problem(x, w, padding=1, **options))
    assert [counters.function for counters in device.launches[-2:]] == ["winograd_fused", "partial_sums"]
    assert device.launches[-2].blocks == 4 * groups * -(-2 * 6 // 32)


def test_shares():
    """Two blocks for each SM of a large device, of four slices at least; every slice is somebody's."""
    assert share_of(1, (14, 14), 1, 512, 512) == (16, 4)
    assert share_of(1, (1, 28, 28), 1, 512, 512) == (4, 16)
    assert share_of(32, (14, 14), 1, 512, 512) == (1, 64)
    assert share_of(1, (4, 4), 1, 1, 24) == (1, 3)
    assert share_of(1, (4, 4), 1, 1, 0) == (1, 0)
    for channels in range(8, 600, 8):
        parts, share = share_of(1, (7, 7), 1, 64, channels)
        assert (parts - 1) * share < channels / 8 <= parts * share


@pytest.mark.parametrize("filters", [63, 64, 65, 129])
def test_filters_and_tiles_beyond_a_block(device, filters):
    check(device, problem((3, 4, 9, 7), (filters, 4, 3, 3), padding=1))


@pytest.mark.parametrize("x", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_sum(device, x):
    check(device, problem(x, (4, x[1], 3, 3)))


def test_what_fills_up_is_no_operand(device):
    """Infinite inputs, whatever is read in their place: no NaN where no tile has them, and so with infinite weights."""
    wanted = problem((1, 5, 6, 6), (3, 5, 3, 3), padding=1)
    x, w, _ = operands(wanted, 3)
    x[0, :, 0, 0], w[2, 1] = np.inf, np.inf
    result = solve(device, wanted, (x, w, None))
    assert not np.isfinite(result[0, :2, :2, :2]).all()
    assert np.isfinite(result[0, :2, 2:]).all()
    assert np.isfinite(result[0, :2, :, 2:]).all()


def test_refusals():
    for options, words in (
        ({"stride": 2}, "the stride is"),
        ({"dilation": 2}, "the dilation is"),
        ({"dtype": "float64"}, "float32 and float16"),
        ({"direction": "backward_weights"}, "im2col does"),
    ):
        assert words in candidate(problem((1, 2, 9, 9), (2, 2, 3, 3), **options)).reason
    for x, w in (((1, 2, 9), (2, 2, 3)), ((1, 2, 9, 9), (2, 2, 5, 3)), ((1, 2, 9, 9, 9), (2, 2, 3, 3, 3))):
        assert "kernels of 3x3" in candidate(problem(x, w)).reason


def test_transforms_are_the_matrices():
    matrices = toom_cook(2, 3)
    for function, matrix in ((winograd_block.along, matrices.bt), (winograd_block.back, matrices.at)):
        for j in range(4):
            column = function.py_func(*(Fraction(i == j) for i in range(4)))
            assert list(column) == [row[j] for row in matrix]


def types_of(storage, total):
    return (storage[::1], total[::1], storage[::1], int32[::1], storage[::1], *[int64] * 11, *[int32] * 14)


@functools.cache
def code(dtype, capability, activation=0):
    storage, total = numbers(dtype)
    return compiled(kernel(storage, activation, True), types_of(storage, total), capability, winograd_block.THREADS)


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_machine_code(capability):
    """One block an SM: its 128 sums a thread are half of all registers."""
    assert code("float32", capability).misses(ffma=0.83, registers=255, warps=8) == []


@pytest.mark.parametrize(("dtype", "activation", "capability"), [("float16", 0, (9, 0)), ("float32", TANH, (7, 5))])
def test_machine_code_of_other_kinds(dtype, activation, capability):
    assert code(dtype, capability, activation).misses(ffma=0.78, registers=255, warps=8) == []


def test_memory_is_used_as_well_as_can_be(device):
    """Rows of a warp's 32 tiles lie in 8 sectors, of which lanes read every second element; a ninth where padding has
    shifted them. Filters come in the fewest possible."""
    check(device, problem((1, 32, 4, 64), (64, 32, 3, 3), padding=1))
    counters = device.launches[-1]
    assert counters.shared.excess == 1
    of_tiles, of_filters = 0, 0
    for instruction, (requests, sectors, ideal, _) in zip(counters.code, counters.accesses["global"], strict=True):
        if instruction.opcode.startswith("ld.global.v4"):
            assert sectors == ideal
            of_filters += sectors
        elif instruction.opcode.startswith("ld.global") and ideal > requests:  # the others are the table's
            assert sectors <= 9 * requests
            of_tiles += sectors
    blocks, channels = counters.blocks, 32
    assert of_filters == blocks * channels * 16 * FILTERS * 4 / 32
    assert of_tiles <= 1.1 * blocks * channels * 16 * 8


@pytest.mark.parametrize("name", ["A100", "H100"])
def test_modelled_against_the_direct_limit(device, name):
    """VGG layers at batch 32: more than 1.5 times what the definition could do at the peak (of 2.25 that F(2x2, 3x3)
    saves); wavefronts as the emulator counts them in one block, scaled to all."""
    gpu, images = GPUS[name], 32
    found = code("float32", gpu.capability)
    counts = []
    for slices in (1, 2):
        check(device, problem((1, CHANNELS * slices, 8, 16), (FILTERS, CHANNELS * slices, 3, 3), padding=1))
        counts.append(device.launches[-1].shared.transactions)
    of_slice, of_block = counts[1] - counts[0], 2 * counts[0] - counts[1]
    for channels, edge in ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14)):
        tiles = images * (edge // 2) ** 2
        blocks = -(-tiles // winograd_block.TILES) * (channels // FILTERS)
        moved = 4 * (2 * images * edge**2 * channels + size(1, channels, channels))
        flops = 2 * 16 * blocks * winograd_block.TILES * FILTERS * channels
        wavefronts = blocks * (of_block + of_slice * channels / CHANNELS)
        seconds = modelled(gpu, found.hot, flops, wavefronts, moved, blocks).seconds
        direct = 2 * 9 * images * edge**2 * channels**2 / gpu.peak
        assert direct / seconds > 1.5
