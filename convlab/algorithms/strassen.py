"""strassen: a convolution as a product of matrices that takes 7 products of blocks where others take 8."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import as_channel, through_activation
from ..kernels.bilinear import SCHEMES, Scheme
from ..nominal import BANDWIDTH, nominal_flops
from ..problem import ConvProblem

# The fraction of the FMA peak that products of blocks reach, and elements of blocks added to a sum, or to a result, a
# flop of the peak. Fitted to square matrices of 1024 to 4096 on one thread of Zen 4, one level and two (bench/gemm.py).
_PRODUCT, _SUMS = 0.94, 0.018
# Patches written a flop of the peak.
_UNFOLDED = 0.02


class Strassen(Algorithm):
    """Weights × image, or × patches that are written out first where the kernel is larger than 1, image by image and
    group by group, by the scheme of kernels.bilinear that is estimated to be the fastest.

    Its error mixes filters and channels: a filter of zeros among others gives results of the size of rounding errors.
    So it keeps no bound that is proportional to each filter's norm, as accuracy="normwise" promises, and "auto" takes
    it for accuracy="reduced" only. A value that is not finite spreads over its image.
    """

    name, backend = "strassen", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind; im2col does it"
        if problem.dtype not in (np.float32, np.float64):
            return f"partial sums pass through the result, which is {problem.dtype}; it is for float32 and float64"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        return _cost(problem, _scheme(problem.without_epilogue()))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.strassen import workspace

        scheme, products = _scheme(problem.without_epilogue()), _products(problem)
        sizes = [workspace(scheme, p.rows, p.columns, p.depth, problem.dtype.itemsize) for p in products]
        specs = {
            "sums": ArraySpec((max(size for size, _ in sizes),), problem.dtype),
            "packed": ArraySpec((sizes[0][1],), problem.dtype, per_thread=True),
        }
        if not _in_place(problem):
            specs["patches"] = ArraySpec((max(p.depth * p.columns for p in products),), problem.dtype)
        if len(products) > 1:  # a phase of the stride is no matrix in memory
            specs["result"] = ArraySpec((max(p.rows * p.columns for p in products),), problem.dtype)
        return specs

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return ErrorModel("reduced", _bound)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.sums import terms
        from . import lowering

        work = lowering.extent(problem)
        filters, channels = problem.out_channels // problem.groups, problem.in_channels // problem.groups
        taps = np.asarray(weight).reshape(problem.groups, filters, channels, math.prod(problem.kernel))
        if problem.direction == "backward_data":
            taps = taps.swapaxes(1, 2)
        passes = []
        for sweep in lowering.sweeps(problem):
            chosen = taps[..., sweep.weights]
            depth = work.channels * len(sweep.weights)
            passes.append((sweep, np.ascontiguousarray(chosen.reshape(work.groups, work.filters, depth))))
        return terms(_scheme(problem.without_epilogue()), problem.dtype), passes

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.matrix import matrix
        from ..kernels.cpu.strassen import strassen
        from ..kernels.cpu.tensor import tensor
        from ..kernels.cpu.unfold import unfold
        from . import lowering
        from .launch import launch

        source, bias = operands
        work, zero, (tables, passes) = lowering.extent(problem), lowering.example(problem), state
        values, code = lowering.epilogue(problem, bias)
        for sweep, weights in passes:
            target = lowering.part_of(sweep, out, problem)
            for image, group in itertools.product(range(work.images), range(work.groups)):
                x = _group(problem, source, image, group, work.channels)
                y = _group(problem, target, image, group, work.filters)
                if _in_place(problem):
                    patches = _as_matrix(x)
                else:
                    shape = weights.shape[2], math.prod(y.shape[1:])
                    patches = workspace["patches"][: math.prod(shape)]
                    launch(unfold, tensor(x[None]), 1, work.channels, 1, sweep.taps, patches, threads=ctx.threads)
                    patches = patches.reshape(shape)
                result = _result(y, _upright(problem), workspace.get("result"))
                of_group = values[group * work.filters :][: work.filters]
                launch(
                    strassen, matrix(weights[group]), matrix(patches), *tables, of_group, code, False, zero,
                    workspace["sums"], workspace["packed"], matrix(result), threads=ctx.threads,
                )  # fmt: skip
                if not np.shares_memory(result, y):
                    y[...] = result.reshape(y.shape)


class _Product(NamedTuple):
    """Rows (filters), steps and columns (outputs) of the product of one image and group."""

    rows: int
    depth: int
    columns: int


def _products(problem: ConvProblem) -> list[_Product]:
    """One a sweep."""
    from . import lowering

    work = lowering.extent(problem)
    return [
        _Product(
            work.filters,
            work.channels * len(sweep.weights),
            sweep.taps.depth * sweep.taps.height * sweep.taps.width,
        )
        for sweep in lowering.sweeps(problem)
    ]


def _in_place(problem: ConvProblem) -> bool:
    """Whether the image itself is the matrix."""
    ones = (1,) * problem.ndim
    return problem.kernel == problem.stride == ones and problem.padding == ((0, 0),) * problem.ndim


@functools.lru_cache(maxsize=256)
def _scheme(problem: ConvProblem) -> Scheme:
    """The scheme that is estimated to be the fastest."""
    peak = nominal_flops(problem.dtype)
    return min(SCHEMES.values(), key=lambda scheme: _cost(problem, scheme).seconds(peak, BANDWIDTH))


def _cost(problem: ConvProblem, scheme: Scheme) -> Cost:
    from ..kernels.cpu.strassen import block_size
    from . import lowering

    size, (rows, depth, columns, products) = block_size.py_func, scheme
    lanes = lowering.lanes(problem)
    upright = _upright(problem)
    left, right, into = (sum(len(product[i]) for product in products) for i in range(3))
    work, flops, added, unfolded = lowering.extent(problem), 0, 0, 0
    for product in _products(problem):
        m = size(product.rows, rows, 2 if upright else lanes)
        n = size(product.columns, columns, lanes if upright else 2)
        k = size(product.depth, depth, 1)
        flops += 2 * m * k * n * len(products)
        added += left * m * k + right * k * n + into * m * n
        unfolded += 0 if _in_place(problem) else product.depth * product.columns
    times = work.images * work.groups
    stages = [
        Stage("products", flops * times, problem.min_bytes, _PRODUCT),
        Stage("sums", added * times, 0, _SUMS),
    ]
    if unfolded:
        stages.insert(0, Stage("patches", unfolded * times, 0, _UNFOLDED))
    return Cost(tuple(stages))


def _group(problem: ConvProblem, array: np.ndarray, image: int, group: int, channels: int) -> np.ndarray:
    """The channels of one group of one image, channels first."""
    one = np.moveaxis(array[image], -1, 0) if problem.layout == "channels_last" else array[image]
    return one[group * channels : (group + 1) * channels]


def _upright(problem: ConvProblem) -> bool:
    """Whether vectors hold pixels, and not filters. It is the layout that says so, so that bits do not depend on how
    the arrays of a call lie."""
    from . import lowering

    return problem.layout == "channels_first" or lowering.extent(problem).filters == 1


def _pixel_step(array: np.ndarray) -> int | None:
    """Bytes from pixel to pixel of (channels, *spatial), None where these differ."""
    step, pixels = array.itemsize, 1
    for size, stride in zip(array.shape[:0:-1], array.strides[:0:-1], strict=True):
        if size > 1 and pixels > 1 and stride != step * pixels:
            return None
        step = stride if size > 1 and pixels == 1 else step
        pixels *= size
    return step


def _as_matrix(array: np.ndarray) -> np.ndarray:
    """(channels, pixels) of (channels, *spatial): a view where pixels are evenly spaced, else a copy."""
    shape, step = (len(array), math.prod(array.shape[1:])), _pixel_step(array)
    if step is None:
        return np.ascontiguousarray(array).reshape(shape)
    return np.lib.stride_tricks.as_strided(array, shape, (array.strides[0], step))


def _result(y: np.ndarray, upright: bool, memory: np.ndarray | None) -> np.ndarray:
    """(channels, pixels) to compute y's (channels, *spatial) in: y itself if pixels (`upright`) or channels lie side by
    side, else `memory`, or memory of its own for an `out` that has gaps."""
    channels, pixels, item = len(y), math.prod(y.shape[1:]), y.itemsize
    alone = item if upright else channels * item  # from pixel to pixel where there is but one
    step, row = _pixel_step(y) if pixels > 1 else alone, y.strides[0] if channels > 1 else item
    if step is not None and (step if upright else row) == item:
        return np.lib.stride_tricks.as_strided(y, (channels, pixels), (row, step))
    memory = np.empty(y.size, y.dtype) if memory is None else memory[: y.size]
    return memory.reshape(channels, pixels) if upright else memory.reshape(pixels, channels).T


def _bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
    return bound(_scheme(problem.without_epilogue()), problem, operands)


def bound(
    scheme: Scheme, problem: ConvProblem, operands: Sequence[Any], *, images_together: bool = False
) -> np.ndarray:
    """|err| ≤ γ(t)·S, S = E·k·max|w|·max|x| over a group and an image, for blocks of k steps; γ(t) = t·u/(1 − t·u).

    images_together: they are one matrix, and max|x| that of all.
    E is the largest Σ |coefficients| of products of blocks in a block of the result (12 for Strassen's scheme, 144
    where it is applied twice), t the roundings that a value meets: in the sums of its operands, in k products, and in
    the sum of the result. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 23.2.2.
    """
    from . import lowering

    work = lowering.extent(problem)
    growth = np.zeros((scheme.rows, scheme.columns))
    for product in scheme.products:
        weight = [sum(abs(float(term.coefficient)) for term in side) for side in product[:2]]
        for term in product.into:
            growth[term.row, term.column] += abs(float(term.coefficient)) * math.prod(weight)
    steps = -(-max(p.depth for p in _products(problem)) // scheme.depth)
    summed = max(len(product.left) + len(product.right) for product in scheme.products)
    info = np.finfo(problem.dtype)
    roundings = steps + summed + len(scheme.products) + 3
    gamma = roundings * float(info.eps) / 2
    x = np.abs(np.asarray(operands[0])).astype(np.float64)
    x = x if problem.layout == "channels_first" else np.moveaxis(x, -1, 1)
    largest = x.reshape(work.images, work.groups, math.prod(x.shape[1:]) // work.groups).max(2, initial=0)
    if images_together:
        largest = np.broadcast_to(largest.max(0, initial=0), largest.shape)
    weights = np.abs(np.asarray(operands[1])).astype(np.float64)
    weights = weights.reshape(work.groups, weights.size // work.groups).max(1, initial=0)
    size = np.repeat(growth.max() * steps * largest * weights, work.filters, 1)
    if operands[2] is not None:
        size = size + np.abs(np.asarray(operands[2])).astype(np.float64)
    size = as_channel(problem, size)
    error = gamma / (1 - gamma) * size + roundings * growth.max() * float(info.smallest_subnormal)
    return through_activation(problem, error, size)
