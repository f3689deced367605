"""One geometry for every kernel: which input element an output reads at a tap.

Along an axis, output o at tap r stands at position o · step + offset[r] of the padded axis, and a map tells
which input element lies there, −1 for a padding zero. Stride and dilation are the step and the offsets;
padding, on either side and in every mode, is the map. The map is as long as the padded axis, whatever the kernel.

backward_data is the same with one axis for each residue of the stride (a phase): its outputs are those i
with i ≡ first (mod stride), its taps those r for which i + lo − r·d is a multiple of the stride. 1-D and 2-D are 3-D
with leading axes of length one.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Axis(NamedTuple):
    """Outputs first, first + stride, … of one axis.

    outputs: how many. taps: which of the kernel's taps reach them. offsets: intp, their positions relative to the
    output's; step: positions from one output to the next; source: intp, the input element at each position, −1 for
    a padding zero.
    """

    first: int
    stride: int
    outputs: int
    taps: tuple[int, ...]
    step: int
    offsets: np.ndarray
    source: np.ndarray


class Taps(NamedTuple):
    """Three axes as kernels take them (flat: Numba's parallel code takes apart one level of tuples only).

    planes, lines, points: source of each axis. i, j, k: offsets of its taps. steps and sizes: as in Axis. runs: how
    many positions of the last axis, from each on, lie side by side in the input (0 for a padding zero).
    """

    planes: np.ndarray
    lines: np.ndarray
    points: np.ndarray
    i: np.ndarray
    j: np.ndarray
    k: np.ndarray
    plane_step: int
    line_step: int
    point_step: int
    depth: int
    height: int
    width: int
    runs: np.ndarray


class Sweep(NamedTuple):
    """A regular set of outputs, three axes at once, that all read the same taps.

    first, stride: where the outputs lie, per axis. weights: intp, the index of each tap in the flattened kernel, in
    the order in which kernels go through them (planes, then lines, then points).
    """

    first: tuple[int, ...]
    stride: tuple[int, ...]
    taps: Taps
    weights: np.ndarray


def forward_axis(out: int, size: int, kernel: int, stride: int, dilation: int, lo: int, mode: str) -> Axis:
    """The axis of a forward convolution."""
    at = np.arange((out - 1) * stride + (kernel - 1) * dilation + 1) - lo
    if mode == "zeros":
        source = np.where((at < 0) | (at >= size), -1, at)
    elif mode == "replicate":
        source = at.clip(0, size - 1)
    elif mode == "circular":
        source = at % size
    else:  # reflect: mirrored at the first and at the last element, which are not repeated
        source = np.abs(at)
        source = np.where(source >= size, 2 * (size - 1) - source, source)
    return Axis(0, 1, out, tuple(range(kernel)), stride, _intp(np.arange(kernel) * dilation), _intp(source))


def backward_axes(size: int, out: int, kernel: int, stride: int, dilation: int, lo: int) -> list[Axis]:
    """The phases of one axis of backward_data: from `out` gradients to `size` inputs."""
    axes = []
    for first in range(min(stride, size)):
        taps = tuple(r for r in range(kernel) if (first + lo - r * dilation) % stride == 0)
        count = -(-(size - first) // stride)
        gradients = np.array([(first + lo - r * dilation) // stride for r in taps], np.intp)
        lowest, highest = (gradients.min(), gradients.max()) if taps else (0, 0)
        at = np.arange(highest - lowest + count) + lowest
        source = np.where((at < 0) | (at >= out), -1, at)
        axes.append(Axis(first, stride, count, taps, 1, gradients - lowest, _intp(source)))
    return axes


def sweeps(axes: Sequence[Sequence[Axis]], kernel: Sequence[int]) -> Iterator[Sweep]:
    """Every combination of the phases of up to three axes."""
    missing = 3 - len(kernel)
    whole = Axis(0, 1, 1, (0,), 1, np.zeros(1, np.intp), np.zeros(1, np.intp))
    shape = (1,) * missing + tuple(kernel)
    for d, h, w in itertools.product(*[[whole]] * missing, *axes):
        index = [np.ravel_multi_index(tap, shape) for tap in itertools.product(d.taps, h.taps, w.taps)]
        yield Sweep(
            (d.first, h.first, w.first),
            (d.stride, h.stride, w.stride),
            Taps(
                d.source, h.source, w.source, d.offsets, h.offsets, w.offsets,
                d.step, h.step, w.step, d.outputs, h.outputs, w.outputs, runs(w.source),
            ),
            np.array(index, np.intp),
        )  # fmt: skip


def ascending(sweep: Sweep) -> Sweep:
    """The sweep with the taps of each axis in the order of their offsets, which backward_data turns round."""
    taps = sweep.taps
    orders = [np.argsort(offsets) for offsets in (taps.i, taps.j, taps.k)]
    weights = sweep.weights.reshape([len(order) for order in orders])[np.ix_(*orders)].reshape(-1)
    i, j, k = (offsets[order] for offsets, order in zip((taps.i, taps.j, taps.k), orders, strict=True))
    return sweep._replace(taps=taps._replace(i=i, j=j, k=k), weights=weights)


def forward(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    mode: str = "zeros",
) -> Taps:
    """The Taps of a forward convolution that is the same on every axis: what one's own use of a kernel mostly needs."""
    out = [(n + 2 * padding - (r - 1) * dilation - 1) // stride + 1 for n, r in zip(size, kernel, strict=True)]
    axes = [[forward_axis(p, n, r, stride, dilation, padding, mode)] for p, n, r in zip(out, size, kernel, strict=True)]
    return next(sweeps(axes, kernel)).taps


def runs(source: np.ndarray) -> np.ndarray:
    """For every position, how many from it on read neighbouring elements; 0 for a padding zero."""
    ends = np.flatnonzero(np.append(np.diff(source) != 1, True))
    lengths = ends[np.searchsorted(ends, np.arange(len(source)))] - np.arange(len(source)) + 1
    return _intp(np.where(source < 0, 0, lengths))


def _intp(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.intp)
