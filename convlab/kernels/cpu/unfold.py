"""The matrix of patches, made in full: the lecture's im2col, which costs as many bytes as it has elements."""

from typing import Any

from ..compile import jit
from . import memory, simd
from .extent import outputs_of, taps_of
from .parallel import split


@jit
def regular(points: Any, step: int, tap: int, width: int) -> tuple[int, int]:
    """The first outputs of a row, first … last − 1, that read columns `step` apart at a tap."""
    first = 0
    while first < width and points[first * step + tap] < 0:
        first += 1
    last = first
    while last < width and points[last * step + tap] == points[first * step + tap] + (last - first) * step:
        last += 1
    return first, last


@jit
def copy_run(source: Any, position: int, step: int, matrix: Any, start: int, count: int) -> None:
    """`count` elements from a byte address on, `step` bytes apart, to the matrix from element `start` on."""
    simd.outlined()
    item, like = matrix.itemsize, matrix[0]
    lanes, target, done = simd.lanes(like), memory.address(matrix) + start * item, 0
    if step == item:
        while done + lanes <= count:
            memory.copy_vector(source, position + done * item, matrix, target + done * item, like)
            done += lanes
    for i in range(done, count):
        memory.copy_at(source, position + i * step, matrix, target + i * item)


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
        first, last = 0, 0
        if parts == 1:
            first, last = regular(points, taps.point_step, k, taps.width)
        for image in range(images):
            for d in range(taps.depth):
                for h in range(taps.height):
                    a, b = planes[d * taps.plane_step + i], lines[h * taps.line_step + j]
                    line = base + image * x.image + channel * x.channel + a * x.plane + b * x.row
                    skip, resume = (first, last) if (a | b) >= 0 else (0, 0)
                    if resume > skip:
                        begin = line + points[skip * taps.point_step + k] * x.column
                        copy_run(source, begin, taps.point_step * x.column, matrix, target + skip, resume - skip)
                    for w in range(taps.width):
                        if skip <= w < resume:
                            continue
                        c = points[w * taps.point_step + k]
                        for part in range(parts):
                            at = target + w * parts + part
                            if (a | b | c) < 0:
                                matrix[at] = 0
                            else:
                                matrix[at] = memory.raw_at(source, line + c * x.column + part * item)
                    target += taps.width * parts


@jit
def unfold(x: Any, images: int, channels: int, parts: int, taps: Any, threads: int, matrix: Any) -> None:
    """The whole matrix, its rows split evenly over `threads`; see unfold_serial."""
    rows = channels * taps_of(taps)
    split(unfold_serial, rows, threads, (x, images, channels, parts, taps, matrix))
