"""direct: the definition, summed in register tiles. Answers every valid problem, needs no workspace."""

from collections.abc import Mapping
from typing import Any

from ..algorithm import Algorithm, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem

# Fractions of the FMA peak, measured by bench/algorithms.py: with whole tiles, with one vector of lanes a tile, and
# for the gradient of the weights. Between two taps, addresses take as long as _TAP channels' products.
_WIDE, _NARROW, _GRADIENT, _TAP = 0.85, 0.6, 0.5, 8


class Direct(Algorithm):
    """Vectors of out-channels × a tile of outputs in registers; the input is read where it lies."""

    name, backend = "direct", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from . import geometry

        if problem.direction == "backward_weights":
            return Cost((Stage("products", problem.flops, problem.min_bytes, _GRADIENT),))
        work, width = geometry.extent(problem), geometry.lanes(problem)
        lanes = work.filters * work.parts
        whole = -(-lanes // width) * width
        efficiency = (_WIDE if whole > width else _NARROW) * work.channels / (work.channels + _TAP)
        return Cost(
            (Stage("products", problem.flops * whole / max(lanes, 1), problem.min_bytes, max(efficiency, 0.01)),)
        )

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.rows import FILTERS
        from ..kernels.cpu.tile import VECTORS
        from . import geometry

        if _few_filters(problem):
            return geometry.pack(problem, weight, FILTERS, FILTERS, ctx.threads)
        width = geometry.lanes(problem)
        return geometry.pack(problem, weight, VECTORS * width, width, ctx.threads)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.direct import direct
        from ..kernels.cpu.gradient import direct_gradient
        from ..kernels.cpu.rows import rows
        from . import geometry
        from .launch import launch

        extent, zero = geometry.extent(problem), geometry.example(problem)
        if problem.direction == "backward_weights":
            x, g = (geometry.image_tensor(problem, operand) for operand in operands)
            (sweep,) = geometry.sweeps(problem)
            w = geometry.kernel_tensor(out)
            launch(direct_gradient, x, g, sweep.taps, extent, zero, w, threads=ctx.threads)
            return
        source, bias = operands
        x = geometry.image_tensor(problem, source)
        values, code = geometry.epilogue(problem, bias)
        kernel = rows if _few_filters(problem) else direct
        for sweep, panels in state:
            y = geometry.outputs_of(sweep, out, problem)
            launch(kernel, x, panels, values, sweep.taps, extent, code, zero, y, threads=ctx.threads)


def _few_filters(problem: ConvProblem) -> bool:
    """Whether a group's out-channels would leave half a vector empty: then vectors hold outputs of a row instead."""
    from . import geometry

    work = geometry.extent(problem)
    return 2 * work.filters * work.parts <= geometry.lanes(problem)
