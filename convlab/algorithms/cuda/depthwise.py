"""depthwise: groups of one input channel, by kernels that read every input about once."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...bounds import componentwise
from ...problem import ConvProblem
from . import DTYPES

# The multiply-adds' share of all of a thread's machine code for 3x3 (tests/cuda_static).
_PRODUCTS = 0.2
_MOST_GROUPS = 65535  # of a launch: CUDA C++ Programming Guide, "Technical Specifications", a grid's y- and z-dimension


class Depthwise(Algorithm):
    """A lane a column, or a channel where these lie side by side; its rows and weights in registers."""

    name, backend = "depthwise", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "it computes images; the gradient of the weights is what im2col does"
        if problem.dtype.name not in DTYPES:
            return f"its kernels compute {', '.join(DTYPES)}, not {problem.dtype}"
        if problem.in_channels != problem.groups:
            return f"it is for groups of one input channel, not {problem.in_channels} in {problem.groups}"
        if max(problem.groups, problem.out_channels // max(problem.groups, 1)) > _MOST_GROUPS:
            return f"a launch takes {_MOST_GROUPS} groups, and as many filters of one, at the most"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        return Cost((Stage("products", problem.flops, problem.min_bytes, _PRODUCTS),))

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from ..lowering import example

        if problem.direction == "backward_weights":
            return {}
        held = sum(_size(problem, sweep) for sweep in _sweeps(problem)) * example(problem).itemsize
        more = held - math.prod(problem.w_shape) * problem.dtype.itemsize
        return {"weights": ArraySpec((max(more, 0),), np.dtype(np.uint8))}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        """For every sweep its window and its weights in the order in which the kernel reads them."""
        from ...kernels.cuda import weights
        from ...kernels.cuda.copy import ordered
        from ...kernels.cuda.window import window
        from ..lowering import example, extent
        from .lowering import Prepared

        device, work, stream = ctx.device, extent(problem), ctx.stream or 0
        filters, kernel = work.groups * work.filters, math.prod(problem.kernel)
        block = filters if _by_channels(problem) else 1
        flat = ordered(weight, device, stream).reshape(math.prod(problem.w_shape))
        passes = []
        for sweep in _sweeps(problem):
            panels = device.empty(_size(problem, sweep), example(problem).dtype)
            weights.pack(
                flat, 1, filters, work.channels, (0, work.channels * kernel, kernel),
                device.array(sweep.weights.astype(np.int32)), block, 1, panels, stream,
            )  # fmt: skip
            passes.append((sweep, window(sweep.taps, device.array), panels))
        return Prepared(passes, device.empty(0, problem.dtype))

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.depthwise import depthwise
        from ...kernels.cuda.depthwise_last import depthwise_last
        from . import lowering

        launcher = depthwise_last if _by_channels(problem) else depthwise
        lowering.run(launcher, problem, operands, state, out, ctx)


def _sweeps(problem: ConvProblem) -> list[Any]:
    """Sweeps whose taps ascend."""
    from ...kernels.taps import ascending
    from ..lowering import sweeps

    return [ascending(sweep) for sweep in sweeps(problem)]


def _by_channels(problem: ConvProblem) -> bool:
    """Whether lanes are channels: where these lie side by side, and fill a sector of memory."""
    sector = 32
    return problem.layout == "channels_last" and problem.in_channels * problem.dtype.itemsize >= sector


def _size(problem: ConvProblem, sweep: Any) -> int:
    """Elements of a sweep's weights."""
    from ...kernels.cuda import weights
    from ..lowering import extent

    work = extent(problem)
    return weights.size(1, work.groups * work.filters, work.channels, len(sweep.weights), 1)
