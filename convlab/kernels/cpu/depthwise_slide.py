"""All outputs of a task from its strip: loops around depthwise_window.py's sums, with weights in registers or not."""

from typing import Any

from ..compile import jit
from . import depthwise_window as window
from . import simd, tile
from .depthwise_window import FEW, MANY, ONE

# Literals, by name: intrinsics take no others.
_STEP_1, _STEP_2 = 1, 2
_POINTS_3, _TAPS_3X3, _POINTS_5, _TAPS_5X5 = 3, 9, 5, 25


@jit
def slide_rows(
    kernel: Any, start: Any, strip: Any, first: int, pitch: int, across: Any, step: int, rows: int, width: int,
    lanes: int, compact: bool, sums: Any, target: int, pitch_out: int, more: bool,
) -> None:  # fmt: skip
    """All outputs of a task, by `window.slide`; see there, and `convolve`."""
    simd.outlined()
    high, item = window.height(kernel), sums.itemsize
    for column in range(0, width, lanes):
        # The last vector of a row overlaps the one before, and does not run over into the next row.
        shift = (max(0, min(column, width - lanes)) if compact else column) * item
        here, to, row = first + shift, target + shift, 0
        if step == 1:
            while row + high <= rows:
                total = window.slide(kernel, start, strip, here, pitch, across, _STEP_1, MANY)
                window.keep(total, sums, to, pitch_out, more)
                row, here, to = row + high, here + high * pitch, to + high * pitch_out
            while row < rows:
                one = window.slide(kernel, start, strip, here, pitch, across, _STEP_1, ONE)
                window.keep(one, sums, to, pitch_out, more)
                row, here, to = row + 1, here + pitch, to + pitch_out
        else:
            while row + high <= rows:
                total = window.slide(kernel, start, strip, here, pitch, across, _STEP_2, MANY)
                window.keep(total, sums, to, pitch_out, more)
                row, here, to = row + high, here + 2 * high * pitch, to + high * pitch_out
            while row < rows:
                one = window.slide(kernel, start, strip, here, pitch, across, _STEP_2, ONE)
                window.keep(one, sums, to, pitch_out, more)
                row, here, to = row + 1, here + 2 * pitch, to + pitch_out


@jit
def tap_tile(
    total: Any, weights: Any, weight: int, start: Any, strip: Any, here: int, gap: int, pitch: int, down: Any,
    across: Any, points: int,
) -> Any:  # fmt: skip
    """total plus the sums of its vectors of outputs, `gap` bytes apart in the strip, tap after tap."""
    for j in range(len(down)):
        line = here + down[j] * pitch
        for k in range(points):
            total = window.summed(total, window.taken(start, weights, weight, ONE), strip, line + across[k], gap)
            weight += weights.strides[0]
    return total


@jit
def tap_rows(
    weights: Any, weight: int, start: Any, strip: Any, first: int, pitch: int, down: Any, across: Any, points: int,
    step: int, rows: int, width: int, lanes: int, compact: bool, sums: Any, target: int, pitch_out: int, more: bool,
) -> None:  # fmt: skip
    """All outputs of a task, tap after tap: of any kernel. FEW vectors at once, of neighbouring rows or of one row."""
    simd.outlined()
    item = sums.itemsize
    vector, drop, row = lanes * item, step * pitch, 0
    while row < rows:
        tall, column = rows - row >= FEW, 0
        here, to = first + row * drop, target + row * pitch_out
        while column < width:
            wide = not tall and column + FEW * lanes <= width
            shift = (max(0, min(column, width - lanes)) if compact else column) * item
            if tall or wide:
                few = window.repeated(start, FEW)
                gap = drop if tall else vector
                few = tap_tile(few, weights, weight, start, strip, here + shift, gap, pitch, down, across, points)
                window.keep(few, sums, to + shift, pitch_out if tall else vector, more)
            else:
                one = tap_tile(start, weights, weight, start, strip, here + shift, 0, pitch, down, across, points)
                window.keep(one, sums, to + shift, 0, more)
            column += FEW * lanes if wide else lanes
        row += FEW if tall else 1


@jit
def convolve(
    weights: Any, weight: int, start: Any, strip: Any, first: int, pitch: int, down: Any, across: Any, points: int,
    step: int, rows: int, width: int, lanes: int, compact: bool, sums: Any, target: int, pitch_out: int, more: bool,
) -> None:  # fmt: skip
    """The sums of a task's outputs over one channel and plane, from its strip.

    weights: accumulators, those of the channel from byte address `weight` on. start: one vector, the bias, whose size
    is that of all vectors: `lanes`. down: the lines of the taps; across: bytes on a line from an output to its taps.
    compact: rows of outputs follow each other without a gap; otherwise they take whole vectors. The sums go to byte
    address `target`; more: they are added to those that are there.
    """
    lines = len(down)
    near = lines > 1 and down[lines - 1] == lines - 1 and step <= 2  # offsets ascend, so these are 0, 1, 2, …
    if near and lines == 3 and points == 3:
        nine = window.taken(start, weights, weight, _TAPS_3X3)
        reach = tile.addresses(across, 0, _POINTS_3)
        slide_rows(
            nine, start, strip, first, pitch, reach, step, rows, width, lanes, compact, sums, target, pitch_out, more
        )  # fmt: skip
    elif near and lines == 5 and points == 5:
        many = window.taken(start, weights, weight, _TAPS_5X5)
        reach = tile.addresses(across, 0, _POINTS_5)
        slide_rows(
            many, start, strip, first, pitch, reach, step, rows, width, lanes, compact, sums, target, pitch_out, more
        )  # fmt: skip
    else:
        tap_rows(
            weights, weight, start, strip, first, pitch, down, across, points, step, rows, width, lanes, compact,
            sums, target, pitch_out, more,
        )  # fmt: skip
