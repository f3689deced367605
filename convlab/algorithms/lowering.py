"""A problem in the terms of the CPU kernels: tables of taps, extents, tensors, packed weights.

What direct and im2col share, forward and backward_data alike: backward_data is a forward pass from y to x for every
phase of the stride, with the weights' channels and filters exchanged.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import ArraySpec, Cost, Stage
from ..bounds import accumulator
from ..kernels import taps as tap_tables
from ..kernels.cpu import weights
from ..kernels.cpu.epilogue import activation_code
from ..kernels.cpu.extent import Extent
from ..kernels.cpu.gradient import Blocks
from ..kernels.cpu.simd import VECTOR_BYTES
from ..kernels.cpu.tensor import Tensor, parts, storage, tensor, zero
from ..kernels.cpu.tile import ROWS, VECTORS
from ..kernels.taps import Sweep
from ..problem import ConvProblem
from .launch import launch

# Elements of windows and of gradients packed a flop of the FMA peak (bench/layers.py on Zen 4).
_PACKING = 0.05


class Pass(NamedTuple):
    """One sweep over outputs: its geometry and its weights in panels."""

    sweep: Sweep
    panels: np.ndarray


@functools.lru_cache(maxsize=128)
def extent(problem: ConvProblem) -> Extent:
    """Channels read and written a group; backward_data reads the filters and writes the channels."""
    channels, filters = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    if problem.direction == "backward_data":
        channels, filters = filters, channels
    return Extent(problem.batch, problem.groups, channels, filters, parts(problem.dtype))


@functools.lru_cache(maxsize=32)  # backward_weights has no prepared state that could keep its tables
def sweeps(problem: ConvProblem) -> tuple[Sweep, ...]:
    """The sweeps over outputs that a problem takes: one, or for backward_data one a phase of the stride."""
    axes = []
    for axis in range(problem.ndim):
        size, out, kernel = problem.in_size[axis], problem.out_size[axis], problem.kernel[axis]
        stride, dilation, lo = problem.stride[axis], problem.dilation[axis], problem.padding[axis][0]
        if problem.direction == "backward_data":
            axes.append(tap_tables.backward_axes(size, out, kernel, stride, dilation, lo))
        else:
            axes.append([tap_tables.forward_axis(out, size, kernel, stride, dilation, lo, problem.padding_mode)])
    return tuple(tap_tables.sweeps(axes, problem.kernel))


def pack(problem: ConvProblem, weight: np.ndarray, wide: int, narrow: int, threads: int) -> list[Pass]:
    """The weights in panels of their own dtype, sweep by sweep; wide and narrow are the kernel's blocks of lanes."""
    flat = storage(np.ascontiguousarray(weight).reshape(-1))
    kernel, depth = int(np.prod(problem.kernel)), problem.in_channels // problem.groups
    strides = depth * kernel, kernel  # of filters and of channels
    lane, channel = strides if problem.direction == "forward" else strides[::-1]
    _, groups, channels, filters, real = extent(problem)
    group = problem.out_channels // problem.groups * depth * kernel
    passes = []
    for sweep in sweeps(problem):
        panels = weights.empty_panels(groups * filters, channels * len(sweep.weights) * real, weight.dtype)
        launch(
            weights.pack, flat, groups, filters, channels, real, group, lane, channel, sweep.weights, wide, narrow,
            panels, threads=threads,
        )  # fmt: skip
        passes.append(Pass(sweep, panels))
    return passes


def widened(problem: ConvProblem, weight: np.ndarray) -> np.ndarray:
    """Weights as accumulators hold them: halves in float32, for kernels that read a weight for few products."""
    return np.asarray(weight, accumulator(problem.dtype))


def widened_spec(problem: ConvProblem) -> dict[str, ArraySpec]:
    """What `widened` weights take beyond a copy of the weights."""
    wide = accumulator(problem.dtype)
    return {} if wide == problem.dtype else {"weights": ArraySpec(problem.w_shape, wide)}


def image_tensor(problem: ConvProblem, array: np.ndarray) -> Tensor:
    """The Tensor of images in the problem's layout."""
    return tensor(array, problem.layout == "channels_last")


def outputs_of(sweep: Sweep, out: np.ndarray, problem: ConvProblem) -> Tensor:
    """The Tensor of those elements of `out` that a sweep writes."""
    return image_tensor(problem, part_of(sweep, out, problem))


def part_of(sweep: Sweep, out: np.ndarray, problem: ConvProblem) -> np.ndarray:
    """A view of those elements of `out` that a sweep writes."""
    if sweep.stride == (1, 1, 1):  # all of them; to slice takes 2 µs
        return out
    missing = 3 - problem.ndim
    steps = tuple(slice(f, None, s) for f, s in zip(sweep.first[missing:], sweep.stride[missing:], strict=True))
    before = 1 if problem.layout == "channels_last" else 2
    return out[(slice(None),) * before + steps]


def epilogue(problem: ConvProblem, bias: np.ndarray | None) -> tuple[np.ndarray, int]:
    """The bias as kernels take it (empty for none), and the activation's code."""
    values = np.empty(0, problem.dtype) if bias is None else bias
    return storage(values), activation_code(problem.activation, problem.dtype.kind)


def example(problem: ConvProblem) -> Any:
    """A zero of the accumulator's type, from which kernels take the type they compute in."""
    return zero(problem.dtype)


def lanes(problem: ConvProblem) -> int:
    """Accumulators in a vector register."""
    return VECTOR_BYTES // example(problem).itemsize


def kernel_tensor(weight: np.ndarray) -> Tensor:
    """The Tensor of weights (K, C/groups, *kernel), K and C as images and channels."""
    return tensor(weight)


def gradient_cost(problem: ConvProblem, blocks: Blocks, efficiency: float) -> Cost:
    """What backward_weights costs in blocks of that size, whose products reach that fraction of the FMA peak."""
    work, width = extent(problem), VECTORS * lanes(problem)
    pairs, filters = work.channels * math.prod(problem.kernel), work.filters * work.parts
    panels = -(-filters // width)
    steps = work.images * work.groups * math.prod(problem.out_size) * work.parts
    packed = steps * (filters * -(-pairs // blocks.pairs) + work.channels * -(-panels // blocks.panels))
    whole = panels * width * -(-pairs // ROWS) * ROWS / max(filters * pairs, 1)
    return Cost(
        (
            Stage("packing", packed, problem.min_bytes, _PACKING),
            Stage("products", problem.flops * whole, 0, efficiency),
        )
    )
