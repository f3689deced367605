"""winograd: Toom–Cook tiles F(m, r) along every axis, for kernels of 3 and 5, fused in the caches."""

from typing import Any

from ..algorithm import Algorithm, ErrorModel
from ..problem import ConvProblem
from .phased import Phased
from .tiled import Tiled

# Fraction of the FMA peak of a transform's additions (bench/layers.py, Zen 4): it loads and stores a vector for each
# two operations, and reads and writes the image.
TRANSFORMS = 0.13


class Winograd(Tiled):
    """Lavin and Gray 2015.

    `Winograd(ToomCook(((1, 1), (2, 7))), "winograd-7")`, registered, is one for other kernels or tiles.
    """

    name = "winograd"
    transforms = TRANSFORMS

    def default_tiles(self) -> Any:
        from ..kernels.cpu.transform import TILES

        return TILES

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "it computes forward and backward_data; winograd-gradient does the rest"
        return why_no_tiles(problem, self.tiles)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from .winograd_error import model

        return model(self.cut(problem))


def strided() -> Algorithm:
    """Winograd for every stride."""
    return Phased(Winograd())


def why_no_tiles(problem: ConvProblem, tiles: Any) -> str | None:
    """Why a problem, in whatever direction, is not one for tiles of a ToomCook; None if it is."""
    if problem.dtype.kind != "f":
        return f"its transforms take fractions of the data, {problem.dtype} has none or is complex"
    if set(problem.stride) != {1}:
        return f"neighbouring outputs must share inputs, the stride is {problem.stride}"
    if set(problem.dilation) != {1}:
        return f"the taps of a tile must be neighbours, the dilation is {problem.dilation}"
    sizes = sorted({r for _, r in tiles.sizes} - {1})
    if not set(problem.kernel) <= {1, *sizes}:
        return f"its tiles are compiled for kernels of {sizes}, not {problem.kernel}"
    if set(problem.kernel) == {1}:
        return "a kernel of one tap has no products to save"
    return None
