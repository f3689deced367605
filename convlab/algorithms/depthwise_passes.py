"""What a depthwise Plan keeps, and how it calls its kernel: these layers take some 20 µs, so a call must take few.

Everything is looked up, taken apart and put together beforehand; a call finds two addresses and hands over what it has.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..kernels.cpu.depthwise import depthwise
from ..kernels.cpu.depthwise_direct import depthwise_3x3, depthwise_5x5
from ..kernels.cpu.depthwise_last import depthwise_last
from ..kernels.cpu.flat import flat
from ..kernels.cpu.tensor import first, storage
from ..kernels.taps import Sweep
from ..problem import ConvProblem
from . import lowering
from .launch import launch

# The kernel that takes images of any strides; the others', only rows or channels that lie side by side.
_ANY_STRIDES = depthwise


class Pass(NamedTuple):
    """One sweep over outputs, its weights as the kernel reads them, and its tables, flat."""

    sweep: Sweep
    weights: np.ndarray
    geometry: np.ndarray


class Passes:
    """The passes of a problem, ready to be run."""

    def __init__(
        self, problem: ConvProblem, sweeps: tuple[Sweep, ...], weight: np.ndarray, by_channels: bool, direct: bool
    ) -> None:
        self._problem = problem
        self._driver: Callable[..., None] = depthwise
        if by_channels:
            self._driver = depthwise_last
        elif direct:
            self._driver = depthwise_3x3 if problem.kernel[-1] == 3 else depthwise_5x5
        shape = problem.groups, problem.out_channels // problem.groups, problem.in_channels // problem.groups, -1
        taps = np.reshape(weight, shape).astype(lowering.example(problem).dtype)
        if problem.direction == "backward_data":
            taps = taps.swapaxes(1, 2)
        self._passes = []
        for sweep in sweeps:
            chosen = np.where(sweep.weights < 0, 0, taps[..., sweep.weights])
            chosen = chosen.reshape(problem.groups, -1).T if by_channels else chosen.reshape(-1)
            geometry = flat(sweep.taps, lowering.extent(problem))
            self._passes.append(Pass(sweep, np.ascontiguousarray(chosen), geometry))
        self._no_bias, self._activation = lowering.epilogue(problem, None)
        self._zero = lowering.example(problem)
        self._strides: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None

    def run(self, source: np.ndarray, bias: np.ndarray | None, out: np.ndarray, threads: int) -> None:
        """The result of a call into `out`."""
        values = self._no_bias if bias is None else storage(bias)
        result = out
        if self._driver is not _ANY_STRIDES and not (_neighbours(source) and _neighbours(out)):
            source, result = np.ascontiguousarray(source), np.empty(out.shape, out.dtype)
        for sweep, weights, geometry in self._passes:
            part = result if len(self._passes) == 1 else lowering.part_of(sweep, result, self._problem)
            launch(
                self._driver, first(source), weights, values, geometry, self._strides_of(source, part),
                self._activation, self._zero, first(part), threads=threads,
            )  # fmt: skip
        if result is not out:
            out[...] = result

    def _strides_of(self, source: np.ndarray, part: np.ndarray) -> tuple[int, ...]:
        """Bytes from image to image, channel, plane, row and column, of both; mostly those of the last call."""
        known, pair = self._strides, (source.strides, part.strides)
        if known is None or known[:2] != pair:
            x, y = (lowering.image_tensor(self._problem, array) for array in (source, part))
            known = self._strides = (*pair, (*x[1:], *y[1:]))
        return known[2]


def _neighbours(array: np.ndarray) -> bool:
    """Whether what a vector holds lies side by side: not in every view."""
    return array.flags.c_contiguous or array.strides[-1] == array.itemsize
