"""Winograd's tiles on the emulator against the oracle, their machine code and their use of memory."""

import re

import numpy as np
import pytest
from numba import float32, types
from tiled import algorithm, check, code_of_inputs, code_of_outputs, modelled_speed, problem, run, sectors, winograd

from convlab.algorithms.cuda import tiled
from convlab.algorithms.cuda.winograd import Winograd
from convlab.kernels.cpu.epilogue import TANH
from convlab.problem import ConvProblem
from convlab.testing import operands

F4, F6 = winograd((4, 4), (3, 3)), winograd((6, 6), (3, 3))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("tiles", [F4, F6], ids=["F(4, 3)", "F(6, 3)"])
def test_tiles(device, tiles, direction):
    """Edges that fill no tile; images and channels that fill no warp; a bias and an activation."""
    options = {"padding": 1, "has_bias": True, "activation": "relu"}
    check(device, tiles, problem((2, 3, 13, 11), (5, 3, 3, 3), direction=direction, **options))


@pytest.mark.parametrize(
    ("outputs", "x", "w"),
    [
        ((1, 4), (2, 3, 21), (2, 3, 3)),
        ((1, 2), (1, 3, 9), (2, 3, 5)),
        ((4, 4), (1, 2, 11, 10), (3, 2, 5, 5)),
        ((2, 6), (1, 2, 8, 12), (2, 2, 5, 3)),
        ((4, 1), (1, 2, 7, 5), (2, 2, 3, 1)),
    ],
    ids=["1-D of 3", "1-D of 5", "5x5", "5x3", "3x1"],
)
def test_kernels(device, outputs, x, w):
    taps = (1, *w[2:])[-2:]
    check(device, winograd(outputs, taps), problem(x, w))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_uneven_padding(device, mode):
    check(device, F4, problem((1, 2, 6, 7), (2, 2, 3, 3), padding=((2, 0), (1, 3)), padding_mode=mode))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_groups(device, layout, direction):
    x = (1, 6, 5, 7) if layout == "channels_first" else (1, 5, 7, 6)
    check(device, F4, problem(x, (9, 2, 3, 3), groups=3, padding=1, layout=layout, direction=direction, has_bias=True))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
def test_channels_last(device, direction):
    """Ones whose channels fill no warp."""
    given = problem((2, 9, 6, 3), (5, 3, 3, 3), padding=1, layout="channels_last", has_bias=True, direction=direction)
    check(device, F4, given)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_float16(device, layout):
    x = (1, 3, 9, 6) if layout == "channels_first" else (1, 9, 6, 3)
    check(device, F4, problem(x, (4, 3, 3, 3), "float16", padding=1, layout=layout, has_bias=True))


