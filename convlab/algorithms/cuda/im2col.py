"""im2col: weights × patches as a matrix product whose patches are read where they lie (implicit GEMM)."""

import functools
import math
from collections.abc import Mapping
from typing import Any

from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...bounds import componentwise
from ...problem import ConvProblem
from . import DTYPES

# The multiply-adds' share of the hot loop's machine code, which bounds what it reaches (tests/cuda_static).
_PRODUCTS = 0.78


class Im2col(Algorithm):
    """Tiles of filters × outputs, double buffered in shared memory; no matrix of patches is ever made."""

    name, backend = "im2col", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.dtype.name not in DTYPES:
            return f"its kernels compute {', '.join(DTYPES)}, not {problem.dtype}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ...kernels.cuda.gemm import DEPTH
        from ..lowering import extent
        from . import weight_gradient

        if problem.direction == "backward_weights":
            return weight_gradient.cost(problem)
        work, tile = extent(problem), _tile(problem)
        whole = -(-work.filters // tile.height) * tile.height / max(work.filters, 1)
        whole *= -(-work.channels // DEPTH) * DEPTH / max(work.channels, 1)
        return Cost((Stage("products", problem.flops * whole, problem.min_bytes, _PRODUCTS),))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from . import weight_gradient

        return weight_gradient.workspace(problem) if problem.direction == "backward_weights" else {}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from ...kernels.cuda.gemm import DEPTH
        from . import lowering

        if problem.direction == "backward_weights":
            return {}
        return lowering.prepared(problem, _tile(problem).height, DEPTH)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ...kernels.cuda.gemm import DEPTH
        from . import lowering

        return lowering.prepare(problem, weight, ctx, _tile(problem).height, DEPTH)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.im2col import im2col
        from . import lowering, weight_gradient

        if problem.direction == "backward_weights":
            weight_gradient.run(problem, operands, workspace, out, ctx)
            return
        lowering.run(functools.partial(im2col, tile=_tile(problem)), problem, operands, state, out, ctx)


def _tile(problem: ConvProblem) -> Any:
    """One for all sweeps: the panels are made for it."""
    from ...kernels.cuda.im2col import tile_for
    from ..lowering import example, extent

    size = problem.out_size if problem.direction == "forward" else problem.in_size
    return tile_for(problem.batch * math.prod(size), extent(problem).filters, example(problem).itemsize)
