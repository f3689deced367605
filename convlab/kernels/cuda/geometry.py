"""The tables of kernels.taps in device memory: one array, so that a launch has few arguments."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import int32

from ..taps import Taps
from .compile import inlined
from .intrinsics import ld1
from .memory import address, load, moved, quotient, scale_of


class Tables(NamedTuple):
    """Taps as kernels take them. table: int32 on the device, the offsets of the taps and then the source of each axis;
    i, j, k: how many taps; planes, lines: how many positions; the rest as in Taps."""

    table: Any
    i: int
    j: int
    k: int
    planes: int
    lines: int
    plane_step: int
    line_step: int
    point_step: int
    depth: int
    height: int
    width: int

    @property
    def taps(self) -> int:
        """Taps that reach each output."""
        return self.i * self.j * self.k

    @property
    def outputs(self) -> int:
        """Outputs of one image and channel."""
        return self.depth * self.height * self.width

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What kernels take of it beside the table."""
        return tuple(np.int32(n) for n in self[1:])


def tables(taps: Taps, to_device: Callable[[np.ndarray], Any]) -> Tables:
    """The Tables of Taps. to_device: copies a NumPy array to the device, numba's cuda.to_device or Device.array."""
    pieces = (taps.i, taps.j, taps.k, taps.planes, taps.lines, taps.points)
    i, j, k, planes, lines, _ = (len(piece) for piece in pieces)
    return Tables(
        to_device(np.concatenate(pieces).astype(np.int32)), i, j, k, planes, lines,
        taps.plane_step, taps.line_step, taps.point_step, taps.depth, taps.height, taps.width,
    )  # fmt: skip


@inlined
def located(output: Any, depth: Any, height: Any, width: Any) -> Any:
    """(image, depth, row, column) of an output, counted in row-major order through all images."""
    rest, column = quotient(output, width)
    rest, row = quotient(rest, height)
    image, plane = quotient(rest, depth)
    return image, plane, row, column


@inlined
def line_of(table: Any, image: Any, plane_at: Any, line_at: Any, plane_stride: Any, row_stride: Any) -> Any:
    """The address of a line of an image, or 0 for a padding zero, by places in the table."""
    plane, line = entry(table, plane_at), entry(table, line_at)
    return 0 if int32(plane | line) < 0 else moved(moved(image, plane, plane_stride), line, row_stride)


@inlined
def entry(table: Any, index: Any) -> Any:
    """A number of the table."""
    return load(table, address(table), index, 4)


@functools.cache
def looked_up(threads: int) -> Any:
    """The device function that gives, for a thread of a block, (address of what its output reads at a tap, 1), or that
    of a zero and 0.

    i, j, k: places of the tap in the table. Where the output is waits in shared memory: images, and in `places` those
    of its plane, row and column in the table, `threads` apart.
    """

    @inlined
    def place(
        table: Any, i: Any, j: Any, k: Any, images: Any, places: Any, t: Any, nothing: Any,
        x_plane: Any, x_row: Any, x_column: Any,
    ) -> Any:  # fmt: skip
        image, plane_at = ld1(images, t), ld1(places, t) + entry(table, i)
        line_at = ld1(places, t + threads) + entry(table, j)
        point_at = ld1(places, t + 2 * threads) + entry(table, k)
        line, point = line_of(table, image, plane_at, line_at, x_plane, x_row), entry(table, point_at)
        inside = point >= 0 and line != 0
        return moved(line, point, x_column) if inside else nothing, scale_of(inside)

    return place
