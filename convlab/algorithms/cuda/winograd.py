"""winograd: Toom–Cook tiles F(m, r) along rows and columns, for kernels of 3 and 5."""

import itertools
from collections.abc import Sequence
from typing import Any

from ...algorithm import ErrorModel
from ...problem import ConvProblem
from ..winograd_error import model
from .tiled import Tiled

# Outputs of a tile, by the taps along an axis: those whose errors the CPU's tiles have too (kernels.cpu.transform).
OUTPUTS = {1: (1,), 3: (4, 6), 5: (2, 4)}


class Winograd(Tiled):
    """Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4: not fused."""

    name = "winograd"

    def why_not(self, problem: ConvProblem) -> str | None:
        reason = super().why_not(problem)
        if reason is None and not set(problem.kernel) <= set(OUTPUTS):
            return f"its tiles are for kernels of {sorted(set(OUTPUTS) - {1})}, not {problem.kernel}"
        if reason is None and set(problem.kernel) == {1}:
            return "a kernel of one tap has no products to save"
        return reason

    def choices(self, problem: ConvProblem) -> Sequence[Any]:
        from ...kernels.cuda.tiles import Tiles

        rows, columns = (1,) * (2 - problem.ndim) + tuple(problem.kernel)
        sizes = itertools.product(OUTPUTS[rows], OUTPUTS[columns])
        return [Tiles("winograd", outputs, (rows, columns)) for outputs in sizes]

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return model(self.cut(problem))
