"""What the emulator counts, on kernels small enough to count by hand."""

import numpy as np
import pytest
from numba import cuda, float32

from convlab.kernels.cuda.intrinsics import ld4, st4


@cuda.jit
def copy(x, y, stride):
    i = cuda.threadIdx.x & 31
    y[i * stride] = x[i * stride]


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (8, 32), (16, 32)])
def test_sectors(device, stride, sectors):
    """32 floats are 4 sectors of 32 bytes; from a stride of 8 floats on each is in a sector of its own."""
    x = np.zeros(32 * stride, np.float32)
    counters = device.launch(copy, 1, 32, x, x.copy(), stride)
    assert counters.device.requests == 2
    assert counters.device.transactions == 2 * sectors
    assert counters.device.ideal == 8
    assert counters.device.bytes == 256
    assert (counters.read, counters.written) == (128, 128)
    assert counters.shared.transactions == 0


def test_misaligned_sectors(device):
    """A row that begins 4 bytes after a sector does touches a fifth one."""
    x, y = device.array(np.zeros(33, np.float32)), device.empty(32, np.float32)
    counters = device.launch(copy, 1, 32, x[1:], y, 1)
    assert counters.device.transactions == 5 + 4
    (worst,) = counters.worst("global")
    assert "ld.global" in worst[0]
    assert worst[1] == 1


@cuda.jit
def broadcast(x, y):
    i = cuda.threadIdx.x & 31
    y[i] = x[0]


def test_broadcast_is_one_sector(device):
    counters = device.launch(broadcast, 1, 32, np.zeros(1, np.float32), np.zeros(32, np.float32))
    assert counters.device.transactions == counters.device.ideal == 1 + 4
    assert (counters.read, counters.written) == (4, 128)


@cuda.jit
def banks(x, stride):
    s = cuda.shared.array(1024, float32)
    i = cuda.threadIdx.x & 31
    s[i * stride] = x[i]
    cuda.syncwarp()
    x[i] = s[i * stride]


@pytest.mark.parametrize(("stride", "wavefronts"), [(1, 1), (2, 2), (4, 4), (32, 32), (31, 1), (3, 1)])
def test_bank_conflicts(device, stride, wavefronts):
    """Words i·stride meet in a bank gcd(stride, 32) at a time."""
    counters = device.launch(banks, 1, 32, np.zeros(32, np.float32), stride)
    assert counters.shared.requests == counters.shared.ideal == 2
    assert counters.shared.transactions == 2 * wavefronts
    assert counters.shared.excess == wavefronts
    assert len(counters.worst("shared")) == (2 if wavefronts > 1 else 0)


@cuda.jit
def vectors(x, spread):
    s = cuda.shared.array(4096, float32, 16)
    i = cuda.threadIdx.x & 31
    v = ld4(x, i * 4)
    st4(s, i * spread, v[0], v[1], v[2], v[3])
    cuda.syncwarp()
    v = ld4(s, (i & 1) * spread)
    st4(x, i * 4, v[0], v[1], v[2], v[3])


@pytest.mark.parametrize(("spread", "stores"), [(4, 4), (32, 32), (128, 32), (36, 4)])
def test_conflicts_of_vectors(device, spread, stores):
    """16 bytes a lane go by quarters of a warp: 8 lanes have all banks at once, or one group of four 8 times over."""
    counters = device.launch(vectors, 1, 32, np.zeros(128, np.float32), spread)
    loads = 4 * (1 if spread in (4, 36) else 2)  # two different vectors a quarter
    assert counters.shared.transactions == stores + loads
    assert counters.shared.ideal == 8
    assert counters.shared.bytes == 2 * 512
    assert counters.device.transactions == counters.device.ideal == 2 * 16


@cuda.jit
def halves(x):
    i = cuda.grid(1)
    if i & 31 < 16:
        x[i] = x[i] * float32(2) + float32(1)
    cuda.syncthreads()


def test_divergence_barriers_and_lanes(device):
    counters = device.launch(halves, 3, 64, np.zeros(192, np.float32))
    assert (counters.blocks, counters.warps, counters.barriers) == (3, 6, 3)
    assert counters.divergences == 1  # of all warps at once
    counts = counters.by_opcode()
    assert counts["fma.f32"] == 6
    assert counts["ld.global.f32"] == counts["st.global.f32"] == 6
    assert 0.5 < counters.lane_efficiency < 1
    assert counters.instructions == sum(counts.values())


def test_report_says_it_in_words(device):
    counters = device.launch(banks, 1, 32, np.zeros(32, np.float32), 2)
    report = counters.report()
    assert "shared memory: 4 wavefronts, 2.00 of the ideal" in report
    assert "bank conflicts: 1 more at st.shared" in report
    assert device.launches == [counters]
