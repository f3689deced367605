"""The matrix of patches, made in full: the lecture's im2col, which costs as many bytes as it has elements."""

from typing import Any

from ..compile import jit
from . import simd
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
    planes, lines, points = taps.d, taps.h, taps.w
    count = planes.shape[1] * lines.shape[1] * points.shape[1]
    base = simd.address(x.data)
    target = start * images * len(planes) * len(lines) * len(points) * parts
    for index in range(start, stop):
        channel, tap = index // count, index % count
        i, j, k = (
            tap // (lines.shape[1] * points.shape[1]),
            tap // points.shape[1] % lines.shape[1],
            tap % points.shape[1],
        )
        for image in range(images):
            for d in range(len(planes)):
                for h in range(len(lines)):
                    a, b = planes[d, i], lines[h, j]
                    line = base + image * x.image + channel * x.channel + a * x.plane + b * x.row
                    for w in range(len(points)):
                        c = points[w, k]
                        for part in range(parts):
                            if (a | b | c) < 0:
                                matrix[target] = 0
                            else:
                                matrix[target] = simd.raw_at(source, line + c * x.column + part * item)
                            target += 1


@jit
def unfold(x: Any, images: int, channels: int, parts: int, taps: Any, threads: int, matrix: Any) -> None:
    """The whole matrix, its rows split evenly over `threads`; see unfold_serial."""
    rows = channels * taps.d.shape[1] * taps.h.shape[1] * taps.w.shape[1]
    split(unfold_serial, rows, threads, (x, images, channels, parts, taps, matrix))
