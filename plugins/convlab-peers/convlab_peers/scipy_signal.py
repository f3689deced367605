"""scipy.signal, the best it offers for images with channels: FFTs over the spatial axes, summed over channels.

Of correlate (direct, FFT, or the one that choose_conv_method picks), correlate2d, oaconvolve and fftconvolve,
the last was the fastest from 3 to 64 channels and 3x3 to 11x11 kernels (Zen 4), by 1.4 to 5 times.
One call a filter, so that memory stays at a few images however many filters there are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from convlab import Algorithm, Context, ConvProblem, ErrorModel
from convlab.bounds import normwise

# NumPy's names of the padding modes.
PAD: dict[str, Any] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class ScipySignal(Algorithm):
    """scipy.signal.fftconvolve. Stride drops results, dilation puts zeros between the taps, groups are a loop."""

    name = "scipy"
    backend = "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction != "forward":
            return "scipy.signal has no gradients"
        if problem.dtype.kind not in "fc" or problem.dtype == "float16":
            return "scipy.signal's FFTs are float32, float64 and their complex kin"
        if problem.activation is not None:
            return "scipy.signal has no activations"
        if problem.in_channels == 0:
            return "scipy.signal does not convolve empty arrays"
        return None

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        """The filters turned round, since fftconvolve convolves, with zeros between taps that dilation parts."""
        span = tuple((r - 1) * d + 1 for r, d in zip(problem.kernel, problem.dilation, strict=True))
        filters = np.zeros((*weight.shape[:2], *span), weight.dtype)
        every_tap = tuple(slice(None, None, d) for d in problem.dilation)
        filters[(slice(None), slice(None), *every_tap)] = weight
        return np.flip(filters, tuple(range(2, filters.ndim)))

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from scipy import fft, signal

        x, bias = operands
        if problem.layout == "channels_last":
            x, out = np.moveaxis(x, -1, 1), np.moveaxis(out, -1, 1)
        x = np.pad(x, ((0, 0), (0, 0), *problem.padding), mode=PAD[problem.padding_mode])
        depth, filters_per_group = state.shape[1], problem.out_channels // problem.groups
        kept = (slice(None), *(slice(None, None, s) for s in problem.stride))
        axes = range(1, 1 + problem.ndim)
        with fft.set_workers(ctx.threads):
            for n, k in np.ndindex(out.shape[:2]):
                first = k // filters_per_group * depth
                y = signal.fftconvolve(x[n, first : first + depth], state[k], mode="valid", axes=axes)
                np.sum(y[kept], axis=0, out=out[n, k])
        if bias is not None:
            out += bias.reshape(-1, *[1] * problem.ndim)
