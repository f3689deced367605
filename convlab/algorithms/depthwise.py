"""depthwise: groups of few channels, by vectors of neighbouring outputs and strips of the image in L1."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import accumulator, componentwise
from ..kernels.taps import Sweep, runs
from ..problem import ConvProblem

_EFFICIENCY = 0.5


class Depthwise(Algorithm):
    """A strip of the padded image in L1, and a kernel that slides over it with all its weights in registers."""

    name, backend = "depthwise", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        from ..kernels.cpu.depthwise import MAX_POINTS, strip_shape
        from . import lowering

        if problem.direction == "backward_weights":
            return "it computes images, not the gradient of the weights"
        if problem.dtype.kind != "f":
            return f"it computes in real floating point, not in {problem.dtype}"
        work = lowering.extent(problem)
        if not 1 <= work.channels <= _MOST or not 1 <= work.filters <= _MOST:
            return f"it is for groups of 1 to {_MOST} channels; these are of {work.channels} to {work.filters}"
        if problem.kernel[-1] > MAX_POINTS:
            return f"its kernels are at most {MAX_POINTS} wide, this one is {problem.kernel[-1]}"
        for sweep in lowering.sweeps(problem):
            taps = _prepared(sweep).taps
            rows, *_ = strip_shape.py_func(
                taps.height, taps.width, taps.line_step, taps.point_step, taps.j[-1] + 1, taps.k[-1] + 1,
                work.filters, lowering.lanes(problem), lowering.example(problem).itemsize,
            )  # fmt: skip
            if not rows:
                return "a strip of the image as high as the kernel does not fit in L1"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        return Cost((Stage("products", problem.flops, problem.min_bytes, _EFFICIENCY),))

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        if accumulator(problem.dtype) == problem.dtype:
            return {}
        return {"weights": ArraySpec(problem.w_shape, accumulator(problem.dtype))}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from . import lowering

        shape = problem.groups, problem.out_channels // problem.groups, problem.in_channels // problem.groups, -1
        taps = np.reshape(weight, shape).astype(lowering.example(problem).dtype)
        if problem.direction == "backward_data":
            taps = taps.swapaxes(1, 2)
        passes = []
        for sweep in map(_prepared, lowering.sweeps(problem)):
            chosen = np.where(sweep.weights < 0, 0, taps[..., sweep.weights])
            passes.append((sweep, np.ascontiguousarray(chosen).reshape(-1)))
        return passes

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.depthwise import depthwise
        from . import lowering
        from .launch import launch

        source, bias = operands
        extent, zero, x = lowering.extent(problem), lowering.example(problem), lowering.image_tensor(problem, source)
        values, code = lowering.epilogue(problem, bias)
        for sweep, weights in state:
            y = lowering.outputs_of(sweep, out, problem)
            launch(depthwise, x, weights, values, sweep.taps, extent, code, zero, y, threads=ctx.threads)


_MOST = 16
_ONE = np.zeros(1, np.intp)


def _prepared(sweep: Sweep) -> Sweep:
    """The sweep with ascending offsets. An axis without taps gets one that reads padding, of weight −1: zero."""
    taps, index = sweep.taps, sweep.weights
    if not index.size:
        lines, points = np.full_like(taps.lines, -1), np.full_like(taps.points, -1)
        taps = taps._replace(
            i=_ONE, j=_ONE, k=_ONE, planes=np.full_like(taps.planes, -1), lines=lines, points=points, runs=runs(points)
        )
        return sweep._replace(taps=taps, weights=_ONE - 1)
    orders = [np.argsort(offsets) for offsets in (taps.i, taps.j, taps.k)]
    index = index.reshape([len(order) for order in orders])[np.ix_(*orders)].reshape(-1)
    i, j, k = (np.ascontiguousarray(o[order]) for o, order in zip((taps.i, taps.j, taps.k), orders, strict=True))
    return sweep._replace(taps=taps._replace(i=i, j=j, k=k), weights=index)
