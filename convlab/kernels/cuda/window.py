"""The geometry of kernels that read taps together: tables, and arithmetic where that is all there is to them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import int32, uint32

from ..taps import Taps
from .compile import inlined
from .geometry import Tables, entry, tables
from .memory import quotient

_TOGETHER = 7  # taps of an axis, at the most, that a kernel has in its code


class Window(NamedTuple):
    """Tables whose taps are evenly apart, as those of every convolution are, once they ascend.

    spaces: positions from a tap to the next, of each axis. axes: (shift, size) of the planes, lines and points of which
    position p is input element p + shift, a zero where it has no such element; mapped: of which only the tables tell.
    """

    tables: Tables
    spaces: tuple[int, ...]
    axes: tuple[tuple[int, int], ...]
    mapped: tuple[bool, ...]

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What kernels take of it beside the table."""
        return (*self.tables.numbers, *(np.int32(n) for n in (*self.spaces, *np.ravel(self.axes))))

    def together(self, axis: int) -> int:
        """How many taps of an axis are taken together: as many as divide them evenly."""
        count = (self.tables.i, self.tables.j, self.tables.k)[axis]
        return next(n for n in range(_TOGETHER, 0, -1) if count % n == 0)

    def sliding(self, axis: int) -> tuple[int, int]:
        """(taps that are taken together, positions from one output to the next) of an axis where these taps are
        neighbours, and so are outputs, or every second is; (1, 1) where nothing is shared."""
        step = (self.tables.plane_step, self.tables.line_step, self.tables.point_step)[axis]
        return (self.together(axis), step) if self.spaces[axis] == 1 and step <= 2 else (1, 1)


def images_as_rows(taps: Window, images: int, x: Any, y: Any) -> tuple[Window, int, Any, Any]:
    """(window, images, x, y) for kernels, which hold several rows at once: of signals, those of all images are rows."""
    table = taps.tables
    if not table.depth == table.height == table.i == table.j == 1 or taps.axes[:2] != ((0, 1), (0, 1)):
        return taps, images, x, y
    window = taps._replace(tables=table._replace(height=images, line_step=1), axes=((0, 1), (0, images), taps.axes[2]))
    return window, 1, *(each._replace(image=0, row=each.image) for each in (x, y))


def window(taps: Taps, to_device: Callable[[np.ndarray], Any]) -> Window:
    """The Window of Taps that ascend (kernels.taps). to_device: as `tables` takes it."""
    spaces = []
    for offsets in (taps.i, taps.j, taps.k):
        spaces.append(int(offsets[1] - offsets[0]) if len(offsets) > 1 else 1)
        if (offsets != np.arange(len(offsets)) * spaces[-1]).any():
            raise ValueError(f"taps at {offsets} neither ascend from 0 nor lie evenly apart")
    axes = [_shifted(source) for source in (taps.planes, taps.lines, taps.points)]
    mapped = tuple(axis is None for axis in axes)
    return Window(tables(taps, to_device), tuple(spaces), tuple(axis or (0, 0) for axis in axes), mapped)


def _shifted(source: np.ndarray) -> tuple[int, int] | None:
    """(shift, size) if position p is element p + shift of `size`, a zero where that is none of them."""
    inside = np.flatnonzero(source >= 0)
    if not inside.size:
        return 0, 0
    shift, size = int(source[inside[0]] - inside[0]), int(source.max()) + 1
    at = np.arange(len(source)) + shift
    return (shift, size) if (np.where((at < 0) | (at >= size), -1, at) == source).all() else None


@functools.cache
def source_of(mapped: bool) -> Any:
    """The device function that gives (the input element at a position of an axis, whether there is one)."""

    @inlined
    def looked_up(table: Any, start: Any, count: Any, position: Any, shift: Any, size: Any) -> Any:
        element = entry(table, start + min(position, count - 1))
        return element, element >= 0

    @inlined
    def shifted(table: Any, start: Any, count: Any, position: Any, shift: Any, size: Any) -> Any:
        element = int32(position + shift)
        return element, uint32(element) < uint32(size)

    return looked_up if mapped else shifted


@inlined
def divided(a: Any, b: Any) -> Any:
    """(a // b, a % b), quickly where b is 1, as it is for most threads."""
    if b == 1:
        return int32(a), int32(0)
    high, low = quotient(a, b)
    return int32(high), int32(low)
