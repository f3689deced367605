"""Vectors inside @njit functions: load one, calculate as with a number, store it.

    @njit
    def scale(x, factor):  # of len(x) that the lanes divide
        for i in range(0, len(x), simd.lanes(factor)):
            vector.store(factor * vector.load(x, i), x, i)

docs/simd.md has the whole of it, with a tail and a function that serves vectors and numbers alike.
"""

from .arithmetic import all_lanes, any_lane, fma, select
from .elements import load, load_at, load_rows, store, store_at, store_rows
from .shuffles import deinterleave, horizontal_sum, interleave, reverse, rotate, transpose, window
from .value import Vector, broadcast, width

__all__ = [
    "Vector",
    "all_lanes",
    "any_lane",
    "broadcast",
    "deinterleave",
    "fma",
    "horizontal_sum",
    "interleave",
    "load",
    "load_at",
    "load_rows",
    "reverse",
    "rotate",
    "select",
    "store",
    "store_at",
    "store_rows",
    "transpose",
    "width",
    "window",
]
