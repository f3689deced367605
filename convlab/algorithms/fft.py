"""fft: Fourier transforms of blocks of the image, by FFTW, for kernels so large that nothing else is worth while."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel
from ..bounds import normwise
from ..problem import ConvProblem
from .fftw import missing


class Fft(Algorithm):
    """Overlap-save with block sizes by cost; an image that fits into one block is transformed whole.

    A NaN, an infinity or a huge value spreads over all outputs of its block, and not beyond.
    """

    name, backend = "fft", "cpu"

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

        return cut(_plain(problem))[1]

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.frequencies import FILTERS
        from . import lowering
        from .overlap import cut
        from .spectra import share, sizes, wave

        (blocks, points), _ = cut(_plain(problem))
        work, dtype = lowering.extent(problem), _part(problem)
        size = sizes(points, work.parts, dtype.itemsize)
        scratch, spectrum = size.rows * size.line // dtype.itemsize, size.spectrum // dtype.itemsize
        together = share(problem, blocks, ctx.threads)

        def spec(count: int, together: bool) -> ArraySpec:
            return ArraySpec((1, count) if together else (count,), dtype, per_thread=not together)

        sums, spectra = min(FILTERS, work.filters), work.channels
        gradient = problem.direction == "backward_weights"
        if gradient:
            sums = work.filters * work.channels
            spectra = (work.channels + work.filters) * wave(problem, blocks, size.spectrum, ctx.threads)
        return {
            "scratch": spec(scratch, False),
            "sums": spec(sums * spectrum, together and gradient),
            "spectra": spec(spectra * spectrum, together),
        }

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from . import lowering
        from .overlap import cut
        from .spectra import sizes

        if problem.direction == "backward_weights":
            return {}
        work, dtype = lowering.extent(problem), _part(problem)
        size = sizes(cut(_plain(problem))[0].points, work.parts, dtype.itemsize).spectrum // dtype.itemsize
        return {"spectra": ArraySpec((work.groups * work.filters * work.channels * size,), dtype)}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.fft import filter_spectra
        from . import lowering
        from .launch import launch
        from .overlap import cut
        from .spectra import grid, image_reads, kernel_reads

        (blocks, points), _ = cut(_plain(problem))
        work, dtype, zero = lowering.extent(problem), _part(problem), lowering.example(problem)
        block = grid(points, work.parts, dtype)
        weight = np.ascontiguousarray(weight)
        of_filter, of_channel = weight.strides[:2]
        of_group = problem.out_channels // problem.groups * of_filter
        if problem.direction == "backward_data":
            of_filter, of_channel = of_channel, of_filter
        spectra = _aligned(self.prepared(problem)["spectra"].shape[0], dtype)
        scratch = _aligned(ctx.threads * block.rows * block.line // dtype.itemsize, dtype).reshape(ctx.threads, -1)
        launch(
            filter_spectra, lowering.kernel_tensor(weight), of_group, of_filter, of_channel, work.groups, work.filters,
            work.channels, work.parts, kernel_reads(problem), block, zero, scratch, spectra, threads=ctx.threads,
        )  # fmt: skip
        scale = dtype.type(1 / np.prod(points))
        return spectra, work, blocks, image_reads(problem, points), block, scale, zero

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.fft import fft
        from . import lowering
        from .launch import launch

        if problem.direction == "backward_weights":
            return self._gradient(problem, operands, workspace, out, ctx)
        spectra, work, blocks, reads, block, scale, zero = state
        source, bias = operands
        x, y = lowering.image_tensor(problem, source), lowering.image_tensor(problem, out)
        values, code = lowering.epilogue(problem, bias)
        launch(
            fft, x, spectra, values, work, blocks, reads, block, scale, code, zero, workspace["scratch"],
            workspace["sums"], workspace["spectra"], y, threads=ctx.threads,
        )  # fmt: skip

    def _gradient(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.fft_gradient import fft_gradient
        from . import lowering
        from .launch import launch
        from .overlap import cut
        from .spectra import gradient_reads, grid, image_reads, wave

        (blocks, points), _ = cut(problem)
        work, dtype, zero = lowering.extent(problem), _part(problem), lowering.example(problem)
        block = grid(points, work.parts, dtype)
        x, g = (lowering.image_tensor(problem, operand) for operand in operands)
        launch(
            fft_gradient, x, g, work, blocks, image_reads(problem, points), gradient_reads(blocks), block,
            dtype.type(1 / np.prod(points)), wave(problem, blocks, block.spectrum, ctx.threads), zero,
            workspace["scratch"], workspace["sums"], workspace["spectra"], lowering.kernel_tensor(out),
            threads=ctx.threads,
        )  # fmt: skip


def _plain(problem: ConvProblem) -> ConvProblem:
    """The problem without what does not change the blocks."""
    return problem.replace(has_bias=False, activation=None) if problem.has_bias or problem.activation else problem


def _part(problem: ConvProblem) -> np.dtype:
    """The dtype of real and imaginary parts."""
    from . import lowering

    return np.dtype(type(lowering.example(problem)))


def _aligned(count: int, dtype: np.dtype) -> np.ndarray:
    """An uninitialised array on a cache line."""
    raw = np.empty(count * dtype.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * dtype.itemsize].view(dtype)
