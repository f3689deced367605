"""How an image is cut for Winograd: into regions of equal tiles, and a region's tiles into tasks."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..compile import jit
from . import simd
from .tile import ROWS, VECTORS
from .transform import TILES

# A strip of rows on their way through the transforms stays in L1.
_STRIP_BYTES = 24 * 1024
# What a task keeps: transformed tiles and products, in most of L2; but where the filters are too many for a shared
# L3 they come from memory for each task anew, and more tiles a task are worth more (512 filters of 512 channels at
# 28 x 28: 5.1 ms against 6.2 with ROWS tiles, two Zen 4 cores).
_TASK_BYTES, _MANY_FILTERS, _LARGE_TASK_BYTES = 768 * 1024, 12 * 2**20, 3 * 2**20
# Fewer tiles than this a thread, and the threads share the filters instead: shorter register tiles are slower.
_MIN_TILES = 8


class Region(NamedTuple):
    """A box of outputs in tiles of one size: its first output, a tile's outputs m and taps r, the tiles, of each axis.

    run: tiles of a row that are transformed together. block: tiles of a task; parts: shares of the filters, each a
    task. panel: where its transformed filters begin, in elements.
    """

    first_d: int
    first_h: int
    first_w: int
    m_d: int
    m_h: int
    m_w: int
    r_d: int
    r_h: int
    r_w: int
    tiles_d: int
    tiles_h: int
    tiles_w: int
    run: int
    block: int
    parts: int
    panel: int = 0


class Segment(NamedTuple):
    """A stretch of one axis: its first output, outputs a tile, tiles."""

    first: int
    m: int
    tiles: int


def segmentations(outputs: int, r: int, tiles: Any) -> list[tuple[Segment, ...]]:
    """The ways to cut an axis: tiles of one size, the last one reaching past the end; or the rest in smaller ones."""
    cuts: list[tuple[Segment, ...]] = []
    for m in tiles.outputs(r):
        full, rest = divmod(outputs, m)
        cuts.append((Segment(0, m, full + (rest > 0)),))
        if rest and full:
            cuts += [
                (Segment(0, m, full), Segment(full * m, small, -(-rest // small)))
                for small in tiles.outputs(r)
                if small < m
            ]
    return cuts


def region(
    box: tuple[Segment, Segment, Segment],
    r: tuple[int, int, int],
    images: int,
    channels: int,
    filters: int,
    item: int,
    threads: int,
    transforms: Any = TILES,
) -> Region:
    """The region of three segments: its tasks sized by caches and threads. item: bytes of an accumulator."""
    first, m, count = zip(*box, strict=True)
    n = [outputs + taps - 1 for outputs, taps in zip(m, r, strict=True)]
    points, tiles = transforms.points(m, r), images * math.prod(count)
    lanes = simd.VECTOR_BYTES // item
    many = points * channels * filters * item > _MANY_FILTERS
    budget = _LARGE_TASK_BYTES if many else _TASK_BYTES
    fitting = budget // (points * (channels + VECTORS * lanes) * item)
    # Two panels of rows share what is read of the filters; a third adds little.
    block = max(2, min(fitting // ROWS * ROWS or ROWS, 2 * ROWS, _LARGE_TASK_BYTES * fitting // budget))
    blocks, parts = -(-tiles // block), 1
    if tiles >= _MIN_TILES * threads:
        blocks = -(-blocks // threads) * threads
    else:
        shares = -(-filters // (VECTORS * lanes))
        parts = max(1, min(shares, -(-threads // max(blocks, 1))))
    block = max(1, -(-tiles // max(blocks, 1)))
    run = max(1, _STRIP_BYTES // (n[0] * n[1] * m[2] * simd.VECTOR_BYTES))
    return Region(*first, *m, *r, *count, run, block, parts)


def whole(outputs: Sequence[int], kernel: Sequence[int], m: int, channels: int, filters: int) -> Region:
    """One image of up to three axes in tiles of m outputs, float32, for one's own use of the kernel."""
    missing = (1,) * (3 - len(kernel))
    r = missing + tuple(kernel)
    sizes = [1 if taps == 1 else m for taps in r]
    box = [Segment(0, size, -(-p // size)) for p, size in zip(missing + tuple(outputs), sizes, strict=True)]
    return region((box[0], box[1], box[2]), (r[0], r[1], r[2]), 1, channels, filters, 4, 1)


def table(regions: Sequence[Region]) -> np.ndarray:
    """Regions as kernels take them: one row each."""
    return np.array(regions, np.intp)


@jit
def row_of(regions: Any, i: int) -> Region:
    """Row i of a table as a Region."""
    return Region(
        regions[i, 0], regions[i, 1], regions[i, 2], regions[i, 3], regions[i, 4], regions[i, 5], regions[i, 6],
        regions[i, 7], regions[i, 8], regions[i, 9], regions[i, 10], regions[i, 11], regions[i, 12], regions[i, 13],
        regions[i, 14], regions[i, 15],
    )  # fmt: skip
