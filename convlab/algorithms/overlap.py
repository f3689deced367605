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
from ..nominal import BANDWIDTH, from_memory, nominal_flops
from ..problem import ConvProblem
from . import lowering

# What FFTW's estimated plans do well (pyFFTW 0.15's build, Zen 4): below 288 points these, and what their lines cost
# against others; from there on some numbers times powers of two (not 15: 480 takes half as long again). Most sizes
# between take longer than the next of these.
_SMALL = {
    2: 1.7, 4: 1.7, 6: 1.6, 8: 1.6, 10: 1.6, 12: 1.5, 14: 1.6, 16: 1.1, 20: 1.3, 32: 1, 36: 2.3, 48: 1.8, 64: 1.1,
    80: 1.1, 120: 1.1, 128: 1.1, 144: 1,
    160: 1, 192: 1, 200: 1, 240: 1, 256: 1,
}  # fmt: skip
_ODD, _LARGER = (1, 3, 5, 9, 25), 288
# The longest blocks that are tried besides a whole axis, in one, two and three dimensions.
_LONGEST = (2**18, 1024, 160)
# Fractions of the FMA peak that FFTW reaches: with the spectra of a channel, a filter and a sum in L2, with one of them
# there, with all in L3, and beyond.
_IN_L2, _ONE_IN_L2, _IN_L3, _BEYOND = 0.17, 0.155, 0.13, 0.08
# What is left of that where the spectrum of a row takes more than so many bytes (rows of 1024 to 131072 points of three
# dtypes: 20 operations a nanosecond in L1, 8 to 16 beyond L2).
_LONG_ROWS = ((2**15, 0.85), (2**16, 0.75), (2**17, 0.65))
# Bytes of these caches: of one core, and of all (of large ones a part).
L2, L3 = 2**20, 2**24
# The same of the products, where spectra are at hand. What comes from memory of the filters' comes in pieces of two
# vectors: slower than one stream by the factor _PIECES (bench/crossover.py).
_PRODUCTS, _PIECES = 0.35, 1.2
# Operations of the peak that could be done while a row of a block is collected and written.
_ROW = 3000


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
def _good(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Good sizes up to one that is not below `longest`, and what their lines cost against others."""
    powers = 2 ** np.arange(4, math.ceil(math.log2(max(longest, 16))) + 1)
    large = np.unique(np.outer(_ODD, powers))
    large = large[large >= _LARGER]
    return np.append(list(_SMALL), large), np.append(list(_SMALL.values()), np.ones(len(large)))


def _candidates(axis: _Axis, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes to be tried along an axis, and what their lines cost."""
    if axis.whole == 1:
        return np.ones(1, int), np.ones(1)
    good, prices = _good(axis.whole)
    one = np.searchsorted(good, axis.whole)
    several = (good > axis.extra * 5 // 4) & (good >= 32) & (good <= _LONGEST[ndim - 1])
    several = several[: one + 1]
    several[one] = True
    return good[: one + 1][several], prices[: one + 1][several]


class _Priced(NamedTuple):
    """Operations of all transforms and products, bytes of filters' spectra from memory, rows collected and written, and
    the fraction of the FMA peak that transforms reach: arrays over all choices of blocks."""

    transforms: Any
    products: Any
    filters: Any
    rows: Any
    efficiency: Any

    def seconds(self, operation: float, byte: float) -> Any:
        """What `Cost` makes of the stages, given the seconds of an operation and of a byte."""
        arithmetic = self.transforms / self.efficiency + self.rows * _ROW
        return arithmetic * operation + np.maximum(self.products / _PRODUCTS * operation, self.filters * byte)


def _price(problem: ConvProblem, three: list[_Axis], points: Any, prices: Any) -> _Priced:
    """points, prices: of each axis, the size of blocks and what lines cost, an array of all choices."""
    work, item = lowering.extent(problem), lowering.example(problem).itemsize
    blocks: Any = 1
    for axis, size in zip(three, points, strict=True):
        blocks = blocks * np.where(size >= axis.whole, 1, -(-axis.outputs // np.maximum(size - axis.extra, 1)))
    entries = blocks * work.images * work.groups
    transforms, pairs = entries * (work.channels + work.filters), work.channels * work.filters
    if problem.direction == "backward_weights":
        transforms = transforms + work.groups * pairs
    d, h, w = points
    lines = sum(price * np.log2(size) for price, size in zip(prices, points, strict=True))
    row = (w // 2 + 1 if work.parts == 1 else w) * 2 * item
    spectrum = d * h * row
    filters = _PIECES * entries / max(work.groups, 1) * from_memory(work.groups * pairs * spectrum)
    tiers = [3 * spectrum <= L2, spectrum <= L2, spectrum <= L3 // 4]
    efficiency = np.select(tiers, [_IN_L2, _ONE_IN_L2, _IN_L3], _BEYOND)
    efficiency *= np.select([row > size for size, _ in _LONG_ROWS[::-1]], [left for _, left in _LONG_ROWS[::-1]], 1.0)
    return _Priced(
        transforms * 2.5 * work.parts * d * h * w * lines, entries * spectrum // item * 4 * pairs, filters,
        transforms * d * h, efficiency,
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def cut(problem: ConvProblem) -> tuple[Cut, Cost]:
    """The cheapest cut, and what it costs. It does not look at the threads."""
    three = axes(problem)
    options = [_candidates(axis, problem.ndim) for axis in three]
    points, prices = ([a.ravel() for a in np.meshgrid(*of, indexing="ij")] for of in zip(*options, strict=True))
    priced = _price(problem, three, points, prices)
    best = int(np.argmin(priced.seconds(1 / nominal_flops(problem.dtype), 1 / BANDWIDTH)))
    chosen = int(points[0][best]), int(points[1][best]), int(points[2][best])
    counts, steps = [], []
    for axis, size in zip(three, chosen, strict=True):
        steps.append(axis.outputs if size >= axis.whole else size - axis.extra)
        counts.append(-(-axis.outputs // steps[-1]))
    one = steps
    if problem.direction == "backward_weights":  # blocks are of gradients, and every one adds to all taps
        one = [1] * (3 - problem.ndim) + list(problem.kernel)
    blocks = Blocks(*counts, *steps, *(axis.outputs for axis in three), *one)
    transforms, products, filters, rows, efficiency = (float(part[best]) for part in priced)
    image = problem.min_bytes - math.prod(problem.w_shape) * problem.dtype.itemsize
    cost = Cost(
        (
            Stage("image", rows * _ROW, image),
            Stage("transforms", transforms, 0, efficiency),
            Stage("products", products, filters, _PRODUCTS),
        )
    )
    return Cut(blocks, chosen), cost
