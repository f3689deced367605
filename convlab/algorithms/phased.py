"""Every stride, for algorithms whose neighbouring outputs must share inputs: strided convolutions by their phases."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..problem import ConvProblem

# Operations of the FMA peak that could be done while an element is copied to or from its phase (0.4 ns, Zen 4).
_COPY = 40


class Phased(Algorithm):
    """An algorithm for stride 1, `dense`, which convolves the phases of strided ones (see phases.py).

    Its workspace holds the phases; backward_weights also the gradients of their weights.
    """

    def __init__(self, dense: Algorithm) -> None:
        self.dense = dense
        self.name, self.backend = dense.name, dense.backend  # type: ignore[misc]

    def why_not(self, problem: ConvProblem) -> str | None:
        if _is_dense(problem):
            return self.dense.why_not(problem)
        if set(problem.dilation) != {1}:
            return f"under a stride its taps must be neighbours, the dilation is {problem.dilation}"
        reason = self.dense.why_not(_dense(problem))
        return None if reason is None else f"{reason} (the phases of stride {problem.stride})"

    def cost(self, problem: ConvProblem) -> Cost | None:
        cost = self.dense.cost(_dense(problem))
        if cost is None or _is_dense(problem):
            return cost
        return Cost((Stage("phases", _COPY * math.prod(_phases(problem).shape), 0), *cost.stages))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        inner = _dense(problem)
        needed = self.dense.workspace(inner, ctx)
        if _is_dense(problem):
            return needed
        needed = {"phases": _phases(problem), **needed}
        if problem.direction == "backward_weights":
            needed["weights"] = ArraySpec(inner.w_shape, problem.dtype)
        return needed

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        return self.dense.prepared(_dense(problem))

    def error_model(self, problem: ConvProblem) -> ErrorModel | None:
        model = self.dense.error_model(_dense(problem))
        if model is None or _is_dense(problem):
            return model

        def bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
            return _bound(model, problem, *operands)

        return ErrorModel(model.kind, bound, model.exact_integers)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        if _is_dense(problem):
            return self.dense.prepare(problem, weight, ctx)
        from . import phases

        if problem.direction != "backward_weights":
            weight = phases.split_weights(problem, np.asarray(weight))
        return self.dense.prepare(phases.dense(problem), weight, ctx)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        if _is_dense(problem):
            self.dense.run(problem, operands, state, workspace, out, ctx)
            return
        from . import phases

        inner, matrix = phases.dense(problem), workspace["phases"]
        images = phases.images(problem, matrix)
        first, second = operands
        if problem.direction == "backward_data":
            self.dense.run(inner, (first, _of_phases(problem, second)), state, workspace, images, ctx)
            phases.join_images(problem, matrix, out, ctx.threads)
            return
        phases.split_images(problem, first, matrix, ctx.threads)
        if problem.direction == "forward":
            self.dense.run(inner, (images, second), state, workspace, out, ctx)
        else:
            self.dense.run(inner, (images, second), state, workspace, workspace["weights"], ctx)
            out[...] = phases.join_weights(problem, workspace["weights"])


def _is_dense(problem: ConvProblem) -> bool:
    return problem.stride == (1,) * problem.ndim


def _dense(problem: ConvProblem) -> ConvProblem:
    if _is_dense(problem):
        return problem
    from . import phases

    return phases.dense(problem)


def _phases(problem: ConvProblem) -> ArraySpec:
    from . import phases

    return ArraySpec(phases.shape(problem), problem.dtype)


def _of_phases(problem: ConvProblem, bias: Any) -> Any:
    """backward_data's bias, for every phase of a channel."""
    return None if bias is None else np.repeat(bias, math.prod(problem.stride))


def _bound(model: ErrorModel, problem: ConvProblem, first: Any, second: Any, bias: Any = None) -> np.ndarray:
    """The bound on a strided problem's error: that on its phases'."""
    from . import phases

    inner = phases.dense(problem)
    matrix = np.empty(phases.shape(problem), problem.dtype)
    if problem.direction == "backward_data":
        weight = phases.split_weights(problem, np.asarray(second))
        found = model.bound(inner, (first, weight, _of_phases(problem, bias)))
        axis = -1 if problem.layout == "channels_last" else 1
        whole = np.ascontiguousarray(np.moveaxis(np.broadcast_to(found, inner.x_shape), axis, 0))
        result = np.empty(problem.x_shape)
        phases.join_images(problem.replace(dtype=np.dtype(np.float64)), whole, result, 1)
        return result
    phases.split_images(problem, np.asarray(first), matrix, 1)
    images = phases.images(problem, matrix)
    if problem.direction == "forward":
        return model.bound(inner, (images, phases.split_weights(problem, np.asarray(second)), bias))
    found = model.bound(inner, (images, second))
    return phases.join_weights(problem, np.array(np.broadcast_to(found, inner.w_shape)))
