"""Convolution by spectra of blocks (overlap-save), forward and to the images' gradient.

An entry is a block of outputs of one image and group. Its channels are transformed, multiplied by the filters' spectra
and summed, and transformed back, a few filters at a time. Where there are many entries, each thread has its own, whose
spectra stay in its caches; where there are few, the threads share the channels of one, then its filters.

Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7: overlap-save.
"""

from typing import Any, NamedTuple

from ..compile import jit
from . import memory, simd
from .frequencies import FILTERS, products
from .parallel import split
from .spectrum import to_image, to_spectrum


class Blocks(NamedTuple):
    """Along each axis: how many blocks, and positions from one to the next; then how many outputs there are in all,
    and in one block."""

    count_d: int
    count_h: int
    count_w: int
    step_d: int
    step_h: int
    step_w: int
    out_d: int
    out_h: int
    out_w: int
    depth: int
    height: int
    width: int


@jit
def blocks_of(blocks: Any) -> int:
    return blocks.count_d * blocks.count_h * blocks.count_w


@jit
def origin(block: int, blocks: Any) -> Any:
    """Where a block begins."""
    d, h = block // (blocks.count_w * blocks.count_h), block // blocks.count_w % blocks.count_h
    return d * blocks.step_d, h * blocks.step_h, block % blocks.count_w * blocks.step_w


@jit
def _transform(
    start: int, stop: int, entry: int, x: Any, extent: Any, blocks: Any, reads: Any, grid: Any, zero: Any, scratch: Any,
    spectra: int,
) -> None:  # fmt: skip
    """Spectra of channels start … stop − 1 of an entry."""
    d, h, w = origin(entry % blocks_of(blocks), blocks)
    group, image = entry // blocks_of(blocks) % extent.groups, entry // blocks_of(blocks) // extent.groups
    for channel in range(start, stop):
        base = memory.address(x.data) + image * x.image + (group * extent.channels + channel) * x.channel
        to_spectrum(x, base, reads, d, h, w, extent.parts, grid, zero, scratch, spectra + channel * grid.spectrum)


@jit
def _finish(
    start: int, stop: int, entry: int, filters: Any, spectra: int, bias: Any, extent: Any, blocks: Any, grid: Any,
    scale: Any, activation: int, zero: Any, scratch: Any, sums: Any, y: Any,
) -> None:  # fmt: skip
    """Outputs of an entry: filters start · FILTERS … stop · FILTERS − 1."""
    d, h, w = origin(entry % blocks_of(blocks), blocks)
    group, image = entry // blocks_of(blocks) % extent.groups, entry // blocks_of(blocks) // extent.groups
    size, total = grid.spectrum, memory.address(sums)
    for first in range(start * FILTERS, min(stop * FILTERS, extent.filters), FILTERS):
        count = min(FILTERS, extent.filters - first)
        panel = memory.address(filters) + (group * extent.filters + first) * extent.channels * size
        products(
            extent.channels, spectra, size, panel, size, count, extent.channels * size, total, size, size, False, sums,
            zero,
        )  # fmt: skip
        for filter in range(count):
            channel = group * extent.filters + first + filter
            base = memory.address(y.data) + image * y.image + channel * y.channel
            base += d * y.plane + h * y.row + w * y.column
            to_image(
                total + filter * size, grid, min(blocks.depth, blocks.out_d - d), min(blocks.height, blocks.out_h - h),
                min(blocks.width, blocks.out_w - w), extent.parts, scale, bias, channel, activation, zero, scratch, y,
                base,
            )  # fmt: skip


