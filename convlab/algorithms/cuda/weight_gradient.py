"""backward_weights by implicit GEMM, as im2col does it: how it is cut, what it costs and what memory that takes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...algorithm import ArraySpec, Context, Cost, Stage
from ...problem import ConvProblem


def cost(problem: ConvProblem) -> Cost:
    """Tiles are whole; offsets and partial sums are written and read."""
    from ...kernels.cuda.splits import filled

    cut, groups = _cut(problem), problem.groups
    whole = groups * cut.products / max(math.prod(problem.w_shape), 1)
    efficiency = cut.share * filled(groups * cut.rows * cut.columns * cut.splits)
    return Cost(
        (
            Stage("products", problem.flops * whole, problem.min_bytes, efficiency),
            Stage("partial sums", 0, 2 * sum(spec.nbytes() for spec in workspace(problem).values())),
        )
    )


def workspace(problem: ConvProblem) -> Mapping[str, ArraySpec]:
    """The table of offsets, and partial sums where outputs are split."""
    from ...kernels.cuda import offsets, splits
    from ..lowering import example

    entries = offsets.size(math.prod(problem.kernel), math.prod(problem.out_size))
    partials = splits.partials(_cut(problem).splits, math.prod(problem.w_shape))
    return {
        "places": ArraySpec((entries,), np.dtype(np.int32)),
        "partials": ArraySpec((partials,), example(problem).dtype),
    }


def run(
    problem: ConvProblem, operands: tuple[Any, ...], workspace: Mapping[str, Any], out: Any, ctx: Context
) -> None:  # fmt: skip
    """Run it."""
    from ...kernels.cuda.weight_gradient import weight_gradient
    from . import lowering

    def launcher(x: Any, g: Any, taps: Any, extent: Any, zero: Any, w: Any, stream: Any) -> None:
        weight_gradient(x, g, taps, extent, zero, workspace["places"], workspace["partials"], w, stream)

    lowering.run_gradient(launcher, problem, operands, out, ctx)


def _pairs(problem: ConvProblem) -> int:
    return problem.in_channels // problem.groups * math.prod(problem.kernel)


def _cut(problem: ConvProblem) -> Any:
    from ...kernels.cuda.weight_gradient import cut
    from ..lowering import example

    outputs = problem.batch * math.prod(problem.out_size)
    filters, item = problem.out_channels // problem.groups, example(problem).itemsize
    return cut(problem.groups, filters, _pairs(problem), outputs, item)
