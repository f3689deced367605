"""fft-tiled: tiles of 8, 16 and 32 points, transformed by Fourier, for kernels below that size."""

from collections.abc import Sequence
from typing import Any

from ...algorithm import ErrorModel
from ...bounds import normwise
from ...problem import ConvProblem
from .tiled import Tiled

POINTS = (8, 16, 32)


class FftTiled(Tiled):
    """Vasilache et al., "Fast Convolutional Nets With fbfft", 2015; real products as in kernels.fourier.

    Its error is within the bound of accuracy="normwise". A NaN, an infinity or a huge value spreads over all outputs of
    the tiles that read it, and not beyond.
    """

    name = "fft-tiled"

    def why_not(self, problem: ConvProblem) -> str | None:
        reason = super().why_not(problem)
        if reason is None and max(problem.kernel) >= max(POINTS):
            return f"its tiles have up to {max(POINTS)} points, which a kernel of {problem.kernel} leaves no output"
        if reason is None and problem.kernel[-1] == 1:
            return "its rows take a kernel of two columns or more"
        return reason

    def choices(self, problem: ConvProblem) -> Sequence[Any]:
        from ...kernels.cuda.tiles import Tiles

        rows, columns = (1,) * (2 - problem.ndim) + tuple(problem.kernel)
        sizes = [((1 if rows == 1 else n), n) for n in POINTS if n > max(rows, columns)]
        return [Tiles("fourier", (h - rows + 1, w - columns + 1), (rows, columns)) for h, w in sizes]

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)
