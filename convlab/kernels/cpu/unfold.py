"""The matrix of patches, made in full: the lecture's im2col, which costs as many bytes as it has elements."""

from typing import Any

from ..compile import jit
from . import memory, simd
from .extent import outputs_of, taps_of
from .parallel import split


@jit
def unfold_serial(
    start: int, stop: int, x: Any, images: int, channels: int, parts: int, taps: Any, matrix: Any
) -> None:
    """Rows start … stop − 1 of the matrix: row channel · taps + tap, column output (through all images).

    x: a Tensor of (images, channels). matrix: flat, in storage order, (channels · taps, images · outputs, parts).
    """
    simd.outlined()
    source, item = x.data, x.data.itemsize
    planes, lines, points = taps.planes, taps.lines, taps.points
    count = taps_of(taps)
    base = memory.address(x.data)
    target = start * images * outputs_of(taps) * parts
    for index in range(start, stop):
        channel, tap = index // count, index % count
        i = taps.i[tap // (len(taps.j) * len(taps.k))]
        j, k = taps.j[tap // len(taps.k) % len(taps.j)], taps.k[tap % len(taps.k)]
        for image in range(images):
            for d in range(taps.depth):
                for h in range(taps.height):
                    a, b = planes[d * taps.plane_step + i], lines[h * taps.line_step + j]
                    line = base + image * x.image + channel * x.channel + a * x.plane + b * x.row
                    for w in range(taps.width):
                        c = points[w * taps.point_step + k]
                        for part in range(parts):
                            if (a | b | c) < 0:
                                matrix[target] = 0
                            else:
                                matrix[target] = memory.raw_at(source, line + c * x.column + part * item)
                            target += 1


@jit
def unfold(x: Any, images: int, channels: int, parts: int, taps: Any, threads: int, matrix: Any) -> None:
    """The whole matrix, its rows split evenly over `threads`; see unfold_serial."""
    rows = channels * taps_of(taps)
    split(unfold_serial, rows, threads, (x, images, channels, parts, taps, matrix))
