"""Overlap-save: how the outputs of a convolution are cut into blocks of sizes that Fourier transforms like.

A block of L points along an axis gives L − (R − 1) outputs. Blocks that stay in the caches, and are a few times larger
than the kernel, cost the least; an image that is not larger than such a block is one. There, zeros of the padding at
one end serve the other end as well: the axis is a circle.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import Cost, Stage
from ..kernels import pieces
from ..kernels.cpu.fft import Blocks
from ..kernels.cpu.frequencies import FILTERS
from ..kernels.cpu.spectrum import Grid, Reads
from ..problem import ConvProblem
from . import lowering
from .fftw import complex_lines, real_lines

# Sizes are these times a power of two: what FFTW's estimated plans do well (pyFFTW 0.15's build, Zen 4). Three times
# one takes twice as long below 192.
_ODD = (1, 5, 9, 15, 25)
_THREE = 192
# Rows of points that are transformed together; they stay in L1.
_ROWS = 8
# The longest blocks that are tried besides a whole axis, in one, two and three dimensions.
_LONGEST = (2**18, 1024, 160)
# Fractions of the FMA peak, of FFTW with a block in L2 and beyond, and of the products.
_TRANSFORM, _LARGE, _PRODUCTS = 0.17, 0.09, 0.35
_L2, _L3 = 2**20, 2**24
# Operations of the peak that could be done while a row of a block is collected and written.
_ROW = 2000
_LINE = 64


class Cut(NamedTuple):
    """Blocks along three axes, and the points of one."""

    blocks: Blocks
    points: tuple[int, int, int]


class _Axis(NamedTuple):
    """Along an axis: outputs (backward_weights: gradients), taps' extent less one, padding, elements, shared zeros."""

    outputs: int
    extra: int
    lo: int
    size: int
    shared: int

    @property
    def whole(self) -> int:
        """Points of a single block."""
        return max(self.outputs + self.extra - self.shared, self.outputs, self.extra + 1)


def axes(problem: ConvProblem) -> list[_Axis]:
    """The three axes of what is read: x, or for backward_data the gradient."""
    found = [_Axis(1, 0, 0, 1, 0)] * (3 - problem.ndim)
    for axis in range(problem.ndim):
        size, count, lo = problem.in_size[axis], problem.out_size[axis], problem.padding[axis][0]
        extra = (problem.kernel[axis] - 1) * problem.dilation[axis]
        if problem.direction == "backward_data":
            size, count, lo = count, size, extra - lo
        shared = pieces.shared_zeros(size, lo, count + extra, problem.padding_mode)
        found.append(_Axis(count, extra, lo, size, shared))
    return found


@functools.cache
def _sizes(longest: int) -> np.ndarray:
    """Good sizes up to one that is not below `longest`."""
    powers = 2 ** np.arange(math.ceil(math.log2(max(longest, 2))) + 1)
    sizes = np.unique(np.outer((*_ODD, 3), powers))
    odd = sizes // (sizes & -sizes)
    return sizes[((odd == 1) | (sizes % 4 == 0)) & ((odd != 3) | (sizes >= _THREE) | (sizes < 16))]


def _candidates(axis: _Axis, ndim: int) -> np.ndarray:
    sizes = _sizes(axis.whole)
    one = sizes[np.searchsorted(sizes, axis.whole)]
    several = sizes[(sizes > axis.extra * 5 // 4) & (sizes >= 32) & (sizes < min(one, _LONGEST[ndim - 1] + 1))]
    return np.append(several, one)


class _Priced(NamedTuple):
    """Operations of transforms and products, and those that stand for the rows' copies; the fraction of the peak of
    the first; arrays over all choices, or numbers."""

    transforms: Any
    efficiency: Any
    products: Any
    rows: Any


def _price(problem: ConvProblem, three: list[_Axis], points: tuple[Any, Any, Any]) -> _Priced:
    work, d, h, w = lowering.extent(problem), *points
    blocks: Any = 1
    for axis, size in zip(three, points, strict=True):
        blocks = blocks * np.where(size >= axis.whole, 1, -(-axis.outputs // np.maximum(size - axis.extra, 1)))
    n = d * h * w
    entries = blocks * work.images * work.groups
    if problem.direction == "backward_weights":
        forth, back = entries * (work.channels + work.filters), work.groups * work.channels * work.filters
    else:
        forth, back = entries * work.channels, entries * work.filters
    one = 2.5 * work.parts * n * np.log2(np.maximum(n, 2))
    spectrum = d * h * (w // 2 + 1 if work.parts == 1 else w)
    size = 2 * n * work.parts * lowering.example(problem).itemsize
    products = entries * spectrum * 8 * work.channels * work.filters
    return _Priced((forth + back) * one, np.where(size <= _L2, _TRANSFORM, _LARGE), products, (forth + back) * d * h)


@functools.lru_cache(maxsize=256)
def cut(problem: ConvProblem) -> tuple[Cut, Cost]:
    """The cheapest cut, and what it costs. It does not look at the threads."""
    three = axes(problem)
    choices = np.meshgrid(*(_candidates(axis, problem.ndim) for axis in three), indexing="ij")
    d, h, w = (choice.reshape(-1) for choice in choices)
    priced = _price(problem, three, (d, h, w))
    seconds = priced.transforms / priced.efficiency + priced.products / _PRODUCTS + priced.rows * _ROW
    best = int(np.argmin(seconds))
    points = int(d[best]), int(h[best]), int(w[best])
    counts, steps = [], []
    for axis, size in zip(three, points, strict=True):
        steps.append(axis.outputs if size >= axis.whole else size - axis.extra)
        counts.append(-(-axis.outputs // steps[-1]))
    one = steps
    if problem.direction == "backward_weights":  # blocks are of gradients, and every one adds to all taps
        one = [1] * (3 - problem.ndim) + list(problem.kernel)
    blocks = Blocks(*counts, *steps, *(axis.outputs for axis in three), *one)
    transforms, efficiency, products, rows = (float(np.ravel(part)[best]) for part in priced)
    cost = Cost(
        (
            Stage("image", rows * _ROW, problem.min_bytes),
            Stage("transforms", transforms, 0, efficiency),
            Stage("products", products, 0, _PRODUCTS),
        )
    )
    return Cut(blocks, points), cost


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


def grid(points: tuple[int, int, int], parts: int, dtype: np.dtype) -> Grid:
    """The Grid of a block with its plans; dtype of a part."""
    depth, height, width = points
    size, item = sizes(points, parts, dtype.itemsize), dtype.itemsize
    number = 2 * item
    if parts == 1:
        rows = real_lines(dtype, width, size.rows, size.line // item, size.pitch // number)
        half = width // 2 + 1
    else:
        rows = complex_lines(dtype, width, size.rows, 1, size.line // number, size.pitch // number)
        half = width
    columns = complex_lines(dtype, height, half, size.pitch // number, 1)
    planes = complex_lines(dtype, depth, size.plane // number, size.plane // number, 1)
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
    found, lengths = [pieces.listed([0], [0])] * missing, [1] * missing
    for r, dilation in zip(problem.kernel, problem.dilation, strict=True):
        taps = range(r) if problem.direction == "forward" else range(r - 1, -1, -1)
        found.append(pieces.listed([i * dilation for i in range(r)], taps))
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
    room = _L3 if share(problem, blocks, threads) else _L2
    most = max(room // 2 // (each * spectrum), -(-2 * threads // each))
    return max(1, min(most, work.images * math.prod(blocks[:3])))
