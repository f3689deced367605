"""Whole numba.cuda kernels on the emulator against NumPy, and its arrays."""

import math
import warnings

import numpy as np
import pytest
from numba import cuda, float32, int32, uint32
from numba.cuda.core.errors import NumbaPerformanceWarning

from convlab.emulator import Device, EmulationError
from convlab.kernels.cuda import compile as cuda_compile

RNG = np.random.default_rng(6)


def functions(x, out):
    i = cuda.grid(1)
    if i < x.size:
        v = x[i]
        out[0, i] = math.sin(v)
        out[1, i] = math.cos(v)
        out[2, i] = math.exp(v)
        out[3, i] = math.log(abs(v) + float32(1))
        out[4, i] = math.sqrt(abs(v))
        out[5, i] = v / (abs(v) + float32(0.5))
        out[6, i] = math.tanh(v)
        out[7, i] = math.pow(abs(v), float32(1.5))
        out[8, i] = math.floor(v)
        out[9, i] = math.erf(v)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_mathematical_functions(device, dtype, tolerance):
    x = np.linspace(-9, 9, 1000, dtype=dtype)
    out = np.zeros((10, 1000), dtype)
    device.launch(functions, 4, 256, x, out)
    v, a = x.astype(np.float64), np.abs(x.astype(np.float64))
    erf = [math.erf(t) for t in v]
    expected = [
        np.sin(v),
        np.cos(v),
        np.exp(v),
        np.log(a + 1),
        np.sqrt(a),
        v / (a + 0.5),
        np.tanh(v),
        a**1.5,
        np.floor(v),
        erf,
    ]
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=1e-3 * tolerance)


def integer(a, b, out):
    i = cuda.grid(1)
    if i < a.size:
        p, q = a[i], b[i]
        out[0, i] = p // q
        out[1, i] = p % q
        out[2, i] = p * q
        out[3, i] = p << (q & 7)
        out[4, i] = min(p, q)
        out[5, i] = cuda.popc(uint32(p))
        out[6, i] = cuda.clz(int32(p))
        out[7, i] = p // 7
        out[8, i] = p % 12


