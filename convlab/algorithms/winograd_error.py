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
        wide, out = np.finfo(accumulator(problem.dtype)), np.finfo(problem.dtype)
        u, work = float(wide.eps) / 2, lowering.extent(problem)
        largest = [max(segment.m for segment in axis) for axis in zip(*cut.boxes, strict=True)]
        n = [m + r - 1 for m, r in zip(largest, cut.kernel, strict=True)]
        t = sum(2 * (a + 2) + r + 2 for a, r in zip(n, cut.kernel, strict=True) if r > 1)
        terms = work.channels + t + 1
        gamma = terms * u / (1 - terms * u)
        error = gamma * magnitude + float(out.eps) / 2 * magnitude * (1 + gamma)
        # What underflows in a product or a transform is as large as η, and grows on its way through Aᵀ.
        growth = math.prod(_growth(toom_cook(m, r).at) for m, r in zip(largest, cut.kernel, strict=True))
        error += terms * math.prod(n) * growth * float(wide.smallest_subnormal) + float(out.smallest_subnormal)
        return through_activation(problem, error, magnitude)

    return ErrorModel("normwise", bound)


def _absolute(matrix: Matrix) -> np.ndarray:
    return np.abs(np.array(matrix, np.float64))


def _growth(matrix: Matrix) -> float:
    return float(_absolute(matrix).sum(1).max())


def _along(array: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """The last three axes, each multiplied by its matrix."""
    for axis, matrix in zip((-3, -2, -1), matrices, strict=True):
        array = np.moveaxis(np.moveaxis(array, axis, -1) @ matrix.T, -1, axis)
    return array


def _magnitude(problem: ConvProblem, cut: Any, source: Any, weight: Any) -> np.ndarray:
    """S_w of every result, in the problem's layout."""
    work = lowering.extent(problem)
    (sweep,) = lowering.sweeps(problem)
    taps = sweep.taps
    source, weight = (np.abs(np.asarray(a)).astype(np.float64) for a in (source, weight))
    if problem.layout == "channels_last":
        source = np.moveaxis(source, -1, 1)
    missing = 3 - problem.ndim
    source = source.reshape(*source.shape[:2], *(1,) * missing, *source.shape[2:])
    # A tile may reach past the padded axis; there, and at padding zeros (−1), it reads the zero put behind the last.
    source = np.pad(source, ((0, 0), (0, 0), (0, 1), (0, 1), (0, 1)))
    reach = max(s.m for box in cut.boxes for s in box)
    positions = np.ix_(*[np.append(axis, [-1] * reach) for axis in (taps.planes, taps.lines, taps.points)])
    x = source[:, :, *positions].reshape(work.images, work.groups, work.channels, *[p.size for p in positions])
    w = weight.reshape(
        work.groups, len(weight) // work.groups, weight.shape[1], *cut.kernel
    )  # (groups, K/groups, C/groups, taps)
    if problem.direction == "backward_data":
        w = w.swapaxes(1, 2)[..., ::-1, ::-1, ::-1]
    y = np.zeros((work.images, work.groups, work.filters, taps.depth, taps.height, taps.width))
    for box in cut.boxes:
        matrices = [toom_cook(s.m, r) for s, r in zip(box, cut.kernel, strict=True)]
        n = [s.m + r - 1 for s, r in zip(box, cut.kernel, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(x, n, (-3, -2, -1))
        steps = tuple(slice(s.first, s.first + (s.tiles - 1) * s.m + 1, s.m) for s in box)
        v = _along(windows[:, :, :, *steps], [_absolute(f.bt) for f in matrices])
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
