"""pointwise: a 1x1 convolution as a matrix product whose operand is the image itself."""

import math
from collections.abc import Mapping
from typing import Any

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem

# The fraction of the FMA peak that tiles reach, and what goes before and after each, in steps of the reduction: with a
# tile written as it is, and turned on its way. Fitted to ResNet-50's layers on two threads of Zen 4: 0.60 of the peak
# at 64 channels, 0.78-0.81 at 256; where weights and images come from beyond L2 (256 to 1024 at 14x14) it is 0.52.
_PRODUCT, _PER_TILE, _PER_WRITTEN = 0.94, 20, 28
# Elements packed a flop of the peak.
_PACKING = 0.04


class Pointwise(Algorithm):
    """Vectors along the pixels where these fill vectors and lie side by side, else along the filters."""

    name, backend = "pointwise", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if any(size != 1 for size in problem.kernel):
            return f"it is for kernels of one element, not {'x'.join(map(str, problem.kernel))}"
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind; im2col does it"
        if problem.dtype.kind == "c":
            return f"it multiplies real numbers, not {problem.dtype}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ..kernels.cpu.tile import ROWS, VECTORS
        from . import lowering

        work, vector = lowering.extent(problem), lowering.lanes(problem)
        outputs, depth = math.prod(_outputs(problem)), max(work.channels, 1)
        along_filters = _filters_in_vectors(problem)
        if along_filters:
            lanes, rows, count = work.filters, outputs * problem.batch, work.groups
        else:
            lanes, rows, count = outputs, work.filters, work.groups * problem.batch
        waste = -(-lanes // vector) * vector / max(lanes, 1) * (rows + rows % 2) / max(rows, 1)
        tiles = -(-lanes // (VECTORS * vector)) * -(-rows // ROWS) * count
        written = along_filters and problem.layout == "channels_first"
        overhead = tiles * ROWS * VECTORS * vector * 2 * (_PER_WRITTEN if written else _PER_TILE)
        packed = problem.batch * work.groups * outputs * depth
        in_place = not along_filters and problem.stride == (1,) * problem.ndim
        stages = [Stage("products", problem.flops * waste + overhead, problem.min_bytes, _PRODUCT)]
        if not in_place:
            stages.append(Stage("packing", packed, 0, _PACKING))
        return Cost(tuple(stages))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.pointwise import workspace
        from . import lowering

        zero = lowering.example(problem)
        elements = workspace(lowering.extent(problem).channels, zero.itemsize)
        return {"packed": ArraySpec((elements,), zero.dtype, per_thread=True)}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from . import lowering

        return lowering.widened_spec(problem)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.pointwise import pointwise
        from ..kernels.cpu.tile import ROWS, VECTORS
        from . import lowering

        upright, vector = _filters_in_vectors(problem), lowering.lanes(problem)
        blocks = (VECTORS * vector, vector) if upright else (ROWS, ROWS)
        return pointwise, upright, lowering.pack(problem, lowering.widened(problem, weight), *blocks, ctx.threads)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from . import lowering
        from .launch import launch

        kernel, upright, passes = state
        source, bias = operands
        x, extent, zero = lowering.image_tensor(problem, source), lowering.extent(problem), lowering.example(problem)
        values, code = lowering.epilogue(problem, bias)
        for sweep, panels in passes:
            y = lowering.outputs_of(sweep, out, problem)
            launch(
                kernel, upright, x, panels, values, sweep.taps, extent, code, zero, workspace["packed"], y,
                threads=ctx.threads,
            )  # fmt: skip


def _outputs(problem: ConvProblem) -> tuple[int, ...]:
    return problem.out_size if problem.direction == "forward" else problem.in_size


def _filters_in_vectors(problem: ConvProblem) -> bool:
    """Whether vectors hold filters: in channels_last, and where they waste less than vectors of pixels do."""
    from . import lowering

    vector, work = lowering.lanes(problem), lowering.extent(problem)
    if problem.layout == "channels_last":
        return True
    pixels = math.prod(_outputs(problem))

    def waste(lanes: int) -> float:
        return -(-lanes // vector) * vector / max(lanes, 1)

    return waste(work.filters) * 1.05 < waste(pixels)
