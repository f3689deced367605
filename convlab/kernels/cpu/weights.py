"""Weights in panels: the order in which kernels read them.

A group's lanes (its out-channels; complex ones as two real lanes) are cut into blocks; a block is stored as
[tap][part][channel][lane], so that a kernel reads one vector row after the other. The blocks fill the panel
without gaps: it is a permutation of the weights (complex: twice as large), plus one vector of slack,
since the last row of a narrow block is read as whole vectors, whose surplus lanes are never stored.
"""

import math
from typing import Any

import numpy as np

from ..compile import jit
from . import simd
from .parallel import split
from .tensor import parts, storage, zero
from .tile import ROWS, VECTORS


@jit
def block(index: int, lanes: int, wide: int, narrow: int) -> tuple[int, int]:
    """First lane and number of lanes of a block: as many wide ones as fit, then narrow ones, the last the rest."""
    full = lanes // wide
    if index < full:
        return index * wide, wide
    first = full * wide + (index - full) * narrow
    return first, min(narrow, lanes - first)


@jit
def blocks(lanes: int, wide: int, narrow: int) -> int:
    """Number of blocks that `lanes` are cut into."""
    full = lanes // wide
    return full + (lanes - full * wide + narrow - 1) // narrow


@jit
def pack_serial(
    start: int, stop: int, w: Any, groups: int, lanes: int, channels: int, parts: int,
    group_stride: int, lane_stride: int, channel_stride: int, taps: Any, wide: int, narrow: int, panels: Any,
) -> None:  # fmt: skip
    """Blocks start … stop − 1 (counted through all groups) of w, in storage order, into panels.

    w is flat; strides and taps (the offset of each tap) count elements of the problem's dtype.
    """
    per_group = blocks(lanes * parts, wide, narrow)
    depth = len(taps) * parts * channels
    for index in range(start, stop):
        group, inside = index // per_group, index % per_group
        first, count = block(inside, lanes * parts, wide, narrow)
        target = (group * lanes * parts + first) * depth
        for tap in taps:
            for part in range(parts):
                for channel in range(channels):
                    source = group * group_stride + channel * channel_stride + tap
                    for lane in range(first, first + count):
                        element = (source + lane // parts * lane_stride) * parts
                        # y.re = x.re·w.re − x.im·w.im, y.im = x.re·w.im + x.im·w.re
                        value = w[element + (part ^ (lane % parts))]
                        panels[target] = -value if part > lane % parts else value
                        target += 1


@jit
def pack(
    w: Any, groups: int, lanes: int, channels: int, parts: int,
    group_stride: int, lane_stride: int, channel_stride: int, taps: Any, wide: int, narrow: int,
    threads: int, panels: Any,
) -> None:  # fmt: skip
    """All blocks of w into panels; see pack_serial."""
    total = groups * blocks(lanes * parts, wide, narrow)
    arguments = (
        w, groups, lanes, channels, parts, group_stride, lane_stride, channel_stride, taps, wide, narrow, panels,
    )  # fmt: skip
    split(pack_serial, total, threads, arguments)


def empty_panels(lanes: int, depth: int, dtype: np.dtype) -> np.ndarray:
    """Room for all panels of `lanes` × `depth` weights of a dtype, and the slack that the last tile reads into."""
    slack = max(VECTORS * simd.VECTOR_BYTES, ROWS * 8)
    return storage(np.zeros(lanes * depth * parts(dtype) + math.ceil(slack / dtype.itemsize), dtype))


def vector_panels(w: np.ndarray) -> np.ndarray:
    """Weights (K, C, *kernel) of one group as `direct` takes them: in blocks of VECTORS vectors and of one."""
    width = simd.VECTOR_BYTES // zero(w.dtype).itemsize
    return _panels(w, VECTORS * width, width)


def row_panels(w: np.ndarray) -> np.ndarray:
    """Weights (K, C, *kernel) of one group as products take them whose vectors hold outputs: in blocks of ROWS."""
    return _panels(w, ROWS, ROWS)


def _panels(w: np.ndarray, wide: int, narrow: int) -> np.ndarray:
    filters, channels, *kernel = w.shape
    taps = math.prod(kernel)
    panels = empty_panels(filters, channels * taps, w.dtype)
    flat = storage(np.ascontiguousarray(w).reshape(-1))
    pack(
        flat, 1, filters, channels, parts(w.dtype), 0, channels * taps, taps, np.arange(taps), wide, narrow, 1, panels,
    )  # fmt: skip
    return panels
