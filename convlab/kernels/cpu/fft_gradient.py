"""The gradient of the weights by spectra: the correlation of images with gradients of outputs, large as these are.

The gradients are cut into blocks, and an entry is a block of one image: spectra of its channels and of its gradients.
Products are summed over the entries of a group, a few at a time, as spectra: so that each of the filters' channels is
transformed back but once. Where groups are many, each thread has its own; else the threads share all steps of one.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .fft import blocks_of, origin
from .frequencies import FILTERS, products
from .parallel import split
from .spectrum import to_image, to_spectrum

# Bytes of a spectrum that a thread sums at a time, where threads share a sum: whole pairs of vectors.
_CHUNK = 2**15


@jit
def _transform(
    start: int, stop: int, group: int, first: int, x: Any, g: Any, extent: Any, blocks: Any, reads: Any, others: Any,
    grid: Any, zero: Any, scratch: Any, spectra: int,
) -> None:  # fmt: skip
    """Spectra start … stop − 1 of a group from entry `first` on; of an entry those of its channels, then gradients."""
    simd.outlined()
    each = extent.channels + extent.filters
    for i in range(start, stop):
        entry, channel = first + i // each, i % each
        d, h, w = origin(entry % blocks_of(blocks), blocks)
        image, target = entry // blocks_of(blocks), spectra + i * grid.spectrum
        if channel < extent.channels:
            base = memory.address(x.data) + image * x.image + (group * extent.channels + channel) * x.channel
            to_spectrum(x, base, reads, d, h, w, extent.parts, grid, zero, scratch, target)
        else:
            channel += group * extent.filters - extent.channels
            base = memory.address(g.data) + image * g.image + channel * g.channel
            to_spectrum(g, base, others, d, h, w, extent.parts, grid, zero, scratch, target)


@jit
def _sum(
    start: int, stop: int, count: int, more: bool, extent: Any, grid: Any, like: Any, zero: Any, spectra: int, sums: int
) -> None:
    """Add `count` entries to what tasks start … stop − 1 sum: a channel, FILTERS filters, and _CHUNK of a spectrum."""
    simd.outlined()
    channels, size = extent.channels, grid.spectrum
    each = (channels + extent.filters) * size
    chunks = (size + _CHUNK - 1) // _CHUNK
    for task in range(start, stop):
        pair, at = task // chunks, task % chunks * _CHUNK
        channel, filter = pair % channels, pair // channels * FILTERS
        products(
            count, spectra + channel * size + at, each, spectra + (channels + filter) * size + at, each,
            min(FILTERS, extent.filters - filter), size, sums + (filter * channels + channel) * size + at,
            channels * size, min(_CHUNK, size - at), more, like, zero,
        )  # fmt: skip


@jit
def _write(
    start: int, stop: int, group: int, extent: Any, blocks: Any, grid: Any, scale: Any, zero: Any, scratch: Any,
    sums: int, w: Any,
) -> None:  # fmt: skip
    """The gradients of a group's pairs of a filter and a channel, start … stop − 1."""
    simd.outlined()
    for i in range(start, stop):
        base = memory.address(w.data) + i % extent.channels * w.channel
        base += (group * extent.filters + i // extent.channels) * w.image
        to_image(
            sums + i * grid.spectrum, grid, blocks.depth, blocks.height, blocks.width, extent.parts, scale,
            scratch[:0], 0, 0, zero, scratch, w, base,
        )  # fmt: skip


@jit
def _tasks(extent: Any, grid: Any) -> int:
    return (extent.filters + FILTERS - 1) // FILTERS * extent.channels * ((grid.spectrum + _CHUNK - 1) // _CHUNK)


@jit
def _groups(
    start: int, stop: int, threads: int, wave: int, x: Any, g: Any, extent: Any, blocks: Any, reads: Any, others: Any,
    grid: Any, scale: Any, zero: Any, scratch: Any, sums: Any, spectra: Any, w: Any,
) -> None:  # fmt: skip
    """The groups of threads start … stop − 1."""
    entries, each = extent.images * blocks_of(blocks), extent.channels + extent.filters
    for thread in range(start, stop):
        own, total = memory.address(spectra[thread]), memory.address(sums[thread])
        for group in range(extent.groups * thread // threads, extent.groups * (thread + 1) // threads):
            for first in range(0, max(entries, 1), wave):
                count = min(wave, entries - first)
                _transform(
                    0, count * each, group, first, x, g, extent, blocks, reads, others, grid, zero, scratch[thread], own
                )
                _sum(0, _tasks(extent, grid), count, first > 0, extent, grid, sums, zero, own, total)
            pairs = extent.channels * extent.filters
            _write(0, pairs, group, extent, blocks, grid, scale, zero, scratch[thread], total, w)


@jit
def _some_spectra(
    start: int, stop: int, threads: int, count: int, group: int, first: int, x: Any, g: Any, extent: Any, blocks: Any,
    reads: Any, others: Any, grid: Any, zero: Any, scratch: Any, spectra: Any,
) -> None:  # fmt: skip
    for i in range(start, stop):
        _transform(
            count * i // threads, count * (i + 1) // threads, group, first, x, g, extent, blocks, reads, others, grid,
            zero, scratch[i], memory.address(spectra),
        )  # fmt: skip


@jit
def _some_gradients(
    start: int, stop: int, threads: int, group: int, extent: Any, blocks: Any, grid: Any, scale: Any, zero: Any,
    scratch: Any, sums: Any, w: Any,
) -> None:  # fmt: skip
    pairs = extent.channels * extent.filters
    for i in range(start, stop):
        _write(
            pairs * i // threads, pairs * (i + 1) // threads, group, extent, blocks, grid, scale, zero, scratch[i],
            memory.address(sums), w,
        )  # fmt: skip


@jit
def fft_gradient(
    x: Any, g: Any, extent: Any, blocks: Any, reads: Any, others: Any, grid: Any, scale: Any, wave: int, zero: Any,
    scratch: Any, sums: Any, spectra: Any, threads: int, w: Any,
) -> None:  # fmt: skip
    """The gradient w of the weights, from images x and gradients g, Tensors all three; stride and dilation 1.

    reads, others: how blocks of x and of g are read. blocks: of the gradients; its outputs in one block are the taps.
    wave: entries that are transformed before they are summed. scratch: a row a thread; sums, spectra: a row a thread,
    or only one, of a group's filters and channels, and of a wave.
    """
    simd.outlined()
    if len(spectra) >= threads:
        split(
            _groups, threads, threads,
            (threads, wave, x, g, extent, blocks, reads, others, grid, scale, zero, scratch, sums, spectra, w),
        )  # fmt: skip
        return
    entries, each = extent.images * blocks_of(blocks), extent.channels + extent.filters
    for group in range(extent.groups):
        for first in range(0, max(entries, 1), wave):
            count = min(wave, entries - first)
            split(
                _some_spectra, threads, threads,
                (
                    threads, count * each, group, first, x, g, extent, blocks, reads, others, grid, zero, scratch,
                    spectra,
                ),
            )  # fmt: skip
            split(
                _sum, _tasks(extent, grid), threads,
                (
                    count, first > 0, extent, grid, sums, zero, memory.address(spectra), memory.address(sums),
                ),
            )  # fmt: skip
        split(
            _some_gradients, threads, threads,
            (threads, group, extent, blocks, grid, scale, zero, scratch, sums, w),
        )  # fmt: skip
