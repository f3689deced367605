"""Bugs planted in kernels, each found by the emulator; and what looks like one, and is none."""

import numpy as np
import pytest
from numba import cuda, float32

from convlab.emulator import EmulationError
from convlab.kernels.cuda.intrinsics import cp_async16, cp_async_commit, cp_async_wait0, cp_async_wait1, ld1, ld4

ZEROS = np.zeros(256, np.float32)


def read_after_write(a):
    s, i = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    s[i] = a[i]
    a[i] = s[63 - i]


def write_after_read(a):
    s, i = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    for _ in range(3):
        s[i] = a[i]
        cuda.syncthreads()
        a[i] = s[63 - i]


def write_after_write(a):
    s, i = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    s[i >> 1] = a[i]


def one_global_element_written_by_two(a):
    a[cuda.grid(1) >> 1] = 1


def other_block_read(a):
    i = cuda.grid(1)
    a[i] = a[(i + 64) & 127]


def half_written_by_two(a):
    a[(cuda.threadIdx.x & 63) >> 1] = 1


def outside_by_one(a):
    a[cuda.grid(1) + 1] = 1


def outside_through_an_intrinsic(a):
    i = cuda.threadIdx.x & 63
    a[i] = ld1(a, i + 256)


def outside_of_shared_memory(a):
    s, i = cuda.shared.array(63, float32), cuda.threadIdx.x & 63
    s[i] = a[i]


def misaligned(a):
    i = cuda.threadIdx.x & 63
    a[i] = ld4(a, i)[0]


def uninitialised_shared_memory(a):
    s, i = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    if i < 63:
        s[i] = a[i]
    cuda.syncthreads()
    a[i] = s[i]


def barrier_for_half_of_the_block(a):
    i = cuda.threadIdx.x & 63
    if i < 32:
        cuda.syncthreads()
    a[i] += 1


def two_barriers_at_once(a):
    i = cuda.threadIdx.x & 63
    if i < 32:
        a[i] = 1
        cuda.syncthreads()
        a[i] += 1
    else:
        cuda.syncthreads()


def copy_without_wait(a):
    s, i = cuda.shared.array(256, float32, 16), cuda.threadIdx.x & 63
    cp_async16(s, i * 4, a, i * 4)
    cp_async_commit()
    cuda.syncthreads()
    a[i] = s[i]


def copy_waited_for_too_late(a):
    s, i = cuda.shared.array(256, float32, 16), cuda.threadIdx.x & 63
    s[i * 4] = s[i * 4 + 1] = s[i * 4 + 2] = s[i * 4 + 3] = 1
    cp_async16(s, i * 4, a, i * 4)
    cp_async_commit()
    cp_async_wait1()
    a[i] = s[i * 4]


def copy_waited_for_by_nobody_else(a):
    s, i = cuda.shared.array(256, float32, 16), cuda.threadIdx.x & 63
    cp_async16(s, i * 4, a, i * 4)
    cp_async_commit()
    cp_async_wait0()
    a[i] = s[255 - i]


def shuffle_with_absent_lanes(a):
    i = cuda.threadIdx.x & 63
    if i < 16:
        a[i] = cuda.shfl_down_sync(0xFFFFFFFF, a[i], 1)


def endless(a):
    i = cuda.threadIdx.x & 63
    while a[i] < 1:
        a[i] *= 0.5


def too_much_shared_memory(a):
    s = cuda.shared.array(60000, float32)
    s[0] = 1
    a[0] = s[0]


def atomic_and_plain_write(a):
    cuda.atomic.add(a, 0, 1)
    if cuda.threadIdx.x == 0:
        a[0] = 0


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (read_after_write, "reads what another thread wrote"),
        (write_after_read, "writes what another thread read"),
        (write_after_write, "writes what another thread wrote"),
        (one_global_element_written_by_two, "writes what another thread wrote"),
        (outside_by_one, "out-of-bounds access of 4 bytes"),
        (outside_through_an_intrinsic, "out-of-bounds access of 4 bytes"),
        (
            outside_of_shared_memory,
            "bytes at 252, thread (63, 0, 0) of block (0, 0, 0): st.shared",
        ),
        (misaligned, "misaligned access of 16 bytes"),
        (uninitialised_shared_memory, "uninitialised memory"),
        (barrier_for_half_of_the_block, "ended without reaching"),
        (two_barriers_at_once, "wait at another"),
        (copy_without_wait, "uninitialised memory"),
        (copy_waited_for_too_late, "uninitialised memory"),
        (copy_waited_for_by_nobody_else, "reads what another thread wrote"),
        (shuffle_with_absent_lanes, "lanes named in the mask are not here"),
        (endless, "too many steps"),
        (too_much_shared_memory, "bytes of shared memory"),
        (atomic_and_plain_write, "writes what another thread wrote"),
    ],
)
def test_planted_bug_is_found(device, kernel, message):
    blocks = 4 if kernel is outside_by_one else 1
    with pytest.raises(EmulationError) as caught:
        device.launch(kernel, blocks, 64, ZEROS.copy(), max_steps=3000)
    assert message in str(caught.value)


def test_blocks_race_with_each_other(device):
    with pytest.raises(EmulationError, match="race"):
        device.launch(other_block_read, 2, 64, ZEROS.copy())


def test_race_for_half_a_word(device):
    device.launch(one_global_element_written_by_two, 1, 1, np.zeros(4, np.uint16))
    with pytest.raises(EmulationError, match="race"):
        device.launch(half_written_by_two, 1, 64, np.zeros(32, np.uint16))


def test_unwritten_array_is_read(device):
    a = device.empty(256, np.float32)
    with pytest.raises(EmulationError, match="uninitialised"):
        device.launch(write_after_read, 1, 64, a)


def neighbours_write_halves_of_a_word(a):
    i = cuda.threadIdx.x & 63
    a[i] = i


def block_shares_global_memory(a):
    i = cuda.threadIdx.x & 63
    a[i] = i
    cuda.syncthreads()
    x = a[63 - i]
    cuda.syncthreads()
    a[i] = x


def warp_shares_memory(a):
    s, i = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    for _ in range(2):
        s[i] = a[i]
        cuda.syncwarp()
        a[i] = s[i ^ 31]
        cuda.syncwarp()


def warps_share_memory(a):
    s, i = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    s[i] = a[i]
    cuda.syncwarp()
    a[i] = s[i ^ 63]


def test_what_is_no_race(device):
    a = np.zeros(64, np.uint16)
    device.launch(neighbours_write_halves_of_a_word, 1, 64, a)
    assert a.tolist() == list(range(64))
    b = np.zeros(64, np.float32)
    device.launch(block_shares_global_memory, 1, 64, b)
    assert b.tolist() == list(range(63, -1, -1))
    device.launch(warp_shares_memory, 1, 64, b)
    assert b.tolist() == list(range(63, -1, -1))


def test_a_barrier_of_the_warp_orders_no_block(device):
    with pytest.raises(EmulationError, match="race"):
        device.launch(warps_share_memory, 1, 64, ZEROS.copy())
