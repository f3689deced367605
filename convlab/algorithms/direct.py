"""direct: the definition, summed in register tiles. Answers every valid problem, needs no workspace."""

import math
from collections.abc import Mapping
from typing import Any

from ..algorithm import Algorithm, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem

# Fractions of the FMA peak that the kernels reach (bench/layers.py on Zen 4): with two vectors of filters a tile, with
# one, with vectors of outputs, the same where these are collected one by one, and for the gradient of the weights.
_WIDE, _NARROW, _ROWS, _COLLECTED, _GRADIENT = 0.92, 0.75, 0.17, 0.05, 0.33
# What a kernel does besides products, counted in steps of the reduction: before a tap, and around a tile.
_PER_TAP, _PER_TILE, _PER_ROW = 6, 20, 30


class Direct(Algorithm):
    """Vectors of out-channels × a tile of outputs in registers; the input is read where it lies."""

    name, backend = "direct", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from . import lowering

        if problem.direction == "backward_weights":
            return Cost((Stage("products", problem.flops, problem.min_bytes, _GRADIENT),))
        work, width = lowering.extent(problem), lowering.lanes(problem)
        taps = math.prod(problem.kernel)
        steps = work.channels * work.parts * taps
        if _few_filters(problem):
            side_by_side = problem.stride[-1] == 1 and problem.layout == "channels_first" and work.parts == 1
            efficiency = (_ROWS if side_by_side else _COLLECTED) * steps / (steps + _PER_ROW)
            return Cost((Stage("products", problem.flops, problem.min_bytes, max(efficiency, 0.01)),))
        lanes = work.filters * work.parts
        whole = -(-lanes // width) * width
        efficiency = (_WIDE if whole > width else _NARROW) * steps / (steps + _PER_TAP * taps + _PER_TILE)
        return Cost((Stage("products", problem.flops * whole / lanes, problem.min_bytes, max(efficiency, 0.01)),))

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.direct import direct
        from ..kernels.cpu.rows import FILTERS, rows
        from ..kernels.cpu.direct_strips import strips
        from ..kernels.cpu.tile import VECTORS
        from . import lowering

        if _few_filters(problem):
            return [(rows, *sweep) for sweep in lowering.pack(problem, weight, FILTERS, FILTERS, ctx.threads)]
        width = lowering.lanes(problem)
        passes = lowering.pack(problem, weight, VECTORS * width, width, ctx.threads)
        kernels = (strips if _by_strips(problem, each.sweep.taps) else direct for each in passes)
        return [(kernel, *each) for kernel, each in zip(kernels, passes, strict=True)]

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.gradient import direct_gradient
        from . import lowering
        from .launch import launch

        extent, zero = lowering.extent(problem), lowering.example(problem)
        if problem.direction == "backward_weights":
            x, g = (lowering.image_tensor(problem, operand) for operand in operands)
            (sweep,) = lowering.sweeps(problem)
            w = lowering.kernel_tensor(out)
            launch(direct_gradient, x, g, sweep.taps, extent, zero, w, threads=ctx.threads)
            return
        source, bias = operands
        x = lowering.image_tensor(problem, source)
        values, code = lowering.epilogue(problem, bias)
        for kernel, sweep, panels in state:
            y = lowering.outputs_of(sweep, out, problem)
            launch(kernel, x, panels, values, sweep.taps, extent, code, zero, y, threads=ctx.threads)


def _by_strips(problem: ConvProblem, taps: Any) -> bool:
    """Whether copying what is read pays: halves are widened once, all channels fit into one strip, or rows of outputs
    into one tile.

    Elsewhere copying costs more than the addresses it saves (3x3 layers of 64 to 512 channels on Zen 4).
    """
    from ..kernels.cpu.direct_strips import cut
    from ..kernels.cpu.tile import ROWS
    from . import lowering

    extent = lowering.extent(problem)
    channels = cut(taps, extent, lowering.example(problem))[2]
    whole = channels == extent.channels or taps.width < ROWS
    return channels > 0 and (whole or problem.dtype == "float16")


def _few_filters(problem: ConvProblem) -> bool:
    """Whether a group's out-channels would leave half a vector empty: then vectors hold outputs of a row instead."""
    from . import lowering

    work = lowering.extent(problem)
    return 2 * work.filters * work.parts <= lowering.lanes(problem)