def test_integers_as_python_has_them(device):
    a = RNG.integers(-(2**31), 2**31, 1000).astype(np.int32)
    b = (RNG.integers(1, 1000, 1000) * RNG.choice([-1, 1], 1000)).astype(np.int32)
    out = np.zeros((9, 1000), np.int64)
    device.launch(integer, 4, 256, a, b, out)
    p, q = a.astype(np.int64), b.astype(np.int64)
    bits = [f"{v & 0xFFFFFFFF:032b}" for v in p.tolist()]
    expected = [p // q, p % q, p * q, p << (q & 7), np.minimum(p, q), [t.count("1") for t in bits]]
    expected += [[len(t) - len(t.lstrip("0")) for t in bits], p // 7, p % 12]
    np.testing.assert_array_equal(out, expected)


def reduction(a, total):
    s = cuda.shared.array(8, float32)
    t, v = cuda.threadIdx.x, a[cuda.grid(1)]
    for d in (16, 8, 4, 2, 1):
        v += cuda.shfl_xor_sync(0xFFFFFFFF, v, d)
    if t & 31 == 0:
        s[t >> 5] = v
    cuda.syncthreads()
    if t == 0:
        z = float32(0)
        for i in range(8):
            z += s[i]
        cuda.atomic.add(total, 0, z)


def test_reduction_by_shuffles_and_atomics(device):
    a, total = RNG.integers(0, 9, 2048).astype(np.float32), np.zeros(1, np.float32)
    device.launch(reduction, 8, 256, a, total)
    assert total[0] == a.sum()


def atomics(a, out, old):
    i = cuda.grid(1)
    cuda.atomic.max(out, 0, a[i])
    cuda.atomic.min(out, 1, a[i])
    cuda.atomic.xor(out, 2, a[i])
    old[i] = cuda.atomic.add(out, 3, 1)
    cuda.atomic.cas(out, 4, 0, i + 1)
    cuda.atomic.exch(out, 5, 7)


def test_atomics(device):
    a = RNG.integers(1, 10**6, 320).astype(np.int32)
    out, old = np.array([0, 10**6, 0, 0, 0, 0], np.int32), np.zeros(320, np.int32)
    device.launch(atomics, 5, 64, a, out, old)
    assert out.tolist() == [a.max(), a.min(), np.bitwise_xor.reduce(a), 320, 1, 7]
    assert sorted(old.tolist()) == list(range(320))


def shuffles(out):
    i = cuda.threadIdx.x & 31
    out[0, i] = cuda.shfl_up_sync(0xFFFFFFFF, i, 3)
    out[1, i] = cuda.shfl_down_sync(0xFFFFFFFF, i, 3)
    out[2, i] = cuda.shfl_xor_sync(0xFFFFFFFF, i, 5)
    out[3, i] = cuda.shfl_sync(0xFFFFFFFF, i, 9)
    out[4, i] = cuda.ballot_sync(0xFFFFFFFF, i > 4) >> 3
    out[5, i] = cuda.all_sync(0xFFFFFFFF, i >= 0) + 2 * cuda.any_sync(0xFFFFFFFF, i < 0)
    if i & 1:
        out[6, i] = cuda.activemask() & 0xFF


def test_operations_of_a_warp(device):
    out, i = np.zeros((7, 32), np.int64), np.arange(32)
    device.launch(shuffles, 1, 32, out)
    expected = [np.where(i < 3, i, i - 3), np.where(i > 28, i, i + 3), i ^ 5, np.full(32, 9), np.full(32, -32 >> 3)]
    np.testing.assert_array_equal(out, [*expected, np.full(32, 1), np.where(i & 1, 0xAA, 0)])


def collatz(a):
    i = cuda.grid(1)
    n, v = 0, a[i]
    while v != 1:
        if v & 1:
            v = 3 * v + 1
        else:
            v >>= 1
        n += 1
    a[i] = n


def test_loops_of_different_lengths(device):
    def steps(n):
        return 0 if n == 1 else 1 + steps(3 * n + 1 if n % 2 else n // 2)

    a = np.arange(1, 301, dtype=np.int32)
    counters = device.launch(collatz, 3, 100, a)
    assert a.tolist() == [steps(n) for n in range(1, 301)]
    assert counters.lane_efficiency < 0.7


def local_memory(a, out, index):
    own = cuda.local.array(16, float32)
    i = cuda.grid(1)
    for j in range(16):
        own[j] = a[i] * j
    out[i] = own[index[i]]


def dynamic_memory(a):
    s, i = cuda.shared.array(0, float32), cuda.threadIdx.x
    s[i] = a[i]
    cuda.syncthreads()
    a[i] = s[31 - i]


def test_local_and_dynamic_memory(device):
    a, index = np.arange(64, dtype=np.float32), RNG.integers(0, 16, 64).astype(np.int32)
    out = np.zeros(64, np.float32)
    device.launch(local_memory, 2, 32, a, out, index)
    assert out.tolist() == (a * index).tolist()
    b = np.arange(32, dtype=np.float32)
    device.launch(dynamic_memory, 1, 32, b, shared=128)
    assert b.tolist() == list(range(31, -1, -1))
    with pytest.raises(EmulationError, match="out-of-bounds"):
        device.launch(dynamic_memory, 1, 32, b, shared=124)


def identities(out):
    b = cuda.blockIdx.x + cuda.gridDim.x * (cuda.blockIdx.y + cuda.gridDim.y * cuda.blockIdx.z)
    t = cuda.threadIdx.x + cuda.blockDim.x * (cuda.threadIdx.y + cuda.blockDim.y * cuda.threadIdx.z)
    out[b, t] = 1000 * b + t


@pytest.mark.parametrize("block", [(3, 5, 7), (33, 2, 1), (1, 1, 1), (8, 8, 16)])
def test_every_thread_of_every_block(device, block):
    """Blocks that fill no warp, and more of them than step together."""
    threads = math.prod(block)
    out = device.empty((2 * 3 * 4, threads), np.int32)
    counters = device.launch(identities, (2, 3, 4), block, out)
    np.testing.assert_array_equal(out.copy_to_host(), 1000 * np.arange(24)[:, None] + np.arange(threads))
    assert counters.warps == 24 * -(-threads // 32)


def transposed_sum(x, y, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i // x.shape[1], i % x.shape[1]] + y[i]


def test_views_of_device_arrays(device):
    x = device.array(np.arange(24, dtype=np.float32).reshape(4, 6))
    out = device.empty((2, 12), np.float32)
    device.launch(transposed_sum, 1, 32, x.transpose()[::2], x.reshape(24)[12:], out[1])
    host = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert out.copy_to_host()[1].tolist() == (host.T[::2].ravel() + host.ravel()[12:]).tolist()
    assert np.isnan(out.copy_to_host()[0]).all()
    assert (x.shape, x.ndim, x.size, x.nbytes, len(x), x.dtype) == ((4, 6), 2, 24, 96, 4, np.float32)
    assert x.view(np.int32).copy_to_host()[0, 1] == np.float32(1).view(np.int32)
    assert x.__cuda_array_interface__["typestr"] == "<f4"
    with pytest.raises(EmulationError, match="the host can take views"):
        x[1, 2]
    with pytest.raises(EmulationError, match="the host can take views"):
        x.transpose().reshape(24)


def double(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] = x[i] * 2


def test_two_views_of_one_array_are_one_memory(device):
    x = device.array(np.arange(8, dtype=np.float32))
    device.launch(transposed_sum, 1, 32, x[:4].reshape(1, 4), x[4:], x[:4])
    assert x.copy_to_host().tolist() == [4, 6, 8, 10, 4, 5, 6, 7]


def test_launcher_runs_where_its_arrays_are(device):
    kernel = cuda_compile.jit(64)(double)
    x = device.array(np.arange(100, dtype=np.float64))
    cuda_compile.launch(kernel, 2, 64, (x,))
    assert x.copy_to_host().tolist() == list(range(0, 200, 2))
    assert len(device.launches) == 1


class Recorded(dict):
    """In place of a dispatcher: what it was launched with, by grid, block, stream and shared memory."""

    __hash__ = object.__hash__

    def __missing__(self, configuration):
        warnings.warn(NumbaPerformanceWarning("Grid size 2 will likely result in GPU under-utilization"), stacklevel=2)
        return lambda *arguments: self.update({configuration: arguments})


def test_launcher_takes_arrays_of_the_real_device_to_numba():
    kernel, array = Recorded(), object()
    cuda_compile.launch(kernel, 2, 64, (array, 3), stream=5, shared=16)
    assert kernel == {(2, 64, 5, 16): (array, 3)}


def halved(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = float32(x[i]) * float32(0.5)


def test_float16_through_float32(device):
    x = RNG.normal(0, 100, 100).astype(np.float16)
    y = device.empty(100, np.float16)
    counters = device.launch(halved, 4, 32, x, y)
    np.testing.assert_array_equal(y.copy_to_host(), (x.astype(np.float32) * np.float32(0.5)).astype(np.float16))
    assert counters.written == 200


def test_too_many_threads_or_wrong_arguments():
    device = Device()
    with pytest.raises(EmulationError, match="2048 threads"):
        device.launch(double, 1, 2048, np.zeros(1))


@cuda.jit(device=True)
def squared(x):
    return x * x


def calls(x):
    i = cuda.threadIdx.x
    x[i] = squared(x[i])


def test_device_functions_compile_without_a_device():
    for capability in ((7, 5), (8, 0), (9, 0), (10, 0)):
        x = np.arange(32, dtype=np.float32)
        Device(capability).launch(calls, 1, 32, x)
        assert x.tolist() == [n * n for n in range(32)]