@pytest.mark.parametrize("x", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_sum_is_the_bias(device, x):
    check(device, F4, problem(x, (4, x[1], 3, 3), has_bias=True))


def test_strides(device):
    """What lies between the elements of a result stays what it is."""
    whole = device.array(np.full((1, 5, 9, 14), 7, np.float32))
    check(device, F4, problem((1, 3, 9, 7), (5, 3, 3, 3), padding=1), out=whole[..., ::2])
    assert (whole.copy_to_host()[..., 1::2] == 7).all()


def test_turns(device, monkeypatch):
    """Tiles in turns of a smaller workspace: the same result, to the last bit."""
    given = problem((4, 2, 300), (3, 2, 3), has_bias=True)
    arrays, whole = operands(given, 4), algorithm(winograd((1, 6), (1, 3)))
    once, launches = run(device, whole, given, arrays)
    assert len(launches) == 3
    with monkeypatch.context() as patch:
        patch.setattr(tiled, "_WORKSPACE", 4096)
        tiled._cheapest.cache_clear()
        assert sum(spec.nbytes() for spec in whole.workspace(given, None).values()) == 128 * 4 * 5 * 8
        turned, launches = run(device, whole, given, arrays)
    tiled._cheapest.cache_clear()
    assert len(launches) == 6
    assert (once == turned).all()


def test_workspace_of_a_large_problem_is_bounded():
    vgg = problem((64, 128, 112, 112), (128, 128, 3, 3), padding=1)
    used = sum(spec.nbytes() for spec in Winograd().workspace(vgg, None).values())
    assert 2**27 < used <= 2**28


def test_tiles_are_the_cheaper_ones():
    """14 is four tiles of four, where three of six reach to 18."""
    sizes = {
        size: Winograd().cut(problem((32, 256, size, size), (256, 256, 3, 3), padding=1)).tiles for size in (14, 56)
    }
    assert sizes == {14: F4, 56: F6}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (problem((1, 2, 9, 9), (2, 2, 3, 3), stride=2), "neighbouring outputs must share inputs"),
        (problem((1, 2, 9, 9), (2, 2, 3, 3), dilation=2), "the taps of a tile must be neighbours"),
        (problem((1, 2, 9, 9), (2, 2, 7, 7)), r"its tiles are for kernels of \[3, 5\]"),
        (problem((1, 2, 9, 9), (2, 2, 1, 1)), "no products to save"),
        (problem((1, 2, 9, 9, 9), (2, 2, 3, 3, 3)), "one or two dimensions"),
        (problem((1, 2, 9, 9), (2, 2, 3, 3), "float64"), "its transforms are of float32"),
        (problem((1, 2, 9, 9), (2, 2, 3, 3), direction="backward_weights"), "forward and backward_data"),
    ],
)
def test_refusals(given: ConvProblem, reason):
    assert re.search(reason, Winograd().why_not(given))


@pytest.mark.parametrize(("capability", "last"), [((8, 0), False), ((8, 0), True), ((9, 0), False)])
@pytest.mark.parametrize(
    ("tiles", "inputs", "outputs"), [(F4, (88, 20), (96, 20)), (F6, (128, 16), (96, 20))], ids=["F(4, 3)", "F(6, 3)"]
)
def test_machine_code(tiles, inputs, outputs, last, capability):
    """(most registers, fewest warps on an SM) of the transforms; nothing spilled, no local memory."""
    for make, (registers, warps) in ((code_of_inputs, inputs), (code_of_outputs, outputs)):
        assert make(tiles, capability, last=last).misses(registers=registers, warps=warps) == []


def test_machine_code_of_float16_and_activations():
    assert code_of_inputs(F6, (9, 0), types.float16).misses(warps=16) == []
    assert code_of_outputs(F6, (9, 0), float32, activation=TANH).misses(warps=16) == []


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_memory_is_used_as_well_as_can_be(device, layout):
    """Of V and M every sector once, of the result too. What is read of an image overlaps: it comes from L1."""
    x = (1, 4, 28, 56) if layout == "channels_first" else (1, 28, 12, 32)
    first = layout == "channels_first"
    w = (4, 4, 3, 3) if first else (32, 32, 3, 3)
    inputs, _, outputs = check(device, F4, problem(x, w, padding=1, layout=layout))
    assert sectors(inputs, "st.global") == sectors(outputs, "ld.global") == sectors(outputs, "st.global") == 1
    assert outputs.shared.excess == 1
    assert sectors(inputs, "ld.global") < (4 if first else 1.01)


def test_tiles_of_six_begin_between_sectors(device):
    inputs, _, outputs = check(
        device, F6, problem((1, 4, 24, 56), (4, 4, 3, 3), padding=1, has_bias=True, activation="relu")
    )
    assert sectors(inputs, "st.global") == sectors(outputs, "ld.global") == outputs.shared.excess == 1
    assert sectors(outputs, "st.global") < 1.1


@pytest.mark.parametrize("gpu", ["A100", "H100"])
def test_modelled_speed(gpu):
    """VGG's first and last layers of 128 channels and more, at batch 32: over direct products at the peak."""
    for channels, size in ((128, 112), (512, 14)):
        layer = problem((32, channels, size, size), (channels, channels, 3, 3), padding=1)
        _, speed, _ = modelled_speed(gpu, Winograd, layer)
        assert speed > 1.9
