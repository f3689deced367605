"""The oracle: convolution by its definition, in float64 (complex128, or exact integers), to be read and believed.

NumPy only. One loop over the kernel's taps; at each tap a matrix product over channels. `problem` is
anything with the fields of ConvProblem: this module imports nothing of convlab, so that nothing in
convlab can make it agree by sharing a mistake. A backward pass is conjugate-free, as the directions are.
"""

import itertools
import math
from typing import Any

import numpy as np

_PAD: Any = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def solve(problem: Any, a: Any, b: Any, bias: Any = None) -> np.ndarray:
    """The result of a problem, in its layout and in the wide dtype (integers: wrapped to the problem's).

    a, b: (x, w) forward, (grad_output, w) for backward_data, (x, grad_output) for backward_weights;
    batched, in the problem's layout. Non-finite values follow IEEE arithmetic; padding is a zero that multiplies.
    """
    wide = wide_dtype(problem.dtype)
    last = problem.layout == "channels_last"

    def channels_first(array: Any) -> np.ndarray:
        array = np.asarray(array).astype(wide)
        return np.moveaxis(array, -1, 1) if last else array

    with np.errstate(all="ignore"):
        if problem.direction == "backward_weights":
            return narrow(problem, weights_gradient(problem, channels_first(a), channels_first(b)))
        weight = np.asarray(b).astype(wide)
        step = forward if problem.direction == "forward" else backward_data
        result = step(problem, channels_first(a), weight)
        if bias is not None:
            result = result + np.asarray(bias).astype(wide).reshape(-1, *[1] * problem.ndim)
        result = activate(narrow(problem, result), problem.activation)
    return np.moveaxis(result, 1, -1) if last else result


def wide_dtype(dtype: np.dtype) -> np.dtype:
    """In which the oracle computes: float64, complex128, or the 64-bit integer that wraps alike."""
    return np.dtype({"f": np.float64, "c": np.complex128, "i": np.int64, "u": np.uint64}[dtype.kind])


def narrow(problem: Any, result: np.ndarray) -> np.ndarray:
    """Integers wrap to the problem's dtype; everything else stays wide."""
    return result.astype(problem.dtype) if problem.dtype.kind in "iu" else result


def taps(problem: Any) -> Any:
    """For every tap of the kernel: its index, and the slice of the padded input that the outputs read there."""
    for r in itertools.product(*map(range, problem.kernel)):
        starts = [ri * d for ri, d in zip(r, problem.dilation, strict=True)]
        yield (
            r,
            tuple(
                slice(start, start + (p - 1) * s + 1, s)
                for start, p, s in zip(starts, problem.out_size, problem.stride, strict=True)
            ),
        )


def pad(problem: Any, x: np.ndarray) -> np.ndarray:
    """x (N, C, *spatial), padded as the problem says."""
    return np.pad(x, ((0, 0), (0, 0), *problem.padding), mode=_PAD[problem.padding_mode])


def by_group(problem: Any, array: np.ndarray) -> np.ndarray:
    """(N, channels, *spatial) → (N, groups, channels/groups, points)."""
    n, c, *size = array.shape
    return array.reshape(n, problem.groups, c // problem.groups, math.prod(size))


def forward(problem: Any, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y[n,k,o] = Σ_c Σ_r x[n,c,o·s + r·d − lo] · w[k,c,r]."""
    k, depth = w.shape[:2]
    padded, g = pad(problem, x), problem.groups
    y = np.zeros((x.shape[0], g, k // g, math.prod(problem.out_size)), w.dtype)
    for r, window in taps(problem):
        y += w[(..., *r)].reshape(g, k // g, depth) @ by_group(problem, padded[(..., *window)])
    return y.reshape(x.shape[0], k, *problem.out_size)


def backward_data(problem: Any, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x[n,c,i] = Σ_k Σ_(o,r: o·s + r·d − lo = i) y[n,k,o] · w[k,c,r]."""
    k, depth = w.shape[:2]
    g, n = problem.groups, y.shape[0]
    size = [h + lo + hi for h, (lo, hi) in zip(problem.in_size, problem.padding, strict=True)]
    padded = np.zeros((n, g * depth, *size), w.dtype)
    points = by_group(problem, y)
    for r, window in taps(problem):
        part = w[(..., *r)].reshape(g, k // g, depth).transpose(0, 2, 1) @ points
        padded[(..., *window)] += part.reshape(n, g * depth, *problem.out_size)
    inside: Any = [slice(lo, lo + h) for h, (lo, _) in zip(problem.in_size, problem.padding, strict=True)]
    return padded[(..., *inside)]


def weights_gradient(problem: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """w[k,c,r] = Σ_n Σ_o x[n,c,o·s + r·d − lo] · y[n,k,o]."""
    padded = pad(problem, x)
    w = np.zeros(problem.w_shape, x.dtype)
    points = by_group(problem, y)
    for r, window in taps(problem):
        patches = by_group(problem, padded[(..., *window)])
        w[(..., *r)] = (points @ patches.swapaxes(-1, -2)).sum(0).reshape(problem.w_shape[:2])
    return w


def activate(v: np.ndarray, activation: str | None) -> np.ndarray:
    """The activation, element by element; gelu is the exact one (erf)."""
    if activation is None:
        return v
    if activation == "relu":
        return np.maximum(v, v.dtype.type(0))
    if activation == "relu6":
        return np.minimum(np.maximum(v, v.dtype.type(0)), v.dtype.type(6))
    if activation == "tanh":
        return np.tanh(v)
    if activation == "gelu":
        return 0.5 * v * (1 + np.vectorize(math.erf, otypes=[np.float64])(v / math.sqrt(2)))
    sigmoid = 1 / (1 + np.exp(-v))
    return sigmoid if activation == "sigmoid" else v * sigmoid
