"""The window of the padded input that a box of neighbouring outputs reads, packed once for all taps.

Along each axis a window holds the positions that the box's outputs reach at any tap: as a stretch, or where that would
hold more (a wide stride or dilation) tap after tap of every output. Either way the element that output o reads at
tap r lies o · (one step) + (one offset of r) further on, so that to a kernel there is no padding, stride or dilation
left: only a table of where outputs lie and one of where taps and channels do.

Windows are of the accumulator's type. Channels lie innermost where they do in the input, else outermost.
"""

from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd


class Span(NamedTuple):
    """One axis of a window: as many `outputs` from `first` on.

    step: elements of the axis from one output to the next; size: elements that it has; stretch: whether neighbouring
    elements are neighbouring positions of the padded axis.
    """

    first: int
    outputs: int
    step: int
    size: int
    stretch: bool


class Box(NamedTuple):
    """Neighbouring outputs: `images` images from the one of that number on, and a span of each axis."""

    image: int
    images: int
    depth: Span
    height: Span
    width: Span


class Window(NamedTuple):
    """Elements between neighbouring images, channels, planes, rows and columns of a window; `size`: all it has.

    inner: whether channels lie innermost.
    """

    image: int
    channel: int
    plane: int
    row: int
    column: int
    size: int
    inner: bool


@jit
def span(first: int, count: int, step: int, offsets: Any, dense: bool) -> Span:
    """The span of `count` outputs that lie `step` positions apart, and whose taps lie at `offsets` (ascending).

    dense: neighbouring outputs are to be neighbouring elements.
    """
    taps = len(offsets)
    reach = (count - 1) * step + offsets[taps - 1] - offsets[0] + 1
    if reach <= count * taps and (step == 1 or not dense):
        return Span(first, count, step, reach, True)
    return Span(first, count, 1, count * taps, False)


@jit
def box_at(
    image: int, images: int, d: int, depth: int, h: int, height: int, w: int, width: int, taps: Any, dense: bool
) -> Box:  # fmt: skip
    """The box of `images` images from `image` on, `depth` planes from d on, …: as many as there are of each."""
    return Box(
        image, images,
        span(d, min(depth, taps.depth - d), taps.plane_step, taps.i, False),
        span(h, min(height, taps.height - h), taps.line_step, taps.j, False),
        span(w, min(width, taps.width - w), taps.point_step, taps.k, dense),
    )  # fmt: skip


