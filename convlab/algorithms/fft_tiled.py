"""fft-tiled: tiles of 8, 16 and 32 points, transformed by Fourier, for kernels below that size; fused in the caches."""

from typing import Any

from ..algorithm import Algorithm, ErrorModel
from ..problem import ConvProblem
from .phased import Phased
from .tiled import Tiled

# As Winograd's: measured on layers of 3 to 128 channels and kernels of 3 to 15 (Zen 4).
TRANSFORMS = 0.15


class FftTiled(Tiled):
    """Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", 2014, in tiles as in Vasilache
    et al., "Fast Convolutional Nets With fbfft", 2015; real products as in kernels/fourier.py.

    Its error is within the bound of accuracy="normwise". A NaN, an infinity or a huge value spreads over all outputs of
    the tiles that read it, and not beyond.
    """

    name = "fft-tiled"
    transforms = TRANSFORMS

    def default_tiles(self) -> Any:
        from ..kernels.cpu.fourier_transform import Fourier

        return Fourier()

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "it computes forward and backward_data; fft-tiled-gradient does the rest"
        return why_no_tiles(problem, self.tiles)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from ..bounds import normwise

        return normwise(problem)


def strided() -> Algorithm:
    """FftTiled for every stride."""
    return Phased(FftTiled())


def why_no_tiles(problem: ConvProblem, tiles: Any) -> str | None:
    """Why a problem, in whatever direction, is not one for a Fourier's tiles; None if it is."""
    if problem.dtype.kind != "f":
        return f"its transforms take fractions of the data, {problem.dtype} has none or is complex"
    if set(problem.stride) != {1}:
        return f"neighbouring outputs must share inputs, the stride is {problem.stride}"
    if set(problem.dilation) != {1}:
        return f"the taps of a tile must be neighbours, the dilation is {problem.dilation}"
    largest = max(tiles.sizes)
    if max(problem.kernel) >= largest:
        return f"its tiles have up to {largest} points, which a kernel of {problem.kernel} leaves no output"
    *others, width = problem.kernel
    if width == 1:
        return "its rows take a kernel of two columns or more"
    if problem.ndim == 3 and others[0] != 1:
        return "it transforms rows and columns, not planes"
    return None
