"""One geometry for every kernel: which input element an output reads at a tap, as a small table an axis.

table[o, r] is the input coordinate that output o reads at tap r, or −1 where it reads a padding zero.
Stride, dilation, asymmetric padding and the padding modes are nothing but different tables. backward_data
is the same with one table for each residue of the stride (a phase): its outputs are those i with
i ≡ first (mod step), its taps those r for which i + lo − r·d is a multiple of the stride.
1-D and 2-D are 3-D with leading axes of length one.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Taps(NamedTuple):
    """The tables of the three axes, each intp (outputs, taps)."""

    d: np.ndarray
    h: np.ndarray
    w: np.ndarray


class Axis(NamedTuple):
    """Outputs first, first + step, … of one axis: which taps reach them and what those read."""

    first: int
    step: int
    taps: tuple[int, ...]
    table: np.ndarray


class Sweep(NamedTuple):
    """A regular set of outputs, three axes at once, that all read the same taps.

    first, step: where the outputs lie, per axis. taps: the tables. weights: intp (taps,), the index of each
    tap in the flattened kernel, in the order in which kernels go through the tables (d, then h, then w).
    """

    first: tuple[int, ...]
    step: tuple[int, ...]
    taps: Taps
    weights: np.ndarray

    @property
    def points(self) -> int:
        """Outputs of one image and channel."""
        return int(np.prod([len(table) for table in self.taps]))


def forward_axis(out: int, size: int, kernel: int, stride: int, dilation: int, lo: int, mode: str) -> Axis:
    """The table of one axis of a forward convolution."""
    table = np.arange(out)[:, None] * stride + np.arange(kernel) * dilation - lo
    if mode == "zeros":
        table[(table < 0) | (table >= size)] = -1
    elif mode == "replicate":
        table = table.clip(0, size - 1)
    elif mode == "circular":
        table %= size
    else:  # reflect: mirrored at the first and at the last element, which are not repeated
        table = np.abs(table)
        table = np.where(table >= size, 2 * (size - 1) - table, table)
    return Axis(0, 1, tuple(range(kernel)), np.ascontiguousarray(table, np.intp))


def backward_axes(size: int, out: int, kernel: int, stride: int, dilation: int, lo: int) -> list[Axis]:
    """The phases of one axis of backward_data: from `out` gradients to `size` inputs."""
    axes = []
    for first in range(min(stride, size)):
        taps = tuple(r for r in range(kernel) if (first + lo - r * dilation) % stride == 0)
        i = np.arange(first, size, stride)[:, None]
        table = (i + lo - np.array(taps, np.intp) * dilation) // stride
        table[(table < 0) | (table >= out)] = -1
        axes.append(Axis(first, stride, taps, np.ascontiguousarray(table, np.intp)))
    return axes


def sweeps(axes: Sequence[Sequence[Axis]], kernel: Sequence[int]) -> Iterator[Sweep]:
    """Every combination of the phases of up to three axes."""
    missing = 3 - len(kernel)
    whole = Axis(0, 1, (0,), np.zeros((1, 1), np.intp))
    shape = (1,) * missing + tuple(kernel)
    for d, h, w in itertools.product(*[[whole]] * missing, *axes):
        index = [np.ravel_multi_index(tap, shape) for tap in itertools.product(d.taps, h.taps, w.taps)]
        yield Sweep(
            (d.first, h.first, w.first),
            (d.step, h.step, w.step),
            Taps(d.table, h.table, w.table),
            np.array(index, np.intp),
        )
