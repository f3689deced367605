"""winograd-fused: Winograd's F(2x2, 3x3), transforms and products in one kernel."""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...problem import ConvProblem

# The multiply-adds' share of the hot loop's machine code, which bounds what it reaches (tests/cuda_static).
_PRODUCTS = 0.8


class WinogradFused(Algorithm):
    """2.25 times fewer products than the definition, and transformed filters that stay in the caches."""

    name, backend = "winograd-fused", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind, which im2col does"
        if problem.dtype.name not in ("float32", "float16"):
            return f"its kernels compute float32 and float16, not {problem.dtype}"
        if set(problem.stride) != {1}:
            return f"neighbouring outputs must share inputs, the stride is {problem.stride}"
        if set(problem.dilation) != {1}:
            return f"the taps of a tile must be neighbours, the dilation is {problem.dilation}"
        if problem.ndim < 2 or problem.kernel[-2:] != (3, 3) or set(problem.kernel[:-2]) - {1}:
            return f"its tiles are compiled for kernels of 3x3, not {'x'.join(map(str, problem.kernel))}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ...kernels.cuda.winograd_filters import FILTERS, POINTS, size
        from ..lowering import extent

        work = extent(problem)
        filters = -(-work.filters // FILTERS) * FILTERS * work.groups
        tiles = work.images * math.prod(segment.tiles for segment in _cut(problem).boxes[0])
        depth = size(1, FILTERS, work.channels) // (FILTERS * POINTS)
        products = Stage("products", 2 * tiles * filters * depth * POINTS, problem.min_bytes, _PRODUCTS)
        written = sum(spec.nbytes() for spec in self.workspace(problem, Context()).values())
        return Cost((products, Stage("sums", 0, 2 * written)) if written else (products,))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        parts = _parts(problem)
        return {} if parts == 1 else {"sums": ArraySpec((parts * _results(problem),), np.dtype(np.float32))}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        more = _size(problem) * 4 - math.prod(problem.w_shape) * problem.dtype.itemsize
        return {"filters": ArraySpec((max(more, 0),), np.dtype(np.uint8))}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from ..winograd_error import model

        return model(_cut(problem))

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ...kernels.cuda.copy import ordered
        from ...kernels.cuda.geometry import tables
        from ...kernels.cuda.winograd_filters import transform_filters
        from ..lowering import extent, sweeps
        from . import lowering

        device, work, stream = ctx.device, extent(problem), ctx.stream or 0
        depth, kernel = problem.in_channels // problem.groups, math.prod(problem.kernel)
        strides = (depth * kernel, kernel) if problem.direction == "forward" else (kernel, depth * kernel)
        (sweep,) = sweeps(problem)
        positions = 3 * sweep.taps.j[:, None] + sweep.taps.k
        order = np.empty(kernel, np.int32)
        order[positions.ravel()] = sweep.weights
        flat = ordered(weight, device, stream).reshape(math.prod(problem.w_shape))
        filters = device.empty(_size(problem), np.float32)
        transform_filters(
            flat, work.groups, work.filters, work.channels,
            (problem.out_channels // problem.groups * depth * kernel, *strides), device.array(order), filters, stream,
        )  # fmt: skip
        nothing = device.empty(0, problem.dtype)
        return lowering.Prepared([(sweep, tables(sweep.taps, device.array), filters)], nothing)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.winograd_fused import winograd_fused
        from . import lowering

        launcher = functools.partial(winograd_fused, sums=workspace.get("sums"))
        lowering.run(launcher, problem, operands, state, out, ctx)


class Cut(NamedTuple):
    """How outputs are cut, as winograd_error takes it."""

    kernel: tuple[int, int, int]
    boxes: tuple[tuple[Any, Any, Any], ...]


@functools.lru_cache(maxsize=128)
def _cut(problem: ConvProblem) -> Cut:
    """All outputs in tiles of 2 x 2, the last ones reaching past the edge."""
    from ...kernels.cpu.regions import Segment
    from ...kernels.cuda.winograd_filters import OUTPUTS

    depth, height, width = _outputs(problem)
    k, r, s = (1,) * (3 - problem.ndim) + problem.kernel
    rows, columns = (Segment(0, OUTPUTS, -(-n // OUTPUTS)) for n in (height, width))
    return Cut((k, r, s), ((Segment(0, 1, depth), rows, columns),))


def _outputs(problem: ConvProblem) -> tuple[int, ...]:
    """Results of an image and channel along each of three axes."""
    return (1,) * (3 - problem.ndim) + (problem.in_size if problem.direction == "backward_data" else problem.out_size)


def _results(problem: ConvProblem) -> int:
    """All results."""
    return math.prod(problem.x_shape if problem.direction == "backward_data" else problem.y_shape)


def _parts(problem: ConvProblem) -> int:
    """How many blocks share the channels of a result."""
    from ...kernels.cuda.winograd_fused import share_of
    from ..lowering import extent

    work = extent(problem)
    return share_of(work.images, _outputs(problem), work.groups, work.filters, work.channels)[0]


def _size(problem: ConvProblem) -> int:
    """Elements of the transformed filters."""
    from ...kernels.cuda.winograd_filters import size
    from ..lowering import extent

    work = extent(problem)
    return size(work.groups, work.filters, work.channels)
