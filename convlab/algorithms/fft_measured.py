"""fft-measured: fft with plans that FFTW measures, for who will call the same sizes often."""

from dataclasses import replace

from ..algorithm import Cost
from ..problem import ConvProblem
from .fft import Fft

# What transforms reach more than with estimated plans: the median of 1.02 to 1.56 (see fftw.py).
_FASTER = 1.2


class FftMeasured(Fft):
    """As fft, but the first plan for a size of blocks takes up to seconds, and what FFTW learns is kept in the user's
    cache directory: the same size gives the same plan, so the same bits, until that file is gone.

    Whole convolutions are 1.00 to 1.35 times as fast (large filters of images and signals, 1.16 in the median, Zen 4).

    Not among the algorithms that are there by themselves. `convlab.register(FftMeasured())` asks for it: by name, and
    for "auto", which then takes it where it would take fft.
    """

    name = "fft-measured"
    measured = True

    def cost(self, problem: ConvProblem) -> Cost:
        stages = super().cost(problem).stages
        return Cost(
            tuple(
                replace(stage, efficiency=_FASTER * stage.efficiency) if stage.name == "transforms" else stage
                for stage in stages
            )
        )
