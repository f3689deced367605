"""Patches of an image, packed into panels: the right-hand operand of convolution as a matrix product.

The matrix of patches, (channels · taps) × outputs, is never made. A block of it is packed when it is needed,
along the runs of outputs that read evenly spaced elements: rows of the image where the stride is 1.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .gemm import MAX_LANES, MAX_RUNS
from .tile import VECTORS

# The step of a padding zero: no distance between channels is as large.
NOWHERE = -(1 << 62)


@jit
def read_positions(
    x: Any, base: int, group_offset: int, taps: Any, tap: int, image: Any, depth: Any, row: Any, column: Any,
    count: int, padding: int, positions: Any, steps: Any,
) -> None:  # fmt: skip
    """Byte address that each of `count` outputs reads at a tap in the group's first channel, and the step to the
    next channel; a padding zero is the address `padding`, with NOWHERE for its step."""
    planes, lines, points = taps.planes, taps.lines, taps.points
    i = taps.i[tap // (len(taps.j) * len(taps.k))]
    j, k = taps.j[tap // len(taps.k) % len(taps.j)], taps.k[tap % len(taps.k)]
    for p in range(count):
        a, b = planes[depth[p] * taps.plane_step + i], lines[row[p] * taps.line_step + j]
        c = points[column[p] * taps.point_step + k]
        if (a | b | c) < 0:
            positions[p], steps[p] = padding, NOWHERE
        else:
            positions[p] = base + image[p] * x.image + group_offset + a * x.plane + b * x.row + c * x.column
            steps[p] = x.channel


@jit
def find_runs(positions: Any, steps: Any, count: int, starts: Any, gaps: Any) -> int:
    """Cut outputs 0 … count − 1 into runs whose positions are evenly spaced and whose steps agree.

    starts: first output of each run, and count after the last. gaps: bytes between neighbours in a run.
    Returns the number of runs.
    """
    runs, p = 0, 0
    while p < count:
        starts[runs] = p
        gap = positions[p + 1] - positions[p] if p + 1 < count and steps[p + 1] == steps[p] else 0
        p += 1
        while p < count and steps[p] == steps[p - 1] and positions[p] - positions[p - 1] == gap:
            p += 1
        gaps[runs] = gap
        runs += 1
    starts[runs] = count
    return runs


@jit
def pack_patches(
    x: Any, base: int, group_offset: int, taps: Any, channels: int, parts: int, start: int, stop: int,
    image: Any, depth: Any, row: Any, column: Any, count: int, padding: int, zero: Any, panels: Any,
) -> None:  # fmt: skip
    """Steps start … stop − 1 of the reduction, counted [tap][part][channel], for `count` outputs.

    image, depth, row, column: coordinates of the outputs. panels: [panel][step][lane], accumulators; lanes past
    the last output keep what they hold.
    """
    simd.outlined()
    positions, steps = memory.stack(1, MAX_LANES), memory.stack(1, MAX_LANES)
    starts, gaps = memory.stack(1, MAX_RUNS), memory.stack(1, MAX_LANES)
    item, to, vector = x.data.itemsize, panels.itemsize, simd.lanes(zero)
    source = x.data
    width = VECTORS * vector
    step = start
    while step < stop:
        tap, part, channel = step // (parts * channels), step // channels % parts, step % channels
        read_positions(
            x, base, group_offset, taps, tap, image, depth, row, column, count, padding, positions, steps
        )  # fmt: skip
        runs = find_runs(positions, steps, count, starts, gaps)
        end = min(stop, step + channels - channel)
        for run in range(runs):
            first, last, gap = starts[run], starts[run + 1], gaps[run]
            move = 0 if steps[first] == NOWHERE else steps[first]
            address = positions[first] + channel * move + (0 if steps[first] == NOWHERE else part * item)
            for s in range(step - start, end - start):
                lane = first
                from_ = address
                while lane < last:
                    inside = lane % width
                    place = memory.address(panels) + (((lane // width) * (stop - start) + s) * width + inside) * to
                    chunk = min(last - lane, width - inside)
                    if gap == item:
                        i = 0
                        while i + vector <= chunk:
                            memory.copy_vector(source, from_ + i * item, panels, place + i * to, zero)
                            i += vector
                        while i < chunk:
                            memory.copy_at(source, from_ + i * item, panels, place + i * to)
                            i += 1
                    else:
                        for i in range(chunk):
                            memory.copy_at(source, from_ + i * gap, panels, place + i * to)
                    lane += chunk
                    from_ += chunk * gap
                address += move
        step = end
