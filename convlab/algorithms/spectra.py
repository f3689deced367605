"""Blocks and their spectra in memory: sizes, FFTW's plans, which elements are read, what it takes."""

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..algorithm import ArraySpec
from ..kernels import pieces
from ..kernels.cpu.extent import Extent
from ..kernels.cpu.fft import Blocks
from ..kernels.cpu.frequencies import FILTERS
from ..kernels.cpu.spectrum import Grid, Reads
from ..problem import ConvProblem
from . import lowering
from .fftw import complex_lines, real_lines
from .overlap import L2, L3, axes, cut

# Rows of points that are transformed together; they stay in L1.
_ROWS = 8
_LINE = 64


class Sizes(NamedTuple):
    """Bytes of a block: see Grid."""

    rows: int
    line: int
    pitch: int
    plane: int
    spectrum: int


def sizes(points: tuple[int, int, int], parts: int, item: int) -> Sizes:
    """How a block of points lies in memory; item: bytes of a part. Rows of spectra are an odd number of cache lines
    apart, so that a column does not meet itself in a set of the cache."""

    def odd(size: int, unit: int = _LINE) -> int:
        return (-(-size // unit) | 1) * unit

    depth, height, width = points
    rows = min(_ROWS, height)
    pitch = odd((width // 2 + 1 if parts == 1 else width) * 2 * item)
    plane = -(-height // rows) * rows * pitch
    return Sizes(rows, -(-width * parts * item // _LINE) * _LINE, pitch, plane, odd(depth * plane, 2 * _LINE))


def grid(points: tuple[int, int, int], parts: int, dtype: np.dtype, measured: bool = False) -> Grid:
    """The Grid of a block with its plans, `measured` or estimated; dtype of a part."""
    depth, height, width = points
    size, item = sizes(points, parts, dtype.itemsize), dtype.itemsize
    number = 2 * item
    if parts == 1:
        rows = real_lines(dtype, width, size.rows, size.line // item, size.pitch // number, measured)
        half = width // 2 + 1
    else:
        rows = complex_lines(dtype, width, size.rows, 1, size.line // number, size.pitch // number, measured)
        half = width
    columns = complex_lines(dtype, height, half, size.pitch // number, 1, measured=measured)
    planes = complex_lines(dtype, depth, size.plane // number, size.plane // number, 1, measured=measured)
    return Grid(
        depth, height, width, *size, rows.forth, rows.back, columns.forth, columns.back, planes.forth, planes.back,
        rows.execute_forth, rows.execute_back, columns.execute_forth,
    )  # fmt: skip


def image_reads(problem: ConvProblem, points: tuple[int, int, int]) -> Reads:
    """How blocks of x (backward_data: of the gradient) are read."""
    d, h, w = (pieces.padded(a.size, a.lo, a.outputs + a.extra, problem.padding_mode) for a in axes(problem))
    return Reads(d, h, w, *points, False)


def kernel_reads(problem: ConvProblem) -> Reads:
    """How the filters are read: turned, and for backward_data from the last tap on."""
    missing = 3 - problem.ndim
    found, lengths = [pieces.taps(1, 1, False)] * missing, [1] * missing
    for r, dilation in zip(problem.kernel, problem.dilation, strict=True):
        found.append(pieces.taps(r, dilation, problem.direction == "backward_data"))
        lengths.append((r - 1) * dilation + 1)
    (d, h, w), (depth, height, width) = found, lengths
    return Reads(d, h, w, depth, height, width, True)


def gradient_reads(blocks: Blocks) -> Reads:
    """How blocks of the output's gradient are read for that of the weights."""
    d, h, w = (pieces.padded(size, 0, size, "zeros") for size in (blocks.out_d, blocks.out_h, blocks.out_w))
    return Reads(d, h, w, blocks.step_d, blocks.step_h, blocks.step_w, True)


def share(problem: ConvProblem, blocks: Blocks, threads: int) -> bool:
    """Whether all threads work at one entry together, since there are few and each has channels or filters enough."""
    work = lowering.extent(problem)
    if threads == 1:
        return False
    if problem.direction == "backward_weights":
        return work.groups < 4 * threads
    entries = work.images * work.groups * math.prod(blocks[:3])
    return entries < 4 * threads and max(work.channels, work.filters // FILTERS) > 1


def wave(problem: ConvProblem, blocks: Blocks, spectrum: int, threads: int) -> int:
    """Entries whose spectra (of so many bytes) are summed at a time: what L2 holds, of threads that work together L3,
    as every time these must wait for each other."""
    work = lowering.extent(problem)
    each = max(work.channels + work.filters, 1)
    room = L3 if share(problem, blocks, threads) else L2
    most = max(room // 2 // (each * spectrum), -(-2 * threads // each))
    return max(1, min(most, work.images * math.prod(blocks[:3])))


@functools.lru_cache(maxsize=128)
def workspace(problem: ConvProblem, threads: int) -> Mapping[str, ArraySpec]:
    """What a call works in."""
    work, dtype, size = _sizes(problem)
    blocks, spectrum = cut(problem)[0].blocks, size.spectrum // dtype.itemsize
    together = share(problem, blocks, threads)

    def spec(count: int, together: bool) -> ArraySpec:
        return ArraySpec((1, count) if together else (count,), dtype, per_thread=not together)

    sums, spectra = min(FILTERS, work.filters), work.channels
    gradient = problem.direction == "backward_weights"
    if gradient:
        sums = work.filters * work.channels
        spectra = (work.channels + work.filters) * wave(problem, blocks, size.spectrum, threads)
    return {
        "scratch": spec(size.rows * size.line // dtype.itemsize, False),
        "sums": spec(sums * spectrum, together and gradient),
        "spectra": spec(spectra * spectrum, together),
    }


@functools.lru_cache(maxsize=128)
def prepared(problem: ConvProblem) -> Mapping[str, ArraySpec]:
    """What a plan keeps."""
    if problem.direction == "backward_weights":
        return {}
    work, dtype, size = _sizes(problem)
    count = work.groups * work.filters * work.channels * size.spectrum // dtype.itemsize
    return {"spectra": ArraySpec((count,), dtype)}


def _sizes(problem: ConvProblem) -> tuple[Extent, np.dtype, Sizes]:
    """The problem's extent, the dtype of real and imaginary parts, and the sizes of its blocks."""
    work, dtype = lowering.extent(problem), np.dtype(type(lowering.example(problem)))
    return work, dtype, sizes(cut(problem)[0].points, work.parts, dtype.itemsize)
