"""backward_weights on the emulator against the oracle, and its machine code."""

import numpy as np
import pytest
from convolutions import GEOMETRIES, MODES, assert_solves, numbers, of, problem
from numba import int32, int64

from convlab.algorithms import lowering
from convlab.kernels.cuda.geometry import tables
from convlab.kernels.cuda.gradient import gradient, kernel, sizes
from convlab.kernels.cuda.tensor import tensor
from convlab.machinecode import compiled
from convlab.testing import operands

THREADS = 128


def solve(device, wanted, x, g):
    (sweep,), last = lowering.sweeps(wanted), wanted.layout == "channels_last"
    w = device.empty(wanted.w_shape, wanted.dtype)
    images, gradients = (tensor(device.array(array), last) for array in (x, g))
    extent, zero = lowering.extent(wanted), lowering.example(wanted)
    gradient(images, gradients, tables(sweep.taps, device.array), extent, zero, tensor(w))
    return w.copy_to_host()


def check(device, wanted, seed=1):
    arrays = operands(wanted, seed)
    assert_solves(wanted, solve(device, wanted, *arrays), arrays)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, layout):
    check(device, of(kind, direction="backward_weights", layout=layout))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["2-D", "strided"])
def test_padding_modes(device, kind, mode):
    check(device, of(kind, direction="backward_weights", padding_mode=mode))


@pytest.mark.parametrize("kind", ["2-D", "3-D", "depthwise"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(device, dtype, kind):
    check(device, of(kind, direction="backward_weights", dtype=dtype))


def test_more_than_a_block_takes(device):
    """Outputs for several rounds of all threads, which carry from every axis to the next."""
    check(device, problem((3, 20, 3, 7, 9), (18, 10, 1, 3, 2), groups=2, padding=1, direction="backward_weights"))


def test_no_images_give_zeros(device):
    wanted = problem((0, 3, 5, 5), (4, 3, 3, 3), direction="backward_weights")
    assert not solve(device, wanted, *operands(wanted, 1)).any()


def test_padding_multiplies(device):
    """An infinite gradient makes NaN of a padding zero."""
    wanted = problem((1, 2, 5, 5), (3, 2, 3, 3), padding=1, direction="backward_weights")
    x, g = operands(wanted, 2)
    g[0, 1, 0, 2] = np.inf
    found = solve(device, wanted, x, g)
    assert np.isnan(found[1, :, 0]).all()
    assert not np.isnan(np.delete(found, 1, axis=0)).any()


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize(("filters", "channels"), [(64, 64), (64, 3), (1, 1)])
def test_machine_code(dtype, filters, channels, capability):
    storage, total = numbers(dtype)
    block = sizes(filters, channels, total.bitwidth // 8)
    array = storage[::1]
    types = (array, array, int32[::1], array, *[int64] * 15, *[int32] * 16)
    code = compiled(kernel(storage, total, *block), types, capability, THREADS)
    assert code.misses(double=dtype == "float64", warps=12 if total.bitwidth == 32 else 8) == []


def test_neighbouring_threads_read_neighbouring_outputs(device):
    check(device, problem((1, 8, 16, 32), (8, 8, 1, 1), direction="backward_weights"))
    assert device.launches[-1].device.excess <= 1.1
