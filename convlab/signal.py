"""convolve and correlate of N-dimensional arrays, with the arguments and results of scipy.signal's.

in1 and in2 have the same number of dimensions; no channels, no batch. correlate conjugates in2. A result
of mode "full" has size n1 + n2 − 1 on each axis, "valid" only what needs no padding, "same" the central
part of in1's size.

Of the two arrays the one with fewer elements slides over the other. Small sums are done at once, as planning would take
longer than they do; for others a plan is made. Between calls nothing is kept of arrays, but what follows from shapes
and dtypes, of the last 256 of these some 2 KB each; and in each thread the memory that a plan worked in, up to 16 MiB.
"""

import functools
import itertools
import math
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .arrays.host import Arena
from .errors import ProblemError
from .nominal import nominal_flops
from .plan import make_plan
from .problem import DTYPES, ConvProblem, choice

_MODES = ("full", "valid", "same")
_METHODS = ("auto", "direct", "fft")
# Small is what takes the nominal core this long, and what is copied of it this little: seconds and bytes.
# A plan takes 40 to 80 µs to make and call (Zen 4).
_SHORT, _SCRATCH = 70e-6, 2**18
_BACKWARDS = slice(None, None, -1)
# Bytes that a thread keeps to work in.
_ARENA = 2**24
_own = threading.local()


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> np.ndarray:
    """The discrete convolution of two N-D arrays; see scipy.signal.convolve.

    method: "direct" sums products; "fft" takes the algorithm of that name, or raises UnsupportedError where it does not
    compute these arrays (integers); "auto" what is faster. By "fft" an infinity or a NaN spreads over the result, and
    errors are as large as the largest results make them; see `accuracy` of conv1d.
    """
    in1, in2 = np.asarray(in1), np.asarray(in2)
    case = _case(in1.shape, in2.shape, in1.dtype, in2.dtype, mode)
    choice("method", method, _METHODS)
    if in1.ndim == 0:
        return in1 * in2
    image, kernel = (in2, in1) if case.swapped else (in1, in2)
    return _slide(case, image, kernel, True, False, method)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> np.ndarray:
    """The cross-correlation of two N-D arrays, in2 conjugated; see scipy.signal.correlate."""
    in1, in2 = np.asarray(in1), np.asarray(in2)
    case = _case(in1.shape, in2.shape, in1.dtype, in2.dtype, mode)
    choice("method", method, _METHODS)
    if in1.ndim == 0:
        return in1 * in2.conj()
    complex_ = in2.dtype.kind in "cO"
    if case.swapped:  # the convolution with in2 turned and conjugated, in which in1 slides
        image = in2.conj() if complex_ else in2
        return _slide(case, image[(_BACKWARDS,) * in2.ndim], in1, True, False, method)
    return _slide(case, in1, in2, False, complex_, method)


class _Case(NamedTuple):
    """What follows from shapes, dtypes and mode. The kernel is in1 where that is `swapped`, else in2.

    crop: the part of the image that the result reads, or None for all. lo: positions of padding before it.
    problem: None where convlab has no kernels, or there is nothing to compute. small: what sums it at once, or None.
    """

    swapped: bool
    size: tuple[int, ...]
    dtype: np.dtype
    lo: tuple[int, ...]
    crop: tuple[slice, ...] | None
    problem: ConvProblem | None
    small: "_Small | None"


class _Small(NamedTuple):
    """kernels.cpu.correlate's function and `storage`, its frame, the zero of its sums, and how many its scratch has."""

    run: Any
    storage: Any
    frame: np.ndarray
    zero: Any
    scratch: int


