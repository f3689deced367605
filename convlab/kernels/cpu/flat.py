"""Taps and an Extent in one array of integers: what a call from Python takes apart in no time.

Of a tuple among a kernel's arguments Numba takes apart every field, which for these two is 4 µs a call: as
long as a small layer takes. An array is 0.1 µs, and compiled code finds its parts again.
"""

from typing import Any

import numpy as np

from ..compile import jit
from ..taps import Taps
from .extent import Extent


def flat(taps: Taps, extent: Extent) -> np.ndarray:
    """intp: where each array begins and the last one ends, the numbers among the fields, then the arrays."""
    arrays = [taps.planes, taps.lines, taps.points, taps.i, taps.j, taps.k, taps.runs]
    numbers = [*extent, taps.plane_step, taps.line_step, taps.point_step, taps.depth, taps.height, taps.width]
    ends = np.cumsum([len(arrays) + 1 + len(numbers), *map(len, arrays)])
    return np.concatenate([ends, numbers, *arrays]).astype(np.intp)


@jit
def extent_in(flat: Any) -> Any:
    """The Extent of `flat`."""
    return Extent(flat[8], flat[9], flat[10], flat[11], flat[12])


@jit
def taps_in(flat: Any) -> Any:
    """The Taps of `flat`: views of it."""
    return Taps(
        flat[flat[0] : flat[1]], flat[flat[1] : flat[2]], flat[flat[2] : flat[3]],
        flat[flat[3] : flat[4]], flat[flat[4] : flat[5]], flat[flat[5] : flat[6]],
        flat[13], flat[14], flat[15], flat[16], flat[17], flat[18], flat[flat[6] : flat[7]],
    )  # fmt: skip
