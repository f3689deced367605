"""convlab.kernels.cuda.intrinsics on the emulator: vectors, asynchronous copies, matrix products of a warp."""

import numpy as np
import pytest
from numba import cuda, float32, uint32

from convlab.kernels.cuda.intrinsics import (
    bits_float,
    cp_async16,
    cp_async_commit,
    cp_async_wait0,
    cp_async_wait1,
    float_bits,
    ld1,
    ld4,
    ldmatrix4,
    mma_float16,
    mma_tf32,
    st1,
    st4,
    to_tf32,
)  # fmt: skip

RNG = np.random.default_rng(7)


def reversed_fours(x, y):
    i = cuda.threadIdx.x & 31
    a, b, c, d = ld4(x, i * 4)
    st4(y, i * 4, d, c, b, a)


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.float32, "v4.f32"), (np.int32, "v4.u32"), (np.float64, "v2.f64"), (np.float16, "v4.u16")]
)
def test_vectors(device, dtype, kind):
    x = np.arange(128).astype(dtype)
    y = np.zeros_like(x)
    counters = device.launch(reversed_fours, 1, 32, x, y)
    assert y.tolist() == x.reshape(-1, 4)[:, ::-1].ravel().tolist()
    accesses = {name for name in counters.by_opcode() if name.startswith(("ld.global", "st.global"))}
    assert accesses == {f"ld.global.{kind}", f"st.global.{kind}"}


def shifted(x, y):
    i = cuda.threadIdx.x & 31
    st1(y, i, ld1(x, i + 1))


def test_single_elements(device):
    x = np.arange(33, dtype=np.float32)
    y = np.zeros(32, np.float32)
    device.launch(shifted, 1, 32, x, y)
    assert y.tolist() == list(range(1, 33))


def bits(x, y):
    i = cuda.threadIdx.x & 31
    y[i] = bits_float(float_bits(x[i]) ^ uint32(0x80000000))
    y[i + 32] = bits_float(to_tf32(x[i]))


def test_bits(device):
    x, y = RNG.normal(0, 1, 32).astype(np.float32), np.zeros(64, np.float32)
    device.launch(bits, 1, 32, x, y)
    np.testing.assert_array_equal(y[:32], -x)
    np.testing.assert_allclose(y[32:], x, rtol=2**-11)
    assert not (y[32:].view(np.uint32) & 0x1FFF).any()


def pipelined_sum(x, y, tiles):
    """Two tiles in flight, each added up while the next one is on its way."""
    s = cuda.shared.array(256, float32, 16)
    i = cuda.threadIdx.x & 31
    total = float32(0)
    cp_async16(s, i * 4, x, i * 4)
    cp_async_commit()
    for tile in range(tiles):
        here = (tile & 1) * 128
        if tile + 1 < tiles:
            cp_async16(s, 128 - here + i * 4, x, (tile + 1) * 128 + i * 4)
            cp_async_commit()
            cp_async_wait1()
        else:
            cp_async_wait0()
        cuda.syncthreads()
        for j in range(4):
            total += s[here + 127 - i * 4 - j]
        cuda.syncthreads()
    y[i] = total


def test_asynchronous_copies(device):
    x = RNG.integers(0, 99, 5 * 128).astype(np.float32)
    y = np.zeros(32, np.float32)
    device.launch(pipelined_sum, 1, 32, x, y, 5)
    assert y.tolist() == x.reshape(5, 32, 4).sum(axis=(0, 2))[::-1].tolist()


def product_tf32(a, b, c):
    """C (16 x 8) += A (16 x 8) · B (8 x 8), the fragments of mma.m16n8k8."""
    lane = cuda.threadIdx.x & 31
    g, t = lane >> 2, lane & 3
    fa = (to_tf32(a[g, t]), to_tf32(a[g + 8, t]), to_tf32(a[g, t + 4]), to_tf32(a[g + 8, t + 4]))
    fb = (to_tf32(b[t, g]), to_tf32(b[t + 4, g]))
    fc = (c[g, 2 * t], c[g, 2 * t + 1], c[g + 8, 2 * t], c[g + 8, 2 * t + 1])
    d = mma_tf32(fa, fb, fc)
    c[g, 2 * t] = d[0]
    c[g, 2 * t + 1] = d[1]
    c[g + 8, 2 * t] = d[2]
    c[g + 8, 2 * t + 1] = d[3]


def test_product_of_tf32(device):
    a, b, c = (RNG.integers(-9, 9, shape).astype(np.float32) for shape in ((16, 8), (8, 8), (16, 8)))
    expected = a @ b + c
    device.launch(product_tf32, 1, 32, a, b, c)
    np.testing.assert_array_equal(c, expected)


def product_float16(a, b, c):
    """C (16 x 8) = A (16 x 16) · B (16 x 8): A by ldmatrix from shared memory; B transposed, pairs of float16."""
    s = cuda.shared.array(128, uint32, 16)
    lane = cuda.threadIdx.x & 31
    g, t = lane >> 2, lane & 3
    for j in range(4):
        s[lane * 4 + j] = a[lane * 4 + j]
    cuda.syncthreads()
    # Matrix j of ldmatrix: rows 8·(j % 2) on, words 4·(j // 2) on, of rows of 8 words.
    j, row = lane >> 3, lane & 7
    fa = ldmatrix4(s, (row + 8 * (j & 1)) * 8 + 4 * (j >> 1))
    fb = (b[g * 8 + t], b[g * 8 + t + 4])
    d = mma_float16(fa, fb, (float32(0), float32(0), float32(0), float32(0)))
    c[g, 2 * t] = d[0]
    c[g, 2 * t + 1] = d[1]
    c[g + 8, 2 * t] = d[2]
    c[g + 8, 2 * t + 1] = d[3]


def test_product_of_float16(device):
    a, b = (RNG.integers(-9, 9, shape).astype(np.float16) for shape in ((16, 16), (16, 8)))
    c = np.zeros((16, 8), np.float32)
    device.launch(
        product_float16, 1, 32, a.ravel().view(np.uint32), np.ascontiguousarray(b.T).ravel().view(np.uint32), c
    )
    np.testing.assert_array_equal(c, a.astype(np.float32) @ b.astype(np.float32))
