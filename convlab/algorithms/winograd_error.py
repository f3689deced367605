"""How far Winograd's results may be from the exact ones: the same transforms of absolute values, in float64."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..algorithm import ErrorModel
from ..bounds import accumulator, as_channel, through_activation
from ..kernels.transforms import Matrix, toom_cook
from ..problem import ConvProblem
from . import lowering


def model(cut: Any) -> ErrorModel:
    """|err| ≤ γ(C + t)·S_w + u_out·S_w, S_w = |A|ᵀ[Σ_c |G||w| ∘ |B|ᵀ|x|] tile by tile, γ(k) = k·u/(1 − k·u).

    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1: what passes through at most k
    roundings is off by γ(k). A value meets C roundings in the products, and in each transform one for every term of
    its sum, one for a coefficient that is rounded itself, and one where a sum is shared: t of them along all axes.
    """

    def bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
        magnitude = _magnitude(problem, cut, *operands[:2])
        if len(operands) > 2 and operands[2] is not None:
            magnitude = magnitude + as_channel(problem, np.abs(np.asarray(operands[2])).astype(np.float64))
        largest = [max(segment.m for segment in axis) for axis in zip(*cut.boxes, strict=True)]
        growth = math.prod(_growth(toom_cook(m, r).at) for m, r in zip(largest, cut.kernel, strict=True))
        terms = lowering.extent(problem).channels
        return through_activation(problem, _error(problem, largest, cut.kernel, terms, growth, magnitude), magnitude)

    return ErrorModel("normwise", bound)


def gradient_model(region: Any) -> ErrorModel:
    """The same for the gradient of the weights: |err| ≤ γ(T + t)·S_w + u_out·S_w, S_w = |G|ᵀ[Σ |A||dy| ∘ |B|ᵀ|x|] over
    the T tiles of all images."""

    def bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
        m, kernel = region[3:6], region[6:9]
        tiles = problem.batch * math.prod(region[9:12])
        growth = math.prod(_growth(tuple(zip(*toom_cook(a, r).g, strict=True))) for a, r in zip(m, kernel, strict=True))
        magnitude = _gradient_magnitude(problem, region, *operands)
        return _error(problem, m, kernel, tiles, growth, magnitude)

    return ErrorModel("normwise", bound)


def _error(
    problem: ConvProblem, m: Sequence[int], kernel: Sequence[int], products: int, growth: float, magnitude: np.ndarray
) -> np.ndarray:
    """The bound from S_w, the number of products in a sum, and how underflow grows in the last transform."""
    wide, out = np.finfo(accumulator(problem.dtype)), np.finfo(problem.dtype)
    u, n = float(wide.eps) / 2, [a + r - 1 for a, r in zip(m, kernel, strict=True)]
    t = sum(2 * (a + 2) + r + 2 for a, r in zip(n, kernel, strict=True) if r > 1)
    terms = products + t + 1
    gamma = terms * u / (1 - terms * u)
    error = gamma * magnitude + float(out.eps) / 2 * magnitude * (1 + gamma)
    # What underflows in a product or a transform is as large as η.
    error += terms * math.prod(n) * growth * float(wide.smallest_subnormal) + float(out.smallest_subnormal)
    return error


def _absolute(matrix: Matrix) -> np.ndarray:
    return np.abs(np.array(matrix, np.float64))


def _growth(matrix: Matrix) -> float:
    return float(_absolute(matrix).sum(1).max())


def _along(array: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """The last three axes, each multiplied by its matrix."""
    for axis, matrix in zip((-3, -2, -1), matrices, strict=True):
        array = np.moveaxis(np.moveaxis(array, axis, -1) @ matrix.T, -1, axis)
    return array


def _images(problem: ConvProblem, array: Any) -> np.ndarray:
    """|array| as (N, channels, D, H, W) in float64."""
    array = np.abs(np.asarray(array)).astype(np.float64)
    if problem.layout == "channels_last":
        array = np.moveaxis(array, -1, 1)
    return array.reshape(*array.shape[:2], *(1,) * (3 - problem.ndim), *array.shape[2:])


def _padded(problem: ConvProblem, source: Any, taps: Any, reach: int) -> np.ndarray:
    """|source| over the padded axes and `reach` positions more: (N, groups, channels, D, H, W)."""
    work = lowering.extent(problem)
    # A tile may reach past the padded axis; there, and at padding zeros (−1), it reads the zero put behind the last.
    source = np.pad(_images(problem, source), ((0, 0), (0, 0), (0, 1), (0, 1), (0, 1)))
    positions = np.ix_(*[np.append(axis, [-1] * reach) for axis in (taps.planes, taps.lines, taps.points)])
    return source[:, :, *positions].reshape(work.images, work.groups, work.channels, *[p.size for p in positions])


def _windows(array: np.ndarray, first: Sequence[int], size: Sequence[int], step: Any, tiles: Any) -> np.ndarray:
    """Tiles of the last three axes: (…, tiles d h w, positions d h w)."""
    windows: Any = np.lib.stride_tricks.sliding_window_view(array, tuple(size), (-3, -2, -1))
    steps = tuple(slice(f, f + (t - 1) * s + 1, s) for f, s, t in zip(first, step, tiles, strict=True))
    return windows[..., *steps, :, :, :]


def _magnitude(problem: ConvProblem, cut: Any, source: Any, weight: Any) -> np.ndarray:
    """S_w of every result, in the problem's layout."""
    work = lowering.extent(problem)
    (sweep,) = lowering.sweeps(problem)
    taps, missing = sweep.taps, 3 - problem.ndim
    x = _padded(problem, source, taps, max(s.m for box in cut.boxes for s in box))
    weight = np.abs(np.asarray(weight)).astype(np.float64)
    w = weight.reshape(
        work.groups, len(weight) // work.groups, weight.shape[1], *cut.kernel
    )  # (groups, K/groups, C/groups, taps)
    if problem.direction == "backward_data":
        w = w.swapaxes(1, 2)[..., ::-1, ::-1, ::-1]
    y = np.zeros((work.images, work.groups, work.filters, taps.depth, taps.height, taps.width))
    for box in cut.boxes:
        matrices = [toom_cook(s.m, r) for s, r in zip(box, cut.kernel, strict=True)]
        first, m, counts = zip(*box, strict=True)
        n = [a + r - 1 for a, r in zip(m, cut.kernel, strict=True)]
        v = _along(_windows(x, first, n, m, counts), [_absolute(f.bt) for f in matrices])
        u = _along(w, [_absolute(f.g) for f in matrices])
        products = np.einsum("ngcabtijk,gfcijk->ngfabtijk", v, u, optimize=True)
        tiles = _along(products, [_absolute(f.at) for f in matrices])
        # (…, tiles d h w, outputs d h w) → (…, tile d, output d, …)
        tiles = tiles.transpose(0, 1, 2, 3, 6, 4, 7, 5, 8)
        tiles = tiles.reshape(*tiles.shape[:3], *[s.tiles * s.m for s in box])
        inside = tuple(slice(s.first, s.first + s.tiles * s.m) for s in box)
        target = y[:, :, :, *inside]
        target[...] = tiles[:, :, :, *[slice(0, size) for size in target.shape[3:]]]
    y = y.reshape(work.images, work.groups * work.filters, *y.shape[3 + missing :])
    return np.moveaxis(y, 1, -1) if problem.layout == "channels_last" else y


def _gradient_magnitude(problem: ConvProblem, region: Any, source: Any, gradients: Any) -> np.ndarray:
    """S_w of every weight."""
    work = lowering.extent(problem)
    (sweep,) = lowering.sweeps(problem)
    m, kernel, tiles = region[3:6], region[6:9], region[9:12]
    matrices = [toom_cook(a, r) for a, r in zip(m, kernel, strict=True)]
    n = [a + r - 1 for a, r in zip(m, kernel, strict=True)]
    x = _padded(problem, source, sweep.taps, max(m))
    g = _images(problem, gradients)
    g = np.pad(g, ((0, 0), (0, 0), *[(0, t * a - size) for t, a, size in zip(tiles, m, g.shape[2:], strict=True)]))
    g = g.reshape(work.images, work.groups, work.filters, *g.shape[2:])
    v = _along(_windows(x, (0, 0, 0), n, m, tiles), [_absolute(f.bt) for f in matrices])
    w = _along(_windows(g, (0, 0, 0), m, m, tiles), [_absolute(f.at).T for f in matrices])
    products = np.einsum("ngcabtijk,ngfabtijk->gfcijk", v, w, optimize=True)
    return _along(products, [_absolute(f.g).T for f in matrices]).reshape(problem.w_shape)
