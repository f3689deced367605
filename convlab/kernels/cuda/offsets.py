"""Where every output reads, as a table of offsets made once a call: what a kernel that goes over outputs needs.

For every tap a row, of an entry an output of one image: the element of a channel of the image that the output reads at
that tap, or −1 for a padding zero. Behind them a row of where the outputs themselves lie in their array. So a kernel
that takes outputs in turn looks up one number for each, in place of one an axis. (The "precomputed" implicit GEMM of
cuDNN: Chetlur et al., 2014, section 3, on the cost of that index arithmetic.)
"""

import functools
from typing import Any

import numpy as np
from numba import cuda, int32

from .compile import inlined, jit, launch
from .geometry import entry
from .intrinsics import st1
from .memory import quotient

_THREADS = 256


def size(taps: int, outputs: int) -> int:
    """Entries of a table: int32."""
    return (taps + 1) * outputs


@functools.cache
def pairs_of(last: bool) -> Any:
    """The device function that gives (channel, tap) of a pair of them; last: of channels that lie together in memory.

    What lies together there is counted first.
    """

    @inlined
    def parted(pair: Any, channels: Any, taps: Any) -> Any:
        if last:
            tap, channel = quotient(pair, channels)
        else:
            channel, tap = quotient(pair, taps)
        return channel, tap

    return parted


@functools.cache
def kernel() -> Any:
    """The kernel: a thread an entry."""

    @jit(_THREADS)
    def offsets(
        table: Any, found: Any, count: Any, x_plane: Any, x_row: Any, x_column: Any, g_plane: Any, g_row: Any,
        g_column: Any, i_taps: Any, j_taps: Any, k_taps: Any, planes: Any, lines: Any, plane_step: Any,
        line_step: Any, point_step: Any, depth: Any, height: Any, width: Any,
    ) -> None:  # fmt: skip
        at = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
        if at < count:
            rest, column = quotient(at, width)
            rest, row = quotient(rest, height)
            tap, plane = quotient(rest, depth)
            if tap == i_taps * j_taps * k_taps:
                st1(found, at, int32(plane * g_plane + row * g_row + column * g_column))
            else:
                rest, k = quotient(tap, k_taps)
                i, j = quotient(rest, j_taps)
                j_at, k_at = i_taps, i_taps + j_taps
                planes_at = k_at + k_taps
                a = entry(table, planes_at + plane * plane_step + entry(table, i))
                b = entry(table, planes_at + planes + row * line_step + entry(table, j_at + j))
                c = entry(table, planes_at + planes + lines + column * point_step + entry(table, k_at + k))
                place = int32(a * x_plane + b * x_row + c * x_column)
                st1(found, at, int32(-1) if int32(a | b | c) < 0 else place)

    return offsets


def offsets(x: Any, g: Any, taps: Any, found: Any, stream: Any = 0) -> None:
    """Write the table.

    x, g: Tensors of device arrays (cuda.tensor), what outputs read and an array of outputs. taps: Tables
    (cuda.geometry). found: int32 on the device, of `size` entries.
    """
    item, count = x.data.dtype.itemsize, size(taps.taps, taps.outputs)
    steps = [n // item for n in (x.plane, x.row, x.column, g.plane, g.row, g.column)]
    reach = [(n - 1) * step for n, step in zip((taps.depth, taps.height, taps.width), steps[3:], strict=True)]
    if sum(reach) >= 1 << 31:
        raise ValueError("a channel of an image must lie within 2³¹ elements")
    if count:
        numbers = (np.int32(n) for n in (count, *steps))
        arguments = (taps.table, found, *numbers, *taps.numbers)
        launch(kernel(), -(-count // _THREADS), _THREADS, arguments, stream)
