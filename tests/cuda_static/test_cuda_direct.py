"""Direct convolution on the emulator against the oracle, and its machine code."""

import numpy as np
import pytest
from convolutions import GEOMETRIES, MODES, arguments, assert_solves, convolve, innermost, numbers, of, problem

from convlab.algorithms import lowering
from convlab.kernels.cpu.tensor import Tensor
from convlab.kernels.cuda.direct import direct, filters_per_block, kernel
from convlab.kernels.cuda.geometry import tables
from convlab.machinecode import compiled
from convlab.problem import ACTIVATIONS
from convlab.testing import operands

THREADS = 128


def solve(device, problem, arrays, out=None):
    return convolve(device, direct, filters_per_block(lowering.extent(problem).filters), 1, problem, arrays, out)


def check(device, problem, seed=1):
    arrays = operands(problem, seed)
    assert_solves(problem, solve(device, problem, arrays), arrays)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, direction, layout):
    check(device, of(kind, direction=direction, layout=layout, has_bias=True, activation="relu"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["1-D", "2-D", "strided"])
def test_padding_modes(device, kind, mode):
    check(device, of(kind, padding_mode=mode))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", ["2-D", "strided", "depthwise", "3-D"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(device, dtype, kind, direction):
    check(device, of(kind, direction=direction, dtype=dtype, has_bias=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations(device, dtype, activation):
    check(device, problem((1, 3, 8, 8), (1, 3, 3, 3), dtype, has_bias=True, activation=activation))


def test_many_outputs_filters_and_groups(device):
    """More than a block takes of each: several warps, blocks and rounds of channels."""
    check(device, problem((3, 26, 15, 14), (42, 13, 3, 3), groups=2, padding=1))


@pytest.mark.parametrize("x", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_sum_is_the_bias(device, x):
    check(device, problem(x, (4, x[1], 3, 3), has_bias=True))


def test_padding_multiplies(device):
    """An infinite weight makes NaN of a padding zero, as in IEEE arithmetic."""
    wanted = of("2-D")
    x, w, _ = operands(wanted, 3)
    w[2, 1, 0, 0] = np.inf
    result = solve(device, wanted, (x, w, None))
    assert np.isnan(result[:, 2, 0]).all()
    assert np.isnan(result[:, 2, :, 0]).all()
    assert not np.isnan(np.delete(result, 2, axis=1)).any()


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_results_between_others(device, layout):
    """A view of a larger array is written, and nothing beside it."""
    wanted = of("2-D", layout=layout)
    whole = device.array(np.full([n + 2 for n in wanted.y_shape], 7, np.float32))
    arrays = operands(wanted, 5)
    view = whole[1:-1, 1:-1, 1:-1, 1:-1]
    assert_solves(wanted, solve(device, wanted, arrays, view), arrays)
    found = whole.copy_to_host()
    found[1:-1, 1:-1, 1:-1, 1:-1] = 7
    assert (found == 7).all()


def test_channels_too_far_apart_are_refused(device):
    wanted, array = of("2-D"), device.array(np.zeros(8, np.float32))
    images = Tensor(array, 0, 1 << 31, 0, 0, 4)
    geometry = tables(lowering.sweeps(wanted)[0].taps, device.array)
    with pytest.raises(ValueError, match="within 4 GiB"):
        direct(images, array, array, geometry, lowering.extent(wanted), 0, np.float32(0), images)


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize(
    ("dtype", "block", "share"),
    [("float32", 8, 0.70), ("float32", 4, 0.55), ("float32", 1, 0), ("float16", 8, 0.64), ("float16", 1, 0)],
)
def test_machine_code(dtype, block, share, capability):
    """No spills, no float64; most of the loop over the channels are multiply-adds."""
    storage, total = numbers(dtype)
    code = compiled(kernel(storage, total, block, 0, True), arguments(storage, total), capability, THREADS)
    assert code.misses(warps=12) == []
    assert innermost(code).ffma_share >= share


@pytest.mark.parametrize("block", [8, 1])
def test_machine_code_of_float64(block):
    storage, total = numbers("float64")
    code = compiled(kernel(storage, total, block, 0, True), arguments(storage, total), (8, 0), THREADS)
    assert code.misses(double=True, warps=8) == []
    assert innermost(code).kinds["fp64"] >= 16


@pytest.mark.parametrize("activation", range(1, 7))
def test_activations_do_not_spill(activation):
    storage, total = numbers("float32")
    code = compiled(kernel(storage, total, 8, activation, True), arguments(storage, total), (9, 0), THREADS)
    assert code.misses(warps=12) == []


def test_memory_is_used_as_well_as_can_be(device):
    """Lanes are neighbouring columns; 1x1, because a shifted row meets a sector more."""
    check(device, problem((1, 8, 16, 32), (8, 8, 1, 1)))
    assert device.launches[-1].device.excess <= 1.1
