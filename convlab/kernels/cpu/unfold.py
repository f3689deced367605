"""The matrix of patches, made in full: the lecture's im2col, which costs as many bytes as it has elements."""

from typing import Any

from ..compile import jit
from . import memory, simd
from .extent import outputs_of, taps_of
from .parallel import split


@jit
def regular(points: Any, step: int, tap: int, width: int) -> tuple[int, int, bool]:
    """The first outputs of a row, first … last − 1, that read columns `step` apart at a tap, and whether all others
    read padding zeros."""
    first = 0
    while first < width and points[first * step + tap] < 0:
        first += 1
    last = first
    while last < width and points[last * step + tap] == points[first * step + tap] + (last - first) * step:
        last += 1
    zeros = True
    for w in range(last, width):
        zeros = zeros and points[w * step + tap] < 0
    return first, last, zeros


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
    elif step == 2 * item:  # LLVM would gather, which takes three times as long
        while done + lanes < count:  # as long as the element behind a vector's last exists
            memory.widen_halved(source, position + done * step, matrix, target + done * item)
            done += lanes
    for i in range(done, count):
        memory.copy_at(source, position + i * step, matrix, target + i * item)


@jit
def _fill(matrix: Any, start: int, stop: int) -> None:
    for at in range(start, stop):
        matrix[at] = 0


@jit
def _copy_points(
    start: int, stop: int, source: Any, line: int, column: int, points: Any, step: int, tap: int, parts: int,
    matrix: Any, target: int,
) -> None:  # fmt: skip
    """Outputs start … stop − 1 of a row that begins at byte address `line`, each wherever its column lies."""
    for w in range(start, stop):
        c = points[w * step + tap]
        for part in range(parts):
            at = target + w * parts + part
            if c < 0:
                matrix[at] = 0
            else:
                matrix[at] = memory.raw_at(source, line + c * column + part * source.itemsize)


@jit
def unfold_serial(
    start: int, stop: int, x: Any, images: int, channels: int, parts: int, taps: Any, matrix: Any
) -> None:
    """Rows start … stop − 1 of the matrix: row channel · taps + tap, column output (through all images).

    x: a Tensor of (images, channels). matrix: flat, in storage order, (channels · taps, images · outputs, parts).
    """
    simd.outlined()
    source, column, step, width = x.data, x.column, taps.point_step, taps.width
    planes, lines, points = taps.planes, taps.lines, taps.points
    count = taps_of(taps)
    base = memory.address(x.data)
    target = start * images * outputs_of(taps) * parts
    for index in range(start, stop):
        channel, tap = index // count, index % count
        i = taps.i[tap // (len(taps.j) * len(taps.k))]
        j, k = taps.j[tap // len(taps.k) % len(taps.j)], taps.k[tap % len(taps.k)]
        first, last, zeros = 0, 0, False
        if parts == 1:
            first, last, zeros = regular(points, step, k, width)
        for image in range(images):
            for d in range(taps.depth):
                for h in range(taps.height):
                    a, b = planes[d * taps.plane_step + i], lines[h * taps.line_step + j]
                    line = base + image * x.image + channel * x.channel + a * x.plane + b * x.row
                    if (a | b) < 0:
                        _fill(matrix, target, target + width * parts)
                    else:
                        if last > first:
                            begin = line + points[first * step + k] * column
                            copy_run(source, begin, step * column, matrix, target + first, last - first)
                        if zeros:
                            _fill(matrix, target, target + first)
                            _fill(matrix, target + last, target + width)
                        else:
                            _copy_points(0, first, source, line, column, points, step, k, parts, matrix, target)
                            _copy_points(last, width, source, line, column, points, step, k, parts, matrix, target)
                    target += width * parts


@jit
def unfold(x: Any, images: int, channels: int, parts: int, taps: Any, threads: int, matrix: Any) -> None:
    """The whole matrix, its rows split evenly over `threads`; see unfold_serial."""
    rows = channels * taps_of(taps)
    split(unfold_serial, rows, threads, (x, images, channels, parts, taps, matrix))
