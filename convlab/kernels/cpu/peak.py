"""The FMA peak of this machine now: independent multiply-adds in registers, nothing else."""

import time
from typing import Any

import numpy as np
from numba.extending import intrinsic

from ..compile import jit
from . import memory, simd, tile
from .parallel import split
from .tile import ROWS, TILE, VECTORS

_STEPS = 100_000


@intrinsic
def _step(typingctx: Any, total: Any, factor: Any) -> Any:
    """Every accumulator times a factor, plus it: as many independent chains as a tile has vectors."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, vector = args[0], simd.broadcast(builder, args[1], total.lanes)
        for at in range(total.rows * total.vectors):
            result = simd.multiply_add(builder, builder.extract_value(value, at), vector, vector)
            value = builder.insert_value(value, result, at)
        return value

    return total(total, factor), codegen


@jit
def spin_serial(start: int, stop: int, steps: int, factor: Any, zero: Any, sums: Any) -> None:
    """`steps` multiply-adds of every accumulator of a tile, for each of tasks start … stop − 1."""
    buffer = memory.stack_vectors(zero, TILE)
    for i in range(len(buffer)):  # all different, or one chain would serve for all
        buffer[i] = i
    for task in range(start, stop):
        total = tile.load(tile.zeros(zero, ROWS, VECTORS), buffer, 0)
        for _ in range(steps):
            total = _step(total, factor)
        tile.store(total, buffer, 0)
        for i in range(len(buffer)):  # all of them used, or those that are not would never run
            sums[task] += buffer[i]


@jit
def spin(steps: int, factor: Any, zero: Any, threads: int, sums: Any) -> None:
    """One task a thread; sums (threads,) receives a result, so that the work is not dropped."""
    split(spin_serial, threads, threads, (steps, factor, zero, sums))


def fma_peak(threads: int, dtype: np.dtype) -> float:
    """Operations a second (two a multiply-add) on `threads` threads, in float32 or float64; takes some 5 ms."""
    scalar = np.dtype(dtype).type
    sums = np.zeros(threads, dtype)
    spin(1, scalar(0.5), scalar(0), threads, sums)
    start = time.perf_counter()
    spin(_STEPS, scalar(0.5), scalar(0), threads, sums)
    seconds = time.perf_counter() - start
    return 2.0 * threads * _STEPS * TILE * (simd.VECTOR_BYTES // np.dtype(dtype).itemsize) / seconds
