"""Correlation of two small arrays on one thread, from arrays as they are to arrays as they are, in one call.

Where the products take but a few microseconds, packing weights and splitting tasks would take longer than they do. So
here the filter slides over the image whole (filter_slide.py), its weights read in place, and as little is copied as can
be: an image of several lines once, with its padding; of a signal only what a tile at its ends reads.
"""

from typing import Any, NamedTuple

import numpy as np

from ..compile import jit
from . import memory, simd
from .filter_slide import HEIGHT, add_along, add_taps
from .filter_strip import copy_run, write_lines
from .read_strip import clear
from .simd import vector


class Frame(NamedTuple):
    """Sizes of an image x, a filter w and the result y along three axes; positions of padding before x.

    parts: real numbers in an element. stacked: whether a tile's vectors lie below each other, else side by side. Then
    bytes in scratch: from line to line, plane to plane and part to part of what is padded there, and between lines of
    sums, which begin at byte `sums`.
    """

    x_planes: int
    x_lines: int
    x_points: int
    w_planes: int
    w_lines: int
    w_points: int
    lo_d: int
    lo_h: int
    lo_w: int
    y_planes: int
    y_lines: int
    y_points: int
    parts: int
    stacked: int
    line: int
    plane: int
    part: int
    sums_line: int
    sums: int


