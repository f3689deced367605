"""im2col: weights × patches as a matrix product whose patches are read where they lie (implicit GEMM)."""

import functools
from collections.abc import Mapping
from typing import Any

from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...bounds import componentwise
from ...problem import ConvProblem
from . import DTYPES

# The multiply-adds' share of the hot loop's machine code, which bounds what it reaches (tests/cuda_static).
_PRODUCTS = 0.8


class Im2col(Algorithm):
    """Tiles of filters × outputs, double buffered in shared memory; no matrix of patches is ever made."""

    name, backend = "im2col", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.dtype.name not in DTYPES:
            return f"its kernels compute {', '.join(DTYPES)}, not {problem.dtype}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ...kernels.cuda.gemm import DEPTH
        from ...kernels.cuda.im2col import PANEL
        from ..lowering import extent
        from . import weight_gradient

        if problem.direction == "backward_weights":
            return weight_gradient.cost(problem)
        work = extent(problem)
        whole = -(-work.filters // PANEL) * PANEL / max(work.filters, 1)
        whole *= -(-work.channels // DEPTH) * DEPTH / max(work.channels, 1)
        return Cost((Stage("products", problem.flops * whole, problem.min_bytes, _PRODUCTS),))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from . import weight_gradient

        return weight_gradient.workspace(problem) if problem.direction == "backward_weights" else {}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from ...kernels.cuda.gemm import DEPTH
        from ...kernels.cuda.im2col import PANEL
        from . import lowering

        if problem.direction == "backward_weights":
            return {}
        return lowering.prepared(problem, PANEL, DEPTH)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ...kernels.cuda.gemm import DEPTH
        from ...kernels.cuda.im2col import PANEL
        from . import lowering

        return lowering.prepare(problem, weight, ctx, PANEL, DEPTH)

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
        launcher = functools.partial(im2col, sms=lowering.multiprocessors(ctx))
        lowering.run(launcher, problem, operands, state, out, ctx)