@functools.lru_cache(maxsize=256)
def _case(shape1: tuple[int, ...], shape2: tuple[int, ...], dtype1: np.dtype, dtype2: np.dtype, mode: str) -> _Case:
    choice("mode", mode, _MODES)
    if len(shape1) != len(shape2):
        raise ProblemError(f"in1 has {len(shape1)} dimensions and in2 {len(shape2)}; they must have the same number")
    pairs = list(zip(shape1, shape2, strict=True))
    if mode == "valid" and any(a > b for a, b in pairs) and any(a < b for a, b in pairs):
        raise ProblemError(
            f"mode='valid' needs one array at least as large as the other on every axis; "
            f"in1 has shape {shape1} and in2 {shape2}"
        )
    dtype = np.result_type(dtype1, dtype2)
    swapped = math.prod(shape2) > math.prod(shape1)
    size, lo, hi, crop = [], [], [], []
    for a, b in pairs:
        # Outputs begin at `first` of mode "full".
        first = {"full": 0, "same": (b - 1) // 2, "valid": min(a, b) - 1}[mode]
        count = {"full": a + b - 1, "same": a, "valid": max(a, b) - min(a, b) + 1}[mode] if a and b else 0
        points, taps = (b, a) if swapped else (a, b)
        start, stop = first - taps + 1, first + count  # what they read of the image
        size.append(count)
        lo.append(max(-start, 0))
        hi.append(max(stop - points, 0))
        crop.append(slice(max(start, 0), min(stop, points)))
    image, kernel = (shape2, shape1) if swapped else (shape1, shape2)
    part = [axis.stop - axis.start for axis in crop]
    problem = None
    if dtype in DTYPES and 1 <= len(size) <= 3 and 0 not in size:
        padding = list(zip(lo, hi, strict=True))
        problem = ConvProblem.forward((1, 1, *part), (1, 1, *kernel), padding=padding, dtype=dtype)
    cropped = tuple(crop) if tuple(part) != image else None
    small = None if problem is None else _small(problem)
    return _Case(swapped, tuple(size), dtype, tuple(lo), cropped, problem, small)


def _small(problem: ConvProblem) -> _Small | None:
    """How to sum it at once, if it is small."""
    flops = problem.flops
    if problem.ndim == 1:  # those with padding are left out
        flops = min(flops, flops // problem.out_size[0] * problem.in_size[0])
    if flops > _SHORT * nominal_flops(problem.dtype):
        return None
    from .kernels.cpu import correlate
    from .kernels.cpu.tensor import parts, storage, zero

    def three(sizes: Iterable[int], missing: int) -> tuple[int, ...]:
        return (missing,) * (3 - problem.ndim) + tuple(sizes)

    like, lo = zero(problem.dtype), three((lo for lo, _ in problem.padding), 0)
    x, w, y = three(problem.in_size, 1), three(problem.kernel, 1), three(problem.out_size, 1)
    frame, scratch = correlate.frame_of(x, w, lo, y, parts(problem.dtype), like)
    if scratch * like.itemsize > _SCRATCH:
        return None
    return _Small(correlate.correlate, storage, frame, like, scratch)


def _slide(
    case: _Case, image: np.ndarray, kernel: np.ndarray, turned: bool, conjugate: bool, method: str
) -> np.ndarray:
    """out[i] = Σ_j image[i + j − lo] · kernel[j], with the image taken as 0 outside; `turned`: · kernel[−1 − j]."""
    if case.crop is not None:
        image = image[case.crop]
    if case.small is not None and method != "fft":
        run, storage, frame, zero, scratch = case.small
        out = np.empty(case.size, case.dtype)
        x, w, y = (storage(_in_order(a, case.dtype)) for a in (image, kernel, out))
        run(x, w, frame, turned, conjugate, zero, np.empty(scratch, type(zero)), y)
        return out
    if 0 in case.size:
        return np.zeros(case.size, case.dtype)
    kernel = kernel[(_BACKWARDS,) * kernel.ndim] if turned else kernel
    kernel = kernel.conj() if conjugate else kernel
    if case.problem is None:
        return _by_taps(image, kernel, case)
    arena = _own.__dict__.pop("arena", None) or Arena(_ARENA)  # popped: a signal handler may call convolve, too
    try:
        plan = make_plan(case.problem, kernel[None, None], algorithm=method, arena=arena)
        return plan(image[None, None])[0, 0]
    finally:
        _own.arena = arena


def _in_order(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Its elements side by side, as kernels can read them: aligned, and writeable, or Numba compiles them again."""
    if array.dtype != dtype or not array.flags.carray:
        array = array.astype(dtype, order="C")
    return array if array.ndim == 1 else array.reshape(-1)


def _by_taps(image: np.ndarray, kernel: np.ndarray, case: _Case) -> np.ndarray:
    """The definition in NumPy, one tap after the other: for the dtypes (bool, longdouble, object) and the many
    dimensions that convlab has no kernels for and SciPy answers."""
    out = np.zeros(case.size, case.dtype)
    for j in itertools.product(*map(range, kernel.shape)):
        target, source = [], []
        for tap, first, p, m in zip(j, case.lo, case.size, image.shape, strict=True):
            begin, end = max(0, first - tap), min(p, m + first - tap)
            target.append(slice(begin, max(end, begin)))
            source.append(slice(begin + tap - first, max(end, begin) + tap - first))
        out[tuple(target)] += image[tuple(source)] * kernel[j]
    return out