def frame_of(
    x: tuple[int, ...], w: tuple[int, ...], lo: tuple[int, ...], y: tuple[int, ...], parts: int, zero: Any
) -> tuple[np.ndarray, int]:
    """The Frame for sizes x, w, y and padding lo along three axes, as the array `correlate` takes, and how many
    accumulators (of zero's type) its scratch has."""
    lanes = simd.VECTOR_BYTES // zero.itemsize
    across, tall = -(-y[2] // lanes), -(-y[1] // HEIGHT)
    stacked = tall * across <= 2 * y[1] * -(-across // HEIGHT)
    width, lines, planes = (across, tall * HEIGHT, y[0]) if stacked else (HEIGHT, 1, 1)

    def odd(elements: int) -> int:
        return (-(-elements // lanes) | 1) * simd.VECTOR_BYTES

    line, sums_line = odd(width * lanes + w[2] - 1), odd(width * lanes)
    plane = line * (lines + w[1] - 1)
    part = plane * (planes + w[0] - 1)
    sums = part * (3 if parts == 2 else 1)
    total = sums + sums_line * (HEIGHT if stacked else 1) + simd.CACHE_LINE
    values = (*x, *w, *lo, *y, parts, stacked, line, plane, part, sums_line, sums)
    return np.array(values, np.intp), total // zero.itemsize


@jit
def _pad(
    x: Any, f: Any, d: int, h: int, c: int, planes: int, lines: int, points: int, conjugate: bool, zero: Any,
    scratch: Any, base: int,
) -> None:  # fmt: skip
    """Planes × lines × points of the padded image, from position (d, h, c) on, at byte address base.

    Of complex numbers the parts, and the negative of that one which the second part of a weight meets with that sign.
    """
    simd.outlined()
    item, source = scratch.itemsize, x.itemsize
    clear(base, f.sums // simd.VECTOR_BYTES, zero)
    first, last = max(c, f.lo_w), min(c + points, f.lo_w + f.x_points)
    for i in range(max(d, f.lo_d), min(d + planes, f.lo_d + f.x_planes)):
        for j in range(max(h, f.lo_h), min(h + lines, f.lo_h + f.x_lines)):
            row = (i - f.lo_d) * f.x_lines + j - f.lo_h
            here = memory.address(x) + (row * f.x_points + first - f.lo_w) * f.parts * source
            there = base + (i - d) * f.plane + (j - h) * f.line + (first - c) * item
            if f.parts == 1 and last - first >= simd.lanes(zero):
                copy_run(x, here, scratch, there, last - first, zero)
                continue
            for k in range((last - first) * f.parts):
                part, value = k % f.parts, memory.load_at(x, zero, here + k * source)
                memory.keep_at(there + part * f.part + k // f.parts * item, value)
                if f.parts == 2 and (part == 0) == conjugate:
                    memory.keep_at(there + 2 * f.part + k // 2 * item, zero - value)


@jit
def _finite(w: Any, zero: Any) -> bool:
    """Whether zeros times these numbers are zeros."""
    one, lanes, at = vector.broadcast(zero), simd.lanes(zero), memory.address(w)
    total = one
    for i in range(0, len(w) // lanes * lanes, lanes):
        total = vector.fma(one, vector.load_at(w, at + i * w.itemsize, one), total)
    rest = vector.horizontal_sum(total)
    for i in range(len(w) // lanes * lanes, len(w)):
        rest += zero * memory.load_at(w, zero, at + i * w.itemsize)
    return rest == zero


@jit
def correlate(
    x: Any, w: Any, frame: Any, turned: bool, conjugate: bool, zero: Any, scratch: Any, y: Any
) -> None:  # fmt: skip
    """y[o] = Σ_r x[o + r − lo] · w[r], with x as zero outside; `turned`: · w[−1 − r]; `conjugate`: its conjugate.

    x, w, y: 1-D arrays, as `storage` gives them, of elements in order; frame, and the size of scratch: by `frame_of`.
    """
    simd.outlined()
    f = Frame(
        frame[0], frame[1], frame[2], frame[3], frame[4], frame[5], frame[6], frame[7], frame[8], frame[9], frame[10],
        frame[11], frame[12], frame[13], frame[14], frame[15], frame[16], frame[17], frame[18],
    )  # fmt: skip
    item, lanes = scratch.itemsize, simd.lanes(zero)
    padding = -memory.address(scratch) % simd.CACHE_LINE
    base = memory.address(scratch) + padding
    sums = scratch[(padding + f.sums) // item :]
    step = (-w.itemsize if turned else w.itemsize) * f.parts
    weights = memory.address(w) + (len(w) - f.parts if turned else 0) * w.itemsize
    tall, wide = (HEIGHT, f.y_points) if f.stacked else (1, HEIGHT * lanes)
    row, same = f.y_points * f.parts * y.itemsize, f.parts == 1 and x.itemsize == item
    # Taps that meet only padding may be left out: unless it makes NaNs of them.
    finite = not f.stacked and _finite(w, zero)
    if f.stacked:
        planes, lines = f.y_planes + f.w_planes - 1, f.y_lines + f.w_lines - 1
        _pad(x, f, 0, 0, 0, planes, lines, f.y_points + f.w_points - 1, conjugate, zero, scratch, base)
    for d in range(f.y_planes):
        for h in range(0, f.y_lines, tall):
            for c in range(0, f.y_points, wide):
                target = memory.address(y) + (d * f.y_lines + h) * row + c * f.parts * y.itemsize
                place, plane_step, line_step = base + d * f.plane + h * f.line, f.plane, f.line
                if not f.stacked:
                    i, j, k = d - f.lo_d, h - f.lo_h, c - f.lo_w
                    inside = same and min(i, j, k) >= 0 and i + f.w_planes <= f.x_planes
                    inside = inside and j + f.w_lines <= f.x_lines and k + wide + f.w_points - 1 <= f.x_points
                    if inside:
                        plane_step, line_step = f.x_lines * f.x_points * item, f.x_points * item
                        place = memory.address(x) + i * plane_step + j * line_step + k * item
                    else:
                        place = base
                        points = wide + f.w_points - 1
                        _pad(x, f, d, h, c, f.w_planes, f.w_lines, points, conjugate, zero, scratch, base)
                begin, end = 0, f.w_points
                if finite:
                    begin, end = max(f.lo_w - c - wide + 1, 0), min(f.lo_w + f.x_points - c, end)
                straight = same and not f.stacked and c + wide <= f.y_points
                total = target if straight else base + f.sums
                for part in range(f.parts):
                    for t in range(f.w_planes * f.parts):
                        plane, factor = t // f.parts, t % f.parts
                        held = 2 if factor and (part == 1) == conjugate else part ^ factor
                        source = place + held * f.part + plane * plane_step
                        panel = weights + plane * f.w_lines * f.w_points * step + factor * w.itemsize
                        if f.stacked:
                            add_taps(
                                total, f.sums_line, t == 0, scratch, source, line_step, (wide + lanes - 1) // lanes,
                                simd.VECTOR_BYTES, f.w_lines, 1, f.w_points, item, w, panel, f.w_points * step, step,
                                zero,
                            )  # fmt: skip
                            continue
                        for r in range(f.w_lines):
                            add_along(
                                total, t + r == 0, scratch, source + r * line_step + begin * item, 1, end - begin, 1, w,
                                panel + (r * f.w_points + begin) * step, step, zero,
                            )  # fmt: skip
                    if not straight:
                        write_lines(
                            sums, f.sums_line, min(tall, f.y_lines - h), min(wide, f.y_points - c), y,
                            target + part * y.itemsize, row, f.parts * y.itemsize, zero,
                        )  # fmt: skip
