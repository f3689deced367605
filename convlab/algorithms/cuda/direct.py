"""direct: the definition, summed in register tiles. Needs no workspace."""

import math
from collections.abc import Mapping
from typing import Any

from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...bounds import componentwise
from ...problem import ConvProblem
from . import DTYPES

# The multiply-adds' share of the hot loop's machine code, which bounds what it reaches (tests/cuda_static).
_PRODUCTS = 0.6
# Instructions of a thread around that loop, at each tap (the emulator's count, depthwise layers of 3x3).
_PER_TAP = 150


class Direct(Algorithm):
    """Blocks of out-channels × outputs a warp apart in registers; the input is read where it lies."""

    name, backend = "direct", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.dtype.name not in DTYPES:
            return f"its kernels compute {', '.join(DTYPES)}, not {problem.dtype}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ...kernels.cuda.direct import COLUMNS
        from ...kernels.cuda.gradient import share, sizes
        from ...kernels.cuda.splits import filled
        from ..lowering import example, extent

        work = extent(problem)
        filters = work.filters
        if problem.direction == "backward_weights":
            rows, columns = sizes(filters, work.channels, example(problem).itemsize)
            blocks = -(-filters // rows) * -(-work.channels // columns)
            whole = blocks * rows * columns / max(filters * work.channels, 1)
            efficiency = share(rows, columns) * filled(blocks * work.groups * math.prod(problem.kernel))
            return Cost((Stage("products", problem.flops * whole, problem.min_bytes, efficiency),))
        block = _block(problem)
        whole = -(-filters // block) * block / max(filters, 1)
        products = COLUMNS * block * work.channels
        efficiency = products / max(products / _PRODUCTS + _PER_TAP, 1)
        return Cost((Stage("products", problem.flops * whole, problem.min_bytes, max(efficiency, 0.01)),))

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from . import lowering

        return {} if problem.direction == "backward_weights" else lowering.prepared(problem, _block(problem))

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from . import lowering

        return lowering.prepare(problem, weight, ctx, _block(problem))

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.direct import direct
        from ...kernels.cuda.gradient import gradient
        from . import lowering

        if problem.direction == "backward_weights":
            lowering.run_gradient(gradient, problem, operands, out, ctx)
            return
        lowering.run(direct, problem, operands, state, out, ctx)


def _block(problem: ConvProblem) -> int:
    """Filters of a block of the panels."""
    from ...kernels.cuda.direct import filters_per_block
    from ..lowering import extent

    return filters_per_block(extent(problem).filters)
