"""Phases of images put together again: the reverse of unfold where patches do not overlap."""

from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd
from .parallel import split


class Phases(NamedTuple):
    """Along each axis: the phases (a stride), the elements of each, the padding before the first, the elements in all.

    Element i of an axis is number (i + lo) div stride of phase (i + lo) mod stride.
    """

    stride_d: int
    stride_h: int
    stride_w: int
    depth: int
    height: int
    width: int
    lo_d: int
    lo_h: int
    lo_w: int
    size_d: int
    size_h: int
    size_w: int


@jit
def _row(source: Any, position: int, step: int, count: int, target: Any, to: int, apart: int, parts: int) -> None:
    """`count` elements from a byte address on, `step` bytes apart, to places `apart` bytes apart."""
    simd.outlined()
    item = source.itemsize
    for i in range(count):
        for part in range(parts):
            memory.copy_at(source, position + i * step + part * item, target, to + i * apart + part * item)


@jit
def fold_serial(start: int, stop: int, matrix: Any, images: int, channels: int, parts: int, p: Any, y: Any) -> None:
    """Images and channels start … stop − 1, counted image by image."""
    simd.outlined()
    element = matrix.itemsize * parts
    row, stride = p.width * element, p.stride_w
    plane = p.height * row
    image_size = p.depth * plane
    for index in range(start, stop):
        image, channel = index // channels, index % channels
        target = memory.address(y.data) + image * y.image + channel * y.channel
        for d in range(p.size_d):
            at_d = d + p.lo_d
            for h in range(p.size_h):
                at_h = h + p.lo_h
                phase = (channel * p.stride_d + at_d % p.stride_d) * p.stride_h + at_h % p.stride_h
                for w in range(min(stride, p.size_w)):
                    at_w = w + p.lo_w
                    source = memory.address(matrix) + ((phase * stride + at_w % stride) * images + image) * image_size
                    source += at_d // p.stride_d * plane + at_h // p.stride_h * row + at_w // stride * element
                    _row(
                        matrix, source, element, (p.size_w - w + stride - 1) // stride, y.data,
                        target + d * y.plane + h * y.row + w * y.column, stride * y.column, parts,
                    )  # fmt: skip


@jit
def fold(matrix: Any, images: int, channels: int, parts: int, phases: Any, threads: int, y: Any) -> None:
    """Images from their phases, split evenly over `threads`.

    matrix: flat, in storage order, (channels · phases, images, elements of a phase, parts), as unfold makes it of
    patches that lie side by side. phases: Phases. y: a Tensor of (images, channels).
    """
    split(fold_serial, images * channels, threads, (matrix, images, channels, parts, phases, y))
