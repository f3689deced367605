"""im2col: weights × patches as a matrix product whose patches are packed block by block (implicit GEMM)."""

from collections.abc import Mapping
from typing import Any

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem

# Fractions of the FMA peak that the product reaches, forward and for the gradient of the weights, and elements of
# patches packed a flop of the peak (bench/layers.py on Zen 4). Finding out where a tap's patches lie takes as long as
# packing _PER_TAP channels of them.
_PRODUCT, _GRADIENT, _PACKING, _PER_TAP = 0.85, 0.92, 0.027, 12


class Im2col(Algorithm):
    """Chellapilla et al. 2006 without the matrix: only the block of patches that is being multiplied exists."""

    name, backend = "im2col", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ..kernels.cpu.gradient import LARGE
        from . import lowering

        if problem.direction == "backward_weights":
            return lowering.gradient_cost(problem, LARGE, _GRADIENT)
        work = lowering.extent(problem)
        rows, channels = work.filters * work.parts, max(work.channels * work.parts, 1)
        patches = problem.macs * work.parts / max(work.filters, 1) * (1 + _PER_TAP / channels)
        whole = rows + rows % 2  # micro-kernels take pairs of rows
        return Cost(
            (
                Stage("patches", patches, problem.min_bytes, _PACKING),
                Stage("products", problem.flops * whole / max(rows, 1), 0, _PRODUCT),
            )
        )

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.gemm import workspace
        from ..kernels.cpu.gradient import LARGE_VECTORS
        from . import lowering

        work, zero = lowering.extent(problem), lowering.example(problem)
        if problem.direction == "backward_weights":
            lanes = lowering.lanes(problem)
            return {
                name: ArraySpec((vectors * lanes,), zero.dtype, per_thread=True)
                for name, vectors in zip(("sums", "window", "gradients"), LARGE_VECTORS, strict=True)
            }
        sums, patches = workspace(work.filters * work.parts, zero.itemsize)
        return {
            "sums": ArraySpec((sums,), zero.dtype, per_thread=True),
            "patches": ArraySpec((patches,), zero.dtype, per_thread=True),
        }

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from . import lowering

        return lowering.widened_spec(problem)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.tile import ROWS
        from . import lowering

        return lowering.pack(problem, lowering.widened(problem, weight), ROWS, ROWS, ctx.threads)

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
        from . import lowering
        from .launch import launch

        extent, zero = lowering.extent(problem), lowering.example(problem)
        if problem.direction == "backward_weights":
            x, g = (lowering.image_tensor(problem, operand) for operand in operands)
            (sweep,) = lowering.sweeps(problem)
            launch(
                gradient, x, g, sweep.taps, extent, zero, workspace["sums"], workspace["window"],
                workspace["gradients"], lowering.kernel_tensor(out), threads=ctx.threads,
            )  # fmt: skip
            return
        sums, patches = workspace["sums"], workspace["patches"]
        source, bias = operands
        x = lowering.image_tensor(problem, source)
        values, code = lowering.epilogue(problem, bias)
        for sweep, panels in state:
            y = lowering.outputs_of(sweep, out, problem)
            launch(im2col, x, panels, values, sweep.taps, extent, code, zero, sums, patches, y, threads=ctx.threads)