@jit
def _place(axis: Any, step: int, offsets: Any, element: int) -> int:
    """Position on the padded axis of an element of a span."""
    if axis.stretch:
        return axis.first * step + offsets[0] + element
    return (axis.first + element % axis.outputs) * step + offsets[element // axis.outputs]


@jit
def _offset(axis: Any, offsets: Any, tap: int) -> int:
    """Elements of a span from an output's first to the one that it reads at a tap."""
    return offsets[tap] - offsets[0] if axis.stretch else tap * axis.outputs


@jit
def _spread(count: int, item: int) -> int:
    """`count` elements made an odd number of cache lines, so that streams so far apart do not share one set."""
    line = simd.CACHE_LINE // item
    return count if count < line else ((count + line - 1) // line | 1) * line


@jit
def window_of(box: Any, channels: int, parts: int, inner: bool, item: int) -> Window:
    """The layout of a box's window, for `channels` channels; item: bytes of an accumulator."""
    if inner:
        column = _spread(channels * parts, item)
        row = column * box.width.size
        plane = row * box.height.size
        image = plane * box.depth.size
        return Window(image, parts, plane, row, column, image * box.images, inner)
    row = parts * box.width.size
    plane = row * box.height.size
    channel = _spread(plane * box.depth.size, item)
    image = channel * channels
    return Window(image, channel, plane, row, parts, image * box.images, inner)


@jit
def locate_outputs(box: Any, layout: Any, g: Any, parts: int, item: int, shifts: Any, sources: Any) -> int:
    """Bytes from a box's first output to each in the window (shifts, part by part) and to each in g from its first
    image on (sources). Returns the number of outputs."""
    step = box.width.step * layout.column * item
    count = 0
    for n in range(box.images):
        for d in range(box.depth.outputs):
            for h in range(box.height.outputs):
                line = layout.image * n + layout.plane * box.depth.step * d + layout.row * box.height.step * h
                shift = line * item
                source = (
                    (box.image + n) * g.image + (box.depth.first + d) * g.plane
                    + (box.height.first + h) * g.row + box.width.first * g.column
                )  # fmt: skip
                for w in range(box.width.outputs):
                    for part in range(parts):
                        shifts[(count + w) * parts + part] = shift + w * step + part * item
                    sources[count + w] = source + w * g.column
                count += box.width.outputs
    return count


@jit
def locate_pairs(box: Any, layout: Any, taps: Any, channels: int, base: int, item: int, pairs: Any) -> int:
    """Byte addresses of the (tap, channel) pairs of a box's first output in a window at `base`, taps outermost.

    Returns how many there are.
    """
    count = 0
    for i in range(len(taps.i)):
        for j in range(len(taps.j)):
            line = _offset(box.depth, taps.i, i) * layout.plane + _offset(box.height, taps.j, j) * layout.row
            for k in range(len(taps.k)):
                address = base + (line + _offset(box.width, taps.k, k) * layout.column) * item
                for channel in range(channels):
                    pairs[count + channel] = address + channel * layout.channel * item
                count += channels
    return count


@jit
def copy(source: Any, address: int, gap: int, count: int, parts: int, zero: Any, target: Any, at: int) -> None:
    """`count` elements of `parts` numbers, `gap` bytes apart in an input, to target from element `at` on, widened."""
    vector, item = simd.lanes(zero), source.itemsize
    if gap != item * parts or count * parts < vector:
        for i in range(count):
            for part in range(parts):
                target[at + i * parts + part] = memory.load_at(source, zero, address + i * gap + part * item)
        return
    for i in range(0, count * parts, vector):
        i = min(i, count * parts - vector)  # the last vector overlaps the one before
        memory.widen_vector(source, address + i * item, target, memory.address(target) + (at + i) * target.itemsize)


@jit
def clear(count: int, target: Any, at: int) -> None:
    """Zeros to elements at, …, at + count − 1 of target."""
    for i in range(count):
        target[at + i] = 0


@jit
def _point(box: Any, taps: Any, element: int) -> int:
    """The input element at a place of a window's row, −1 for a padding zero."""
    return taps.points[_place(box.width, taps.point_step, taps.k, element)]


@jit
def _run(box: Any, taps: Any, element: int) -> int:
    """How many places of a window's row, from one on, hold elements evenly spaced in the input, or padding only."""
    if box.width.stretch:
        position = _place(box.width, taps.point_step, taps.k, element)
        return max(min(taps.runs[position], box.width.size - element), 1)
    first, end = _point(box, taps, element), element + 1
    gap = _point(box, taps, end) - first if end < box.width.size else 0
    while end < box.width.size:
        point = _point(box, taps, end)
        if (first | point) < 0 or point != first + (end - element) * gap:
            break
        end += 1
    return end - element


@jit
def pack_window(
    x: Any, base: int, taps: Any, box: Any, channels: int, parts: int, layout: Any, zero: Any, window: Any
) -> None:
    """Copy what a box of outputs reads into its window. base: byte address of the first image's first channel."""
    simd.outlined()
    source, size = x.data, box.width.size
    # Whole lines of the image that follow each other in memory and in the window are copied as one.
    whole = box.height.stretch and box.width.stretch and not layout.inner and x.row == size * x.column
    whole = whole and _run(box, taps, 0) == size
    for n in range(box.images):
        for a in range(box.depth.size):
            plane = taps.planes[_place(box.depth, taps.plane_step, taps.i, a)]
            b = 0
            while b < box.height.size:
                line = taps.lines[_place(box.height, taps.line_step, taps.j, b)]
                outside = (plane | line) < 0
                address = base + (box.image + n) * x.image + plane * x.plane + line * x.row
                start = n * layout.image + a * layout.plane + b * layout.row
                lines = 1
                while whole and not outside and b + lines < box.height.size:
                    if taps.lines[_place(box.height, taps.line_step, taps.j, b + lines)] != line + lines:
                        break
                    lines += 1
                element = 0
                while element < size:
                    point, at = _point(box, taps, element), start + element * layout.column
                    padding, here = outside or point < 0, address + point * x.column
                    length = 1 if layout.inner else size if outside else _run(box, taps, element)
                    if layout.inner and not padding:  # channels side by side on both sides
                        copy(source, here, x.channel, channels, parts, zero, window, at)
                    elif layout.inner:
                        clear(channels * parts, window, at)
                    elif padding:
                        for channel in range(channels):
                            clear(length * parts, window, at + channel * layout.channel)
                    else:
                        gap = x.column
                        if not box.width.stretch and length > 1:
                            gap = (_point(box, taps, element + 1) - point) * x.column
                        for channel in range(channels):
                            from_, to = here + channel * x.channel, at + channel * layout.channel
                            copy(source, from_, gap, length * lines, parts, zero, window, to)
                    element += length
                b += lines
