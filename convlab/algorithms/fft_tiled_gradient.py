"""fft-tiled-gradient: the gradient of the weights by Fourier's tiles of 8, 16 and 32 points."""

from typing import Any

from ..algorithm import Algorithm, ErrorModel
from ..problem import ConvProblem
from .fft_tiled import TRANSFORMS, why_no_tiles
from .phased import Phased
from .tiled_gradient import TiledGradient


class FftTiledGradient(TiledGradient):
    """Mathieu, Henaff and LeCun 2014: spectra of the inputs times those of the
    outputs' gradients, which are summed before they are transformed back.

    Its error is within the bound of accuracy="normwise". A NaN or an infinity spreads over all weights of its channels.
    """

    name = "fft-tiled-gradient"
    transforms = TRANSFORMS

    def default_tiles(self) -> Any:
        from ..kernels.cpu.fourier_transform import Fourier

        return Fourier()

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction != "backward_weights":
            return "it computes backward_weights; fft-tiled does the rest"
        return why_no_tiles(problem, self.tiles)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from ..bounds import normwise

        return normwise(problem)


def strided() -> Algorithm:
    """FftTiledGradient for every stride."""
    return Phased(FftTiledGradient())
