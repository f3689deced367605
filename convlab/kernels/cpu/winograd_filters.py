"""Winograd's filters: U = G w Gᵀ along every axis, in the order in which the products read them.

[group][block of filters][point][channel][lane]: a block is VECTORS vectors of filters, the last may be one; the
lanes past the last filter repeat it and are never stored.
"""

from typing import Any

import numpy as np

from ..compile import jit
from . import memory, simd
from .parallel import split
from .read_strip import read_columns
from .regions import Region
from .tile import VECTORS
from .tile_transform import points, transform_filter
from .transform import TILES, ToomCook


@jit
def filter_vectors(filters: int, zero: Any) -> int:
    """Vectors that a group's filters fill."""
    return (filters + simd.lanes(zero) - 1) // simd.lanes(zero)


@jit
def filter_blocks(filters: int, zero: Any) -> int:
    """Blocks of filters of a group."""
    return (filter_vectors(filters, zero) + VECTORS - 1) // VECTORS


@jit
def transform_filters_serial(
    start: int, stop: int, w: Any, group_stride: int, filter_stride: int, channel_stride: int, reverse: bool,
    filters: int, channels: int, region: Any, tiles: Any, zero: Any,
    scratch: Any, panels: Any,
) -> None:  # fmt: skip
    """Blocks start … stop − 1, counted through all groups, of w into panels.

    w: one element, the first; its strides are bytes, taps lie side by side; reverse: taps from last to first, as
    backward_data reads them. region: a Region of their tiles; tiles: the ToomCook. scratch: a row a thread, of
    `filter_scratch` vectors. panels: of the accumulator's type.
    """
    simd.outlined()
    vector, width, item = simd.lanes(zero), simd.VECTOR_BYTES, w.itemsize
    taps, count = region.r_d * region.r_h * region.r_w, points(tiles, region)
    vectors, blocks = filter_vectors(filters, zero), filter_blocks(filters, zero)
    raw = memory.address(scratch)
    line = raw + (taps + vector) * width
    for index in range(start, stop):
        group, block = index // blocks, index % blocks
        wide = min(VECTORS, vectors - block * VECTORS)
        target = memory.address(panels) + (group * vectors + block * VECTORS) * count * channels * width
        point_step = channels * wide * width
        for channel in range(channels):
            for v in range(wide):
                first = (block * VECTORS + v) * vector
                source = memory.address(w) + group * group_stride + channel * channel_stride + first * filter_stride
                read_columns(w, source, item, filter_stride, min(vector, filters - first), taps, raw, zero)
                here, step = raw, width
                if reverse:
                    here, step = raw + (taps - 1) * width, -width
                transform_filter(
                    tiles, region, here, step, line, target + (channel * wide + v) * width, point_step, zero
                )  # fmt: skip


def filter_scratch(region: Region, lanes: int) -> int:
    """Elements that a thread needs to transform filters."""
    n_d, n_h, n_w = (m + r - 1 for m, r in zip(region[3:6], region[6:9], strict=True))
    return (region.r_d * region.r_h * region.r_w + lanes + (region.r_d + n_d) * n_h * n_w) * lanes


@jit
def _share(
    start: int, stop: int, total: int, threads: int, w: Any, group_stride: int, filter_stride: int,
    channel_stride: int, reverse: bool, filters: int, channels: int, region: Any, tiles: Any, zero: Any, scratch: Any,
    panels: Any,
) -> None:  # fmt: skip
    for thread in range(start, stop):
        transform_filters_serial(
            total * thread // threads, total * (thread + 1) // threads, w, group_stride, filter_stride,
            channel_stride, reverse, filters, channels, region, tiles, zero, scratch[thread],
            panels,
        )  # fmt: skip


@jit
def transform_filters(
    w: Any, group_stride: int, filter_stride: int, channel_stride: int, reverse: bool, groups: int, filters: int,
    channels: int, region: Any, tiles: Any, zero: Any, scratch: Any,
    threads: int, panels: Any,
) -> None:  # fmt: skip
    """All blocks of w into panels, split over threads; see transform_filters_serial."""
    total = groups * filter_blocks(filters, zero)
    arguments = (
        total, threads, w, group_stride, filter_stride, channel_stride, reverse, filters, channels, region, tiles, zero,
        scratch, panels,
    )  # fmt: skip
    split(_share, threads, threads, arguments)


def filter_panels(w: np.ndarray, region: Region, tiles: ToomCook = TILES) -> np.ndarray:
    """Weights (K, C, *kernel) of one group, float32 or float64, as `winograd` takes them for a region's tiles."""
    w = np.ascontiguousarray(w)
    filters, channels = w.shape[:2]
    lanes = simd.VECTOR_BYTES // w.itemsize
    points = tiles.points(region[3:6], region[6:9])
    panels = np.empty(-(-filters // lanes) * lanes * points * channels, w.dtype)
    scratch = np.empty((1, filter_scratch(region, lanes)), w.dtype)
    transform_filters(
        w.reshape(-1)[:1], 0, *w.strides[:2], False, 1, filters, channels, region, tiles, w.dtype.type(0), scratch, 1,
        panels,
    )  # fmt: skip
    return panels
