"""im2col: weights × patches as a matrix product whose patches are packed block by block (implicit GEMM)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem

# Fraction of the FMA peak of the product alone, and patches' elements packed a flop of the peak (bench/algorithms.py).
_PRODUCT, _PACKING = 0.85, 0.027
# Rows of filters in a task of backward_weights: sums of 224 × 512 bytes stay in L2 beside both packed operands.
_PANELS = 16


class Im2col(Algorithm):
    """Chellapilla et al. 2006 without the matrix: only the block of patches that is being multiplied exists."""

    name, backend = "im2col", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        patches = problem.macs / max(problem.out_channels // problem.groups, 1)
        if problem.direction == "backward_data":
            patches = problem.macs / max(problem.in_channels // problem.groups, 1)
        return Cost(
            (
                Stage("patches", patches, problem.min_bytes, _PACKING),
                Stage("products", problem.flops, 0, _PRODUCT),
            )
        )

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.gemm import DEPTH, workspace
        from ..kernels.cpu.tensor import storage
        from ..kernels.cpu.tile import ROWS
        from . import geometry

        work, zero = geometry.extent(problem), geometry.example(problem)
        rows = work.filters * work.parts
        if problem.direction == "backward_weights":
            rows = min(rows, _PANELS * ROWS)
        sums, patches = workspace(rows, zero.itemsize)
        stored = storage(np.empty(0, problem.dtype)).dtype
        specs = {
            "sums": ArraySpec((sums,), zero.dtype, per_thread=True),
            "patches": ArraySpec((patches,), stored, per_thread=True),
        }
        if problem.direction == "backward_weights":
            # The last tile reads up to ROWS elements past its panel.
            specs["gradients"] = ArraySpec(((_PANELS * DEPTH + 1) * ROWS,), stored, per_thread=True)
        return specs

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.tile import ROWS
        from . import geometry

        return geometry.pack(problem, weight, ROWS, ROWS, ctx.threads)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.gradient import gradient
        from ..kernels.cpu.im2col import im2col
        from ..kernels.cpu.tile import ROWS
        from . import geometry
        from .launch import launch

        extent, zero = geometry.extent(problem), geometry.example(problem)
        sums, patches = workspace["sums"], workspace["patches"]
        if problem.direction == "backward_weights":
            x, g = (geometry.image_tensor(problem, operand) for operand in operands)
            (sweep,) = geometry.sweeps(problem)
            launch(
                gradient, x, g, sweep.taps, extent, _PANELS * ROWS, zero, sums, patches, workspace["gradients"],
                geometry.kernel_tensor(out), threads=ctx.threads,
            )  # fmt: skip
            return
        source, bias = operands
        x = geometry.image_tensor(problem, source)
        values, code = geometry.epilogue(problem, bias)
        for sweep, panels in state:
            y = geometry.outputs_of(sweep, out, problem)
            launch(im2col, x, panels, values, sweep.taps, extent, code, zero, sums, patches, y, threads=ctx.threads)
