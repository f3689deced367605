"""fft: Fourier transforms of blocks of the image, by FFTW, for kernels so large that nothing else is worth while."""

from collections.abc import Mapping
from typing import Any, ClassVar

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel
from ..bounds import normwise
from ..problem import ConvProblem
from .fftw import missing
from .phased import Phased


class Fft(Algorithm):
    """Overlap-save with block sizes by cost; an image that fits into one block is transformed whole.

    Its error is within the bound of accuracy="normwise". A NaN, an infinity or a huge value spreads over all outputs of
    the blocks that read it, and not beyond.
    """

    name, backend = "fft", "cpu"
    measured: ClassVar[bool] = False

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.dtype.kind not in "fc":
            return f"its transforms take fractions of the data, {problem.dtype} has none"
        if set(problem.stride) != {1}:
            return f"neighbouring outputs must share inputs, the stride is {problem.stride}"
        if problem.direction == "backward_weights" and set(problem.dilation) != {1}:
            return f"for this direction its taps must be neighbours, the dilation is {problem.dilation}"
        return missing()

    def cost(self, problem: ConvProblem) -> Cost:
        from .overlap import cut

        return cut(problem.without_epilogue())[1]

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from .spectra import workspace

        return workspace(problem.without_epilogue(), ctx.threads)

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from .spectra import prepared

        return prepared(problem.without_epilogue())

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from .fft_calls import Filters

        return Filters(problem, problem.without_epilogue(), weight, ctx.threads, self.measured)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        if problem.direction == "backward_weights":
            from .fft_calls import gradient

            x, g = operands
            gradient(problem, x, g, workspace, out, ctx.threads, self.measured)
        else:
            state.run(*operands, workspace, out, ctx.threads)


def strided() -> Algorithm:
    """Fft for every stride."""
    return Phased(Fft())
