"""im2col-explicit: the lecture's version, which writes the whole matrix of patches and multiplies it.

Its use is to show what im2col saves: R·S times the input in workspace, written and read once more.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem
from .im2col import Im2col


class Im2colExplicit(Algorithm):
    """The matrix (C·R·S × N·P·Q) is unfolded into the workspace; its product is im2col's, of a 1x1 convolution."""

    name, backend = "im2col-explicit", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction != "forward":
            return f"it is the textbook's forward algorithm; {problem.direction} has no matrix of patches to unfold"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        matrix = math.prod(_matrix_shape(problem)) * problem.dtype.itemsize
        return Cost((Stage("unfold", 0, problem.min_bytes + matrix), *Im2col().cost(product(problem)).stages))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        return {
            "matrix": ArraySpec(_matrix_shape(problem), problem.dtype),
            **Im2col().workspace(product(problem), ctx),
        }

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        unfolded = product(problem)
        return Im2col().prepare(unfolded, np.asarray(weight).reshape(unfolded.w_shape), ctx)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.tensor import parts, storage
        from ..kernels.cpu.unfold import unfold
        from . import lowering
        from .launch import launch

        source, bias = operands
        x = lowering.image_tensor(problem, source)
        (sweep,) = lowering.sweeps(problem)
        matrix = workspace["matrix"]
        flat = storage(matrix.reshape(-1))
        launch(
            unfold, x, problem.batch, problem.in_channels, parts(problem.dtype), sweep.taps, flat,
            threads=ctx.threads,
        )  # fmt: skip
        # Row c, image n of the matrix is channel c of image n of the 1x1 convolution.
        images = np.moveaxis(matrix, 0, -1 if problem.layout == "channels_last" else 1)
        Im2col().run(product(problem), (images, bias), state, workspace, out, ctx)


def product(problem: ConvProblem) -> ConvProblem:
    """The 1x1 convolution of the matrix that gives the problem's result."""
    return problem.replace(
        in_channels=problem.in_channels * math.prod(problem.kernel),
        in_size=problem.out_size,
        kernel=(1,) * problem.ndim,
        stride=(1,) * problem.ndim,
        padding=((0, 0),) * problem.ndim,
        dilation=(1,) * problem.ndim,
    )


def _matrix_shape(problem: ConvProblem) -> tuple[int, ...]:
    """(C·R·S, N, *outputs)."""
    return problem.in_channels * math.prod(problem.kernel), problem.batch, *problem.out_size
