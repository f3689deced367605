"""Separable filters: those whose weights are a column times a row, w[r, s] = a[r] · b[s].

Such a filter is summed over its columns first and over its rows then: R + S products instead of R · S, and still
within direct's bound. Let |a[r]·b[s] − w[r, s]| ≤ 4u·|w[r, s]| for every weight; u is the unit roundoff of the
accumulator. The two sums round a term at most R + S times, so that the error is at most γ(R + S + 4)·Σ|w||x|, and
R + S + 4 < R·S + 2 from 3 × 3 on. Underflow in the first sum, R·η/2 at the most, is multiplied by Σ|b| ≤ S, since b is
scaled to max|b| ≤ 1: with that of the second sum it stays below R·S·η. Weights that are whole numbers have factors
that are whole numbers, up to a power of two, and so small whole numbers still give the exact result.

A weight is zero where its product is zero, so that infinities and NaN meet the same zeros and spread to the same
results. One thing differs: a column's sum may overflow where the result, after the product with a small b, would
not. It takes inputs within min|b| / Σ|w| of the largest number.
"""

import math
from typing import Any

import numpy as np

from ..bounds import accumulator

# The first sum costs about as much as a tap: its results are stored and read again, and neighbours of a block are
# summed twice. In the second every tap takes two loads' time; see kernels.cpu.filter_slide. Both measured on Zen 4.
_BETWEEN, _ROW_TAP = 8, 2
_ERROR = 4


def worthwhile(rows: int, columns: int) -> bool:
    """Whether two sums are faster than one over all taps."""
    return rows * columns > rows + _ROW_TAP * columns + _BETWEEN


def factors(w: np.ndarray) -> np.ndarray | None:
    """(a[0], …, b[0], …) in w's dtype for weights w (R, S), real, or None where they have no such factors."""
    if w.dtype.kind in "iu" or (np.isfinite(w).all() and (w == np.rint(w)).all()):
        pair: Any = _whole_factors([[int(value) for value in row] for row in w])
    else:
        pair = _real_factors(w.astype(np.longdouble))
    if pair is None:
        return None
    a, b = (np.asarray(factor, object if w.dtype.kind in "iu" else np.longdouble) for factor in pair)
    if w.dtype.kind == "f":
        scale = np.ldexp(np.longdouble(1), int(np.frexp(np.abs(b).max())[1]))
        with np.errstate(over="ignore", under="ignore"):
            a, b = (a * scale).astype(w.dtype).astype(np.longdouble), (b / scale).astype(w.dtype).astype(np.longdouble)
        u = float(np.finfo(accumulator(w.dtype)).eps) / 2
        wide = w.astype(np.longdouble)
        # Half a unit less, because the products here are rounded as well.
        if not (np.abs(np.outer(a, b) - wide) <= (_ERROR - 0.5) * u * np.abs(wide)).all():
            return None
    return np.concatenate([a, b]).astype(w.dtype)


def _whole_factors(w: list[list[int]]) -> tuple[list[int], list[int]] | None:
    """Whole numbers, exactly: a row over its greatest common divisor is b, and every row is a multiple of it."""
    row = next((row for row in w if any(row)), None)
    if row is None:
        return [0] * len(w), [1] * len(w[0])
    divisor = math.gcd(*row)
    b = [value // divisor for value in row]
    at = next(s for s, value in enumerate(b) if value)
    a = [row[at] // b[at] for row in w]
    if any(row[s] != a[r] * b[s] for r, row in enumerate(w) for s in range(len(b))):
        return None
    return a, b


def _real_factors(w: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What the largest row suggests, then each factor once more by least squares, which evens out the roundings of
    the weights themselves."""
    if not np.isfinite(w).all():
        return None
    b = w[np.argmax(np.abs(w).max(1))]
    b = b / np.abs(b).max()
    a = w @ b / (b @ b)
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        b = a @ w / (a @ a)
    return (a, b) if np.isfinite(b).all() and b.any() else None
