"""The map of an axis in pieces: which input element lies at a position of the padded axis, as `taps` says it point by
point, for axes that are too long for that to be cheap.

A piece is a row (position, count, source, step): positions position … position + count − 1 read the elements source,
source + step, … A position in no piece is a zero. Pieces may reach past the axis, and begin before it.
"""

from typing import Any

import numpy as np


def padded(size: int, lo: int, total: int, mode: str) -> np.ndarray:
    """The pieces of an axis of `size` elements after `lo` of padding, `total` positions in all."""
    hi = total - lo - size
    before = {"replicate": (0, 0), "circular": (size - lo, 1), "reflect": (lo, -1)}
    after = {"replicate": (size - 1, 0), "circular": (0, 1), "reflect": (size - 2, -1)}
    pieces = [(lo, size, 0, 1)]
    if mode != "zeros" and lo > 0:
        pieces.append((0, lo, *before[mode]))
    if mode != "zeros" and hi > 0:
        pieces.append((lo + size, hi, *after[mode]))
    return _table(pieces)


def taps(count: int, dilation: int, backwards: bool) -> np.ndarray:
    """The pieces of an axis of `count` taps so far apart, from the last one on if asked."""
    if dilation == 1:
        return _table([(0, count, count - 1, -1) if backwards else (0, count, 0, 1)])
    number = np.arange(count)
    one = np.ones_like(number)
    return _table(np.stack([number * dilation, one, number[::-1] if backwards else number, one], 1))


def shared_zeros(size: int, lo: int, total: int, mode: str) -> int:
    """How many zeros at the beginning may be those at the end, where the axis is bent to a circle."""
    return max(0, min(lo, total - lo - size)) if mode == "zeros" else 0


def _table(pieces: Any) -> np.ndarray:
    return np.array(pieces, np.int64).reshape(-1, 4)
