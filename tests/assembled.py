"""Kernels whose machine code is read, for a processor that need not be this one.

As a script it prints what Numba makes of each before LLVM optimises it. Run with NUMBA_OPT=0 and the other processor's
NUMBA_CPU_FEATURES, which convlab's kernels take their widths and choices from; what Numba then compiles never runs.
"""

import json
import sys

from numba import njit, types

from convlab.kernels.compile import OPTIONS
from convlab.kernels.cpu import memory, simd, tile
from convlab.kernels.cpu.simd import vector

ROWS, VECTORS = tile.ROWS, tile.VECTORS
LANES = simd.lanes_of(types.float32)
FLAT, HALVES, NUMBER = types.float32[::1], types.uint16[::1], types.float32
KERNELS = {}


def kernel(*arguments):
    def add(function):
        KERNELS[function.__name__] = (function, arguments)
        return function

    return add


@kernel(FLAT, FLAT, types.intp, NUMBER, FLAT)
def register_tile(a, b, depth, zero, sums):
    """The micro-kernel of every GEMM: sums (ROWS, VECTORS vectors) += aᵀ · b."""
    total = tile.load(tile.zeros(zero, ROWS, VECTORS), sums, 0)
    p, q = memory.address(a), memory.address(b)
    for _ in range(depth):
        total = tile.outer_strided(total, a, p, a.itemsize, b, q)
        p += ROWS * a.itemsize
        q += VECTORS * simd.lanes(zero) * b.itemsize
    tile.store(total, sums, 0)


@kernel(FLAT, FLAT, types.intp, FLAT)
def vector_tile(a, b, depth, sums):
    """The same in vectors: 4 rows of 2."""
    lanes = vector.width(vector.load(b, 0))
    p0 = p1 = q0 = q1 = r0 = r1 = s0 = s1 = vector.broadcast(a[0])
    for d in range(depth):
        left, right = vector.load(b, 2 * d * lanes), vector.load(b, (2 * d + 1) * lanes)
        p0, p1 = vector.fma(a[4 * d], left, p0), vector.fma(a[4 * d], right, p1)
        q0, q1 = vector.fma(a[4 * d + 1], left, q0), vector.fma(a[4 * d + 1], right, q1)
        r0, r1 = vector.fma(a[4 * d + 2], left, r0), vector.fma(a[4 * d + 2], right, r1)
        s0, s1 = vector.fma(a[4 * d + 3], left, s0), vector.fma(a[4 * d + 3], right, s1)
    vector.store_rows((p0, p1, q0, q1, r0, r1, s0, s1), sums, 0, lanes)


@kernel(HALVES, HALVES, NUMBER)
def halves(x, y, factor):
    like = vector.broadcast(factor)
    for i in range(0, len(x), vector.width(like)):
        vector.store(like * vector.load(x, i, like), y, i)


@kernel(FLAT, NUMBER, NUMBER)
def clip(x, low, high):
    for i in range(0, len(x), vector.width(vector.broadcast(low))):
        vector.store(min(max(vector.load(x, i), low), high), x, i)


@kernel(FLAT, FLAT)
def apart(x, y):
    """Every other element into one vector, the rest into another; their neighbours one further on."""
    lanes = vector.width(vector.load(x, 0))
    even, odd = vector.deinterleave((vector.load(x, 0), vector.load(x, lanes)))
    vector.store_rows((even, odd, vector.window(even, odd, 1)), y, 0, lanes)


@kernel(FLAT)
def square(x):
    lanes = simd.lanes(x[0])
    vector.store_rows(vector.transpose(vector.load_rows(x, 0, lanes, LANES)), x, 0, lanes)


if __name__ == "__main__":
    code = {"products": ROWS * VECTORS}  # of a step of register_tile
    for name, (function, arguments) in KERNELS.items():
        compiled = njit(**OPTIONS | {"fastmath": False})(function)  # fused because the code says so
        compiled.compile(arguments)
        code[name] = compiled.inspect_llvm(compiled.signatures[0])
    json.dump(code, sys.stdout)
