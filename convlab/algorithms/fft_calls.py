"""What an fft Plan keeps, and how it calls its kernels: all that follows from the problem is looked up."""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..kernels.cpu.extent import Extent
from ..kernels.cpu.fft import Blocks, fft, filter_spectra
from ..kernels.cpu.fft_gradient import fft_gradient
from ..kernels.cpu.spectrum import Grid, Reads, scratch_bytes
from ..kernels.cpu.tensor import storage
from ..problem import ConvProblem
from . import lowering
from .launch import launch
from .overlap import cut
from .spectra import gradient_reads, grid, image_reads, kernel_reads, prepared, wave

_LINE = 64


class Setup(NamedTuple):
    """What calls have in common. dtype: of real and imaginary parts; scale: what FFTW leaves to be multiplied by."""

    work: Extent
    blocks: Blocks
    grid: Grid
    image: Reads
    other: Reads
    dtype: np.dtype
    scale: Any
    zero: Any


@functools.lru_cache(maxsize=128)  # some 3 KB each
def setup(problem: ConvProblem, measured: bool) -> Setup:
    """The Setup of a problem without bias and activation; `other`: how filters, or gradients of outputs, are read.

    measured: whether FFTW measures its plans.
    """
    (blocks, points), _ = cut(problem)
    work, zero = lowering.extent(problem), lowering.example(problem)
    dtype = np.dtype(type(zero))
    other = gradient_reads(blocks) if problem.direction == "backward_weights" else kernel_reads(problem)
    scale = dtype.type(1 / np.prod(points))
    reads = image_reads(problem, points)
    return Setup(work, blocks, grid(points, work.parts, dtype, measured), reads, other, dtype, scale, zero)


class Filters:
    """Spectra of the weights, ready to be multiplied by those of images."""

    def __init__(
        self, problem: ConvProblem, plain: ConvProblem, weight: np.ndarray, threads: int, measured: bool
    ) -> None:
        """plain: the problem without bias and activation."""
        self._problem, self._setup = problem, setup(plain, measured)
        self._no_bias, self._activation = lowering.epilogue(problem, None)
        work, _, block, _, reads, dtype, _, zero = self._setup
        weight = np.ascontiguousarray(weight)
        of_filter, of_channel = weight.strides[:2]
        of_group = problem.out_channels // problem.groups * of_filter
        if problem.direction == "backward_data":
            of_filter, of_channel = of_channel, of_filter
        self.spectra = _aligned(prepared(plain)["spectra"].shape[0], dtype)
        threads = max(min(threads, work.groups * work.filters * work.channels), 1)
        scratch = _aligned(threads * scratch_bytes(block) // dtype.itemsize, dtype).reshape(threads, -1)
        launch(
            filter_spectra, lowering.kernel_tensor(weight), of_group, of_filter, of_channel, work.groups, work.filters,
            work.channels, work.parts, reads, block, zero, scratch, self.spectra, threads=threads,
        )  # fmt: skip

    def run(
        self, source: np.ndarray, bias: np.ndarray | None, workspace: Mapping[str, Any], out: np.ndarray, threads: int
    ) -> None:
        """The result of a call into `out`."""
        work, blocks, block, reads, _, _, scale, zero = self._setup
        if len(workspace["spectra"]) == threads:  # each has entries of its own: not more of them than entries
            threads = max(min(threads, work.images * work.groups * math.prod(blocks[:3])), 1)
        x, y = (lowering.image_tensor(self._problem, array) for array in (source, out))
        launch(
            fft, x, self.spectra, self._no_bias if bias is None else storage(bias), work, blocks, reads, block, scale,
            self._activation, zero, workspace["scratch"], workspace["sums"], workspace["spectra"], y, threads=threads,
        )  # fmt: skip


def gradient(
    problem: ConvProblem,
    x: np.ndarray,
    g: np.ndarray,
    workspace: Mapping[str, Any],
    out: np.ndarray,
    threads: int,
    measured: bool,
) -> None:
    """The gradient of the weights from images and gradients of outputs, into `out`."""
    work, blocks, block, reads, others, _, scale, zero = setup(problem, measured)
    tensors = [lowering.image_tensor(problem, array) for array in (x, g)]
    launch(
        fft_gradient, *tensors, work, blocks, reads, others, block, scale,
        wave(problem, blocks, block.spectrum, threads), zero, workspace["scratch"], workspace["sums"],
        workspace["spectra"], lowering.kernel_tensor(out), threads=threads,
    )  # fmt: skip


def _aligned(count: int, dtype: np.dtype) -> np.ndarray:
    """An uninitialised array on a cache line."""
    raw = np.empty(count * dtype.itemsize + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + count * dtype.itemsize].view(dtype)
