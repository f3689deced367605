"""Strips: the part of an image that a tile's neighbourhood reads, collected line by line into memory of one's own.

A strip ends all differences between images before the arithmetic begins: padding of every kind, strides, layouts and
storage types are gone, its lines are accumulators side by side, at a pitch that is no power of two. Every element
is collected once and read at every tap.

Along an axis the taps are cut into blocks that a strip has room for. Under a stride, a block holds taps of one phase
only, those whose positions agree modulo the stride, so that neighbours in a strip are neighbouring outputs' inputs.
"""

import math
from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd
from .filter_slide import HEIGHT

# A strip is LINES lines of PITCH vectors: those that HEIGHT × WIDTH vectors of outputs read at one tap, and the
# neighbours below and on the right that other taps read. The pitch is odd, or lines would lie in the same sets of the
# cache. Sums of outputs have the same pitch.
WIDTH = 16
LINES, PITCH = HEIGHT + 16, WIDTH + 5
STRIP, SUMS = LINES * PITCH, HEIGHT * PITCH
PITCH_BYTES = PITCH * simd.VECTOR_BYTES


class Blocks(NamedTuple):
    """The taps of one axis in blocks. Taps are counted in the order of their positions, upwards.

    number: blocks, some of which may be empty. phase: blocks of one phase. limit: taps in a block. taps: in all.
    skip: a block takes every skip-th tap. apart: distance in the strip between two neighbours of a block. start,
    distance: position of the first tap, and from one to the next. first, sign: tap n is number first + sign · n
    in the order of the tables.
    """

    number: int
    phase: int
    limit: int
    taps: int
    skip: int
    apart: int
    start: int
    distance: int
    first: int
    sign: int


@jit
def blocks_of(offsets: Any, step: int, room: int) -> Any:
    """The blocks of an axis; a block's taps lie within `room` elements of a strip."""
    simd.outlined()
    taps = len(offsets)
    distance = offsets[1] - offsets[0] if taps > 1 else step
    first, sign = (0, 1) if distance > 0 else (taps - 1, -1)
    distance = abs(distance)
    common = math.gcd(distance, step)
    skip, apart = step // common, distance // common
    longest = (taps + skip - 1) // skip
    limit = 1 + room // apart
    phase = (longest + limit - 1) // limit
    if phase:
        limit = (longest + phase - 1) // phase
    start = offsets[first] if taps else 0
    return Blocks(min(skip, taps) * phase, phase, limit, taps, skip, apart, start, distance, first, sign)


@jit
def block_of(blocks: Any, index: int) -> tuple[int, int]:
    """First tap and number of taps of a block."""
    residue, before = index // blocks.phase, index % blocks.phase * blocks.limit
    longest = (blocks.taps - residue + blocks.skip - 1) // blocks.skip
    return residue + before * blocks.skip, max(min(blocks.limit, longest - before), 0)


@jit
def collect_line(
    source: Any, line: int, column: int, points: Any, runs: Any, at: int, step: int, count: int, zero: Any,
    target: Any, place: int,
) -> None:  # fmt: skip
    """A line of a strip: what lies at positions at, at + step, … of a row, as accumulators from byte `place` on.

    line: byte address of the row, or a negative number for a row of padding; column: bytes between its elements.
    """
    simd.outlined()
    lane, vector, item, size = 0, simd.lanes(zero), source.itemsize, target.itemsize
    if line < 0:
        for i in range(0, count, vector):
            memory.fill_vector(target, place + i * size, zero)
        return
    while lane < count:
        first = points[at + lane * step]
        length = min(runs[at + lane], count - lane) if step == 1 and column == item else 1
        if first < 0:
            memory.store_at(target, place + lane * size, zero)
            length = 1
        elif length < vector:
            for i in range(length):
                memory.store_at(
                    target, place + (lane + i) * size, memory.load_at(source, zero, line + (first + i) * column)
                )
        else:
            copy_run(source, line + first * item, target, place + lane * size, length, zero)
        lane += length


@jit
def copy_run(source: Any, position: int, target: Any, place: int, length: int, zero: Any) -> None:
    """`length` neighbouring elements, a vector's at the least, as accumulators."""
    vector = simd.lanes(zero)
    last = (length - vector) * source.itemsize  # the last vector overlaps the one before
    to_last = (length - vector) * target.itemsize
    here, there = 0, 0
    while here < last:
        memory.widen_vector(source, position + here, target, place + there)
        here += vector * source.itemsize
        there += vector * target.itemsize
    memory.widen_vector(source, position + last, target, place + to_last)


@jit
def collect(
    source: Any, base: int, row: int, column: int, lines: Any, top: int, line_step: int, height: int,
    points: Any, runs: Any, left: int, point_step: int, width: int, zero: Any, target: Any, pitch: int,
) -> None:  # fmt: skip
    """A strip: `height` lines of `width` accumulators, `pitch` bytes apart in target.

    Line n is the row at position top + n · line_step, its elements those at left, left + point_step, …. base: byte
    address of row 0, negative where all is padding; row, column: bytes between rows and between their elements.
    """
    simd.outlined()
    place = memory.address(target)
    first = points[left] * source.itemsize
    joined = point_step == 1 and column == source.itemsize and runs[left] >= width >= simd.lanes(zero)
    for n in range(height):
        line = lines[top + n * line_step]
        here = -1 if (base | line) < 0 else base + line * row
        if joined and here >= 0:
            copy_run(source, here + first, target, place, width, zero)
        else:
            collect_line(source, here, column, points, runs, left, point_step, width, zero, target, place)
        place += pitch


@jit
def write_lines(
    sums: Any, pitch: int, lines: int, count: int, y: Any, target: int, row: int, column: int, zero: Any
) -> None:
    """Store `lines` lines of `count` sums, `pitch` bytes apart, to y: row and column are the bytes between its own."""
    simd.outlined()
    vector, item, size = simd.lanes(zero), y.itemsize, sums.itemsize
    for line in range(lines):
        first = line * (pitch // size)
        if column == item and count >= vector:
            for i in range(0, count, vector):
                i = min(i, count - vector)  # the last vector overlaps the one before
                memory.store_vector(y, target + i * item, sums, first + i)
        else:
            for i in range(count):
                memory.store_at(y, target + i * column, sums[first + i])
        target += row
