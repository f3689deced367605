"""How much a kernel has to do, and where output number so-and-so lies."""

from typing import Any, NamedTuple

from ..compile import jit


class Extent(NamedTuple):
    """images; groups; channels read and channels written by one group; parts (2 for complex numbers, else 1)."""

    images: int
    groups: int
    channels: int
    filters: int
    parts: int


@jit
def outputs_of(taps: Any) -> int:
    """Outputs of one image and channel."""
    return taps.depth * taps.height * taps.width


@jit
def taps_of(taps: Any) -> int:
    """Taps that reach each output."""
    return len(taps.i) * len(taps.j) * len(taps.k)


@jit
def span(outputs: int, step: int, offsets: Any) -> int:
    """Positions of an axis from the first to the last that neighbouring outputs read."""
    last = 0
    for offset in offsets:
        last = max(last, (outputs - 1) * step + offset + 1)
    return last


@jit
def locate(first: int, images: int, count: int, taps: Any, image: Any, depth: Any, row: Any, column: Any) -> None:
    """Coordinates of outputs first, …, first + count − 1, counted in row-major order through all images.

    Past the last output of the last image, that one again.
    """
    depths, heights, widths = taps.depth, taps.height, taps.width
    w, h = first % widths, first // widths % heights
    d, n = first // (widths * heights) % depths, first // (widths * heights * depths)
    for i in range(count):
        image[i], depth[i], row[i], column[i] = n, d, h, w
        if w + 1 < widths:
            w += 1
        elif h + 1 < heights:
            w, h = 0, h + 1
        elif d + 1 < depths:
            w, h, d = 0, 0, d + 1
        elif n + 1 < images:
            w, h, d, n = 0, 0, 0, n + 1
