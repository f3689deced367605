"""winograd-gradient: the gradient of the weights by Winograd's tiles, for kernels of 3 and 5."""

from typing import Any

from ..algorithm import Algorithm, ErrorModel
from ..problem import ConvProblem
from .phased import Phased
from .tiled_gradient import TiledGradient
from .winograd import TRANSFORMS, why_no_tiles


class WinogradGradient(TiledGradient):
    """Lavin and Gray 2015, section 4.2."""

    name = "winograd-gradient"
    transforms = TRANSFORMS

    def default_tiles(self) -> Any:
        from ..kernels.cpu.transform import TILES

        return TILES

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction != "backward_weights":
            return "it computes backward_weights; winograd does the rest"
        return why_no_tiles(problem, self.tiles)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from .winograd_error import gradient_model

        return gradient_model(self.scheme(problem, 1).region)


def strided() -> Algorithm:
    """WinogradGradient for every stride."""
    return Phased(WinogradGradient())
