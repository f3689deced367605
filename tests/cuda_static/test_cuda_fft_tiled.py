"""Fourier's tiles on the emulator against the oracle, their machine code and their use of memory."""

import re

import pytest
from numba import types
from tiled import check, code_of_inputs, code_of_outputs, fourier, modelled_speed, problem, sectors

from convlab.algorithms.cuda.fft_tiled import FftTiled

# Of 8, 16 and 32 points, for the kernels that they are for.
OF_8, OF_16, OF_32 = fourier(8, (5, 5)), fourier(16, (9, 9)), fourier(32, (23, 23))
SIZES = pytest.mark.parametrize("tiles", [OF_8, OF_16, OF_32], ids=["8", "16", "32"])


@SIZES
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
def test_tiles(device, tiles, direction):
    """Edges that fill no tile; images and channels that fill no warp."""
    m, r = tiles.outputs[0], tiles.taps[0]
    x = (1, 2, m + 4, 2 * m + 1)
    check(device, tiles, problem(x, (3, 2, r, r), padding=r // 2, direction=direction, has_bias=True))


@pytest.mark.parametrize("points", [8, 16, 32])
def test_rows(device, points):
    check(device, fourier(points, (1, 5)), problem((2, 3, 45), (2, 3, 5), padding=2, activation="relu"))


def test_uneven_kernel(device):
    """Fewer rows than columns; few outputs a tile; reflected, and more on one side."""
    given = problem((1, 2, 9, 8), (2, 2, 2, 7), padding=((1, 0), (4, 3)), padding_mode="reflect")
    check(device, fourier(8, (2, 7)), given)


@pytest.mark.parametrize("tiles", [OF_16, OF_32], ids=["16", "32"])
def test_channels_last(device, tiles):
    """A warp has one row of tiles of 16 points, and four of 32."""
    m, r = tiles.outputs[0], tiles.taps[0]
    given = problem((1, m + r, m + r - 1, 9), (5, 9, r, r), layout="channels_last", has_bias=True)
    check(device, tiles, given)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_groups_and_float16(device, layout):
    x = (2, 6, 9, 7) if layout == "channels_first" else (2, 9, 7, 6)
    check(device, OF_8, problem(x, (4, 3, 5, 5), "float16", groups=2, padding=2, layout=layout))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (problem((1, 2, 40, 40), (2, 2, 32, 3)), "leaves no output"),
        (problem((1, 2, 40, 40), (2, 2, 9, 1)), "a kernel of two columns or more"),
        (problem((1, 2, 40, 40), (2, 2, 9, 9), stride=2), "neighbouring outputs must share inputs"),
    ],
)
def test_refusals(given, reason):
    assert re.search(reason, FftTiled().why_not(given))


def test_tiles_grow_with_the_kernel():
    layers = [problem((32, 64, size, size), (64, 64, r, r), padding=r // 2) for r, size in ((3, 6), (9, 56), (21, 56))]
    assert [FftTiled().cut(layer).tiles.size[0] for layer in layers] == [8, 16, 32]


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize(
    ("tiles", "registers", "warps"),
    [(fourier(32, (1, 21)), 96, 20), (OF_8, 56, 36), (OF_16, 80, 20), (OF_32, 128, 16)],
    ids=["row of 32", "8", "16", "32"],
)
def test_machine_code(tiles, registers, warps, capability):
    """Nothing spilled, no local memory."""
    assert code_of_inputs(tiles, capability).misses(registers=registers, warps=warps) == []
    assert code_of_outputs(tiles, capability).misses(registers=registers, warps=warps) == []


def test_machine_code_of_float16():
    assert code_of_inputs(OF_16, (8, 0), types.float16).misses(warps=20) == []
    assert code_of_outputs(OF_16, (8, 0), types.float16).misses(warps=20) == []


@SIZES
def test_memory_is_used_as_well_as_can_be(device, tiles):
    """Of V and M every sector once. What is read of an image overlaps: it comes from L1."""
    m, r = tiles.outputs[0], tiles.taps[0]
    given = problem((1, 4, m * 2, m * 8), (4, 4, r, r), padding=r // 2, has_bias=True)
    inputs, _, outputs = check(device, tiles, given)
    assert sectors(inputs, "st.global") == sectors(outputs, "ld.global") == inputs.shared.excess == 1
    assert sectors(outputs, "st.global") < 1.1
    assert outputs.shared.excess < 1.1
    assert sectors(inputs, "ld.global") < 8


@pytest.mark.parametrize("gpu", ["A100", "H100"])
def test_modelled_speed(gpu):
    """A layer of 64 channels, 56 x 56, at batch 32: over direct products at the peak."""
    _, speed, _ = modelled_speed(gpu, FftTiled, problem((32, 64, 56, 56), (64, 64, 9, 9), padding=4))
    assert speed > 4
