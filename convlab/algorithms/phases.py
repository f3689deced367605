"""A strided convolution as one of stride 1, over the phases of its images.

With a stride of s, output o reads at tap r the position o·s + r = (o + r div s)·s + r mod s. So every channel falls
into s phases along an axis, each with every s-th position and with the taps of its own, and the phases of all channels
are the channels of a convolution of stride 1. Nothing is wasted but where taps of zero fill up the last phases.

Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.3: polyphase representation.
"""

import functools
import math

import numpy as np

from ..kernels import taps as tap_tables
from ..kernels.cpu.fold import Phases, fold
from ..kernels.cpu.tensor import storage
from ..kernels.cpu.unfold import unfold
from ..kernels.taps import Axis, Taps
from ..problem import ConvProblem
from . import lowering
from .launch import launch


@functools.lru_cache(maxsize=128)
def dense(problem: ConvProblem) -> ConvProblem:
    """The convolution of the phases. Its padding is among them; its epilogue is the problem's, for every phase."""
    kernel = [-(-r // s) for r, s in zip(problem.kernel, problem.stride, strict=True)]
    if problem.direction == "backward_data":  # gradients are due of elements that no output has read, too
        for axis, (size, out, s, (lo, _)) in enumerate(
            zip(problem.in_size, problem.out_size, problem.stride, problem.padding, strict=True)
        ):
            kernel[axis] = max(kernel[axis], -(-(size + lo) // s) - out + 1)
    ones = (1,) * problem.ndim
    return problem.replace(
        in_channels=problem.in_channels * math.prod(problem.stride),
        in_size=tuple(p + r - 1 for p, r in zip(problem.out_size, kernel, strict=True)),
        kernel=tuple(kernel), stride=ones, dilation=ones, padding=((0, 0),) * problem.ndim, padding_mode="zeros",
    )  # fmt: skip


def shape(problem: ConvProblem) -> tuple[int, ...]:
    """Of the array of phases in memory, (C · phases, N, *size)."""
    inner = dense(problem)
    return inner.in_channels, inner.batch, *inner.in_size


def images(problem: ConvProblem, phases: np.ndarray) -> np.ndarray:
    """The array of phases as images in the problem's layout."""
    return np.moveaxis(phases, 0, -1 if problem.layout == "channels_last" else 1)


@functools.lru_cache(maxsize=32)
def _patches(problem: ConvProblem) -> Taps:
    """The patches, stride by stride in size and side by side, whose columns are the phases."""
    axes: list[list[Axis]] = []
    for axis, count in enumerate(dense(problem).in_size):
        stride = problem.stride[axis]
        source = tap_tables.forward_axis(
            problem.out_size[axis], problem.in_size[axis], problem.kernel[axis], stride, 1, problem.padding[axis][0],
            problem.padding_mode,
        ).source  # fmt: skip
        # Behind what the taps read lie only such as taps of zero read.
        source = np.append(source, np.full(count * stride - len(source), -1, np.intp))
        axes.append([Axis(0, 1, count, tuple(range(stride)), stride, np.arange(stride, dtype=np.intp), source)])
    (sweep,) = tap_tables.sweeps(axes, problem.stride)
    return sweep.taps


def split_images(problem: ConvProblem, x: np.ndarray, phases: np.ndarray, threads: int) -> None:
    """The phases of x, padded, into an array of `shape`."""
    parts = lowering.extent(problem).parts
    launch(
        unfold, lowering.image_tensor(problem, x), problem.batch, problem.in_channels, parts, _patches(problem),
        storage(phases.reshape(-1)), threads=threads,
    )  # fmt: skip


def join_images(problem: ConvProblem, phases: np.ndarray, out: np.ndarray, threads: int) -> None:
    """The images, without their padding, whose phases these are."""
    missing = 3 - problem.ndim
    rows = (problem.stride, dense(problem).in_size, tuple(lo for lo, _ in problem.padding), problem.in_size)
    fill = (1, 1, 0, 1)
    sizes = Phases(*(n for row, none in zip(rows, fill, strict=True) for n in (none,) * missing + row))
    launch(
        fold, storage(phases.reshape(-1)), problem.batch, problem.in_channels, lowering.extent(problem).parts, sizes,
        lowering.image_tensor(problem, out), threads=threads,
    )  # fmt: skip


def _by_phase(problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
    """A view of weights whose kernel is as long as all phases of `dense`, with the axes of its weights:
    (K, C/groups, *phases, *taps of a phase)."""
    pairs = [n for r, s in zip(dense(problem).kernel, problem.stride, strict=True) for n in (r, s)]
    split = weights.reshape(*weights.shape[:2], *pairs)
    nd = problem.ndim
    return split.transpose(0, 1, *(3 + 2 * axis for axis in range(nd)), *(2 + 2 * axis for axis in range(nd)))


def _padded(problem: ConvProblem, dtype: np.dtype) -> np.ndarray:
    """Zeros (K, C/groups, *kernel), the kernel as long as all phases."""
    kernel = (r * s for r, s in zip(dense(problem).kernel, problem.stride, strict=True))
    return np.zeros((*problem.w_shape[:2], *kernel), dtype)


def split_weights(problem: ConvProblem, weight: np.ndarray) -> np.ndarray:
    """The weights of the phases."""
    padded = _padded(problem, weight.dtype)
    padded[:, :, *map(slice, problem.kernel)] = weight
    return _by_phase(problem, padded).reshape(dense(problem).w_shape)


def join_weights(problem: ConvProblem, weights: np.ndarray) -> np.ndarray:
    """The weights of which these are the phases."""
    padded = _padded(problem, weights.dtype)
    view = _by_phase(problem, padded)
    view[...] = weights.reshape(view.shape)
    return padded[:, :, *map(slice, problem.kernel)]
