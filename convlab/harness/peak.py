"""The FMA peak of the machine, measured between the candidates' turns: what "% of peak" is a part of."""

from collections.abc import Callable

import numpy as np

from ..bounds import accumulator

# Operations a second that this many threads reach on register operands of a dtype, float32 or float64.
Measure = Callable[[int, np.dtype], float]


def fma_peak(threads: int, dtype: np.dtype) -> float:
    """As `Measure` says, by a Numba kernel that is compiled at the first call."""
    from ..kernels.cpu.peak import fma_peak as measure

    return measure(threads, dtype)


def unit(dtype: np.dtype) -> np.dtype | None:
    """The real dtype in which products of `dtype` are summed; None for integers, which have no FMA."""
    if dtype.kind in "iu":
        return None
    return np.empty(0, accumulator(dtype)).real.dtype


class Peak:
    """A candidate for `interleave` that measures the peak in its turns."""

    def __init__(self, measure: Measure, threads: int, dtype: np.dtype) -> None:
        self._measure, self._threads, self._dtype = measure, threads, dtype
        self._rates: list[float] = []

    def __call__(self) -> None:
        self._rates.append(self._measure(self._threads, self._dtype))

    @property
    def flops(self) -> float:
        """The most operations a second measured so far: what disturbs can only take away from them."""
        return max(self._rates)