@jit
def _entries(
    start: int, stop: int, threads: int, entries: int, x: Any, filters: Any, bias: Any, extent: Any, blocks: Any,
    reads: Any, grid: Any, scale: Any, activation: int, zero: Any, scratch: Any, sums: Any, spectra: Any, y: Any,
) -> None:  # fmt: skip
    """The entries of threads start … stop − 1."""
    shares = (extent.filters + FILTERS - 1) // FILTERS
    for thread in range(start, stop):
        own = memory.address(spectra[thread])
        for entry in range(entries * thread // threads, entries * (thread + 1) // threads):
            _transform(0, extent.channels, entry, x, extent, blocks, reads, grid, zero, scratch[thread], own)
            _finish(
                0, shares, entry, filters, own, bias, extent, blocks, grid, scale, activation, zero, scratch[thread],
                sums[thread], y,
            )  # fmt: skip


@jit
def _channels(
    start: int, stop: int, threads: int, entry: int, x: Any, extent: Any, blocks: Any, reads: Any, grid: Any, zero: Any,
    scratch: Any, spectra: Any,
) -> None:  # fmt: skip
    """The channels of one entry that threads start … stop − 1 transform."""
    for thread in range(start, stop):
        first, last = extent.channels * thread // threads, extent.channels * (thread + 1) // threads
        _transform(
            first, last, entry, x, extent, blocks, reads, grid, zero, scratch[thread], memory.address(spectra[0])
        )


@jit
def _filters(
    start: int, stop: int, threads: int, entry: int, filters: Any, bias: Any, extent: Any, blocks: Any, grid: Any,
    scale: Any, activation: int, zero: Any, scratch: Any, sums: Any, spectra: Any, y: Any,
) -> None:  # fmt: skip
    """The filters of one entry that threads start … stop − 1 finish."""
    shares = (extent.filters + FILTERS - 1) // FILTERS
    for thread in range(start, stop):
        _finish(
            shares * thread // threads, shares * (thread + 1) // threads, entry, filters, memory.address(spectra[0]),
            bias, extent, blocks, grid, scale, activation, zero, scratch[thread], sums[thread], y,
        )  # fmt: skip


@jit
def fft(
    x: Any, filters: Any, bias: Any, extent: Any, blocks: Any, reads: Any, grid: Any, scale: Any, activation: int,
    zero: Any, scratch: Any, sums: Any, spectra: Any, threads: int, y: Any,
) -> None:  # fmt: skip
    """A convolution. x, y: Tensors; filters: spectra (groups, filters, channels), by `filter_spectra`.

    scratch, sums: a row a thread, of scratch_bytes and of FILTERS spectra (fewer if a group has fewer filters).
    spectra: of a group's channels, a row a thread or only one.
    """
    simd.outlined()
    entries = extent.images * extent.groups * blocks_of(blocks)
    if len(spectra) >= threads:
        split(
            _entries, threads, threads,
            (
                threads, entries, x, filters, bias, extent, blocks, reads, grid, scale, activation, zero, scratch, sums,
                spectra, y,
            ),
        )  # fmt: skip
        return
    for entry in range(entries):
        split(
            _channels, threads, threads,
            (threads, entry, x, extent, blocks, reads, grid, zero, scratch, spectra),
        )  # fmt: skip
        split(
            _filters, threads, threads,
            (
                threads, entry, filters, bias, extent, blocks, grid, scale, activation, zero, scratch, sums, spectra, y,
            ),
        )  # fmt: skip


@jit
def _some_filters(
    start: int, stop: int, threads: int, groups: int, filters: int, channels: int, w: Any, base: int, group_step: int,
    filter_step: int, channel_step: int, parts: int, reads: Any, grid: Any, zero: Any, scratch: Any, spectra: Any,
) -> None:  # fmt: skip
    """Spectra of the filters of threads start … stop − 1."""
    total = groups * filters * channels
    for thread in range(start, stop):
        for i in range(total * thread // threads, total * (thread + 1) // threads):
            at = base + i // (channels * filters) * group_step
            at += i // channels % filters * filter_step + i % channels * channel_step
            target = memory.address(spectra) + i * grid.spectrum
            to_spectrum(w, at, reads, 0, 0, 0, parts, grid, zero, scratch[thread], target)


@jit
def filter_spectra(
    w: Any, group_step: int, filter_step: int, channel_step: int, groups: int, filters: int, channels: int, parts: int,
    reads: Any, grid: Any, zero: Any, scratch: Any, threads: int, spectra: Any,
) -> None:  # fmt: skip
    """Spectra (groups, filters, channels) of weights, a Tensor; the steps are the bytes between these in it."""
    simd.outlined()
    arguments = (
        threads, groups, filters, channels, w, memory.address(w.data), group_step, filter_step, channel_step, parts,
        reads, grid, zero, scratch, spectra,
    )  # fmt: skip
    split(_some_filters, threads, threads, arguments)
