"""A vector type of value for Numba."""

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
