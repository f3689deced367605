"""convolve and correlate of N-dimensional arrays, with the arguments and results of scipy.signal's.

in1 and in2 have the same number of dimensions; no channels, no batch. correlate conjugates in2. A result
of mode "full" has size n1 + n2 − 1 on each axis, "valid" only what needs no padding, "same" the central
part of in1's size.
"""

import itertools
from typing import Any

import numpy as np

from .errors import ProblemError
from .plan import make_plan
from .problem import DTYPES, ConvProblem, choice

_MODES = ("full", "valid", "same")
_METHODS = ("auto", "direct", "fft")


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> np.ndarray:
    """The discrete convolution of two N-D arrays; see scipy.signal.convolve.

    method: "direct" sums products in order; "fft" takes the algorithm of that name, or raises UnsupportedError where
    it does not compute these arrays (integers); "auto" what is faster.
    """
    in1, in2 = _arrays(in1, in2, mode, method)
    if in1.ndim == 0:
        return in1 * in2
    if mode == "valid" and _smaller(in1, in2):
        in1, in2 = in2, in1
    return _correlate(in1, in2[(slice(None, None, -1),) * in2.ndim], mode, method)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> np.ndarray:
    """The cross-correlation of two N-D arrays, in2 conjugated; see scipy.signal.correlate."""
    in1, in2 = _arrays(in1, in2, mode, method)
    if in1.ndim == 0:
        return in1 * in2.conj()
    if mode == "valid" and _smaller(in1, in2):
        # c12[n] = conj(c21[−n]): slide the smaller over the larger, then turn the result round.
        swapped = _correlate(in2, _conjugate(in1), mode, method)
        return _conjugate(swapped[(slice(None, None, -1),) * in1.ndim])
    return _correlate(in1, _conjugate(in2), mode, method)


def _arrays(in1: Any, in2: Any, mode: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    choice("mode", mode, _MODES)
    choice("method", method, _METHODS)
    in1, in2 = np.asarray(in1), np.asarray(in2)
    if in1.ndim != in2.ndim:
        raise ProblemError(f"in1 has {in1.ndim} dimensions and in2 {in2.ndim}; they must have the same number")
    return in1, in2


def _smaller(in1: np.ndarray, in2: np.ndarray) -> bool:
    """Whether "valid" must slide in1 over in2; refuses arrays of which neither fits inside the other."""
    fits = all(a >= b for a, b in zip(in1.shape, in2.shape, strict=True))
    if not fits and any(a > b for a, b in zip(in1.shape, in2.shape, strict=True)):
        raise ProblemError(
            f"mode='valid' needs one array at least as large as the other on every axis; "
            f"in1 has shape {in1.shape} and in2 {in2.shape}"
        )
    return not fits


def _conjugate(array: np.ndarray) -> np.ndarray:
    return array.conj() if array.dtype.kind in "cO" else array


def _correlate(in1: np.ndarray, in2: np.ndarray, mode: str, method: str) -> np.ndarray:
    """out[i] = Σ_j in1[i + j − lo] · in2[j], with in1 taken as 0 outside; in2 is conjugated or reversed already."""
    lo = [{"full": n - 1, "same": n // 2, "valid": 0}[mode] for n in in2.shape]
    sizes = zip(in1.shape, in2.shape, strict=True)
    size = [{"full": m + n - 1, "same": m, "valid": m - n + 1}[mode] if m and n else 0 for m, n in sizes]
    dtype = np.result_type(in1.dtype, in2.dtype)
    if 0 in size:
        return np.zeros(size, dtype)
    if in1.ndim > 3 or dtype not in DTYPES:
        return _by_taps(in1, in2, lo, size, dtype)
    padding = [(a, p + n - 1 - a - m) for a, p, m, n in zip(lo, size, in1.shape, in2.shape, strict=True)]
    problem = ConvProblem.forward((1, 1, *in1.shape), (1, 1, *in2.shape), padding=padding, dtype=dtype)
    return make_plan(problem, in2[None, None], algorithm=method)(in1[None, None])[0, 0]


def _by_taps(in1: np.ndarray, in2: np.ndarray, lo: list[int], size: list[int], dtype: np.dtype) -> np.ndarray:
    """The definition in NumPy, one tap after the other: for the dtypes (bool, longdouble, object) and the many
    dimensions that convlab has no kernels for and SciPy answers."""
    out = np.zeros(size, dtype)
    for j in itertools.product(*map(range, in2.shape)):
        target, source = [], []
        for tap, first, p, m in zip(j, lo, size, in1.shape, strict=True):
            begin, end = max(0, first - tap), min(p, m + first - tap)
            target.append(slice(begin, max(end, begin)))
            source.append(slice(begin + tap - first, max(end, begin) + tap - first))
        out[tuple(target)] += in1[tuple(source)] * in2[j]
    return out
