"""A problem in the terms of the CUDA kernels: its tables and its weights' panels in device memory.

The geometry is the CPU's (algorithms.lowering): the same sweeps over outputs, the same tables of taps.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...algorithm import ArraySpec, Context
from ...kernels.cpu.epilogue import activation_code
from ...kernels.cuda import weights
from ...kernels.cuda.block_tiles import SMS
from ...kernels.cuda.copy import ordered
from ...kernels.cuda.geometry import tables
from ...kernels.cuda.tensor import tensor
from ...problem import ConvProblem
from ..lowering import example, extent, part_of, sweeps


def multiprocessors(ctx: Context) -> int:
    """How many SMs the device has, or is taken to have."""
    return getattr(ctx.device, "sms", SMS)


class Prepared(NamedTuple):
    """The passes, (sweep, tables, panels) each, and what stands for no bias."""

    passes: list[tuple[Any, Any, Any]]
    nothing: Any


def prepare(
    problem: ConvProblem, weight: Any, ctx: Context, block: int, channel_block: int = 1, packing: Any = weights
) -> Prepared:
    """Tables and panels for every sweep. block, channel_block: as weights.pack takes them. packing: the module whose
    `pack` makes the panels, weights or rows."""
    device, work, stream = ctx.device, extent(problem), ctx.stream or 0
    kernel, depth = math.prod(problem.kernel), problem.in_channels // problem.groups
    group = problem.out_channels // problem.groups * depth * kernel
    strides = (depth * kernel, kernel) if problem.direction == "forward" else (kernel, depth * kernel)
    flat = ordered(weight, device, stream).reshape(math.prod(problem.w_shape))
    passes = []
    for sweep in sweeps(problem):
        size = packing.size(work.groups, work.filters, work.channels, len(sweep.weights), block, channel_block)
        panels = device.empty(size, _stored(problem, packing))
        packing.pack(
            flat, work.groups, work.filters, work.channels, (group, *strides),
            device.array(sweep.weights.astype(np.int32)), block, channel_block, panels, stream,
        )  # fmt: skip
        passes.append((sweep, tables(sweep.taps, device.array), panels))
    return Prepared(passes, device.empty(0, problem.dtype))


def _stored(problem: ConvProblem, packing: Any) -> np.dtype:
    """The dtype of panels: the sums', or of rows the problem's."""
    return example(problem).dtype if packing is weights else problem.dtype


def prepared(
    problem: ConvProblem, block: int, channel_block: int = 1, packing: Any = weights
) -> Mapping[str, ArraySpec]:
    """What the panels take beyond a copy of the weights."""
    work, dtype = extent(problem), _stored(problem, packing)
    sizes = [
        packing.size(work.groups, work.filters, work.channels, len(sweep.weights), block, channel_block)
        for sweep in sweeps(problem)
    ]
    more = sum(sizes) * dtype.itemsize - math.prod(problem.w_shape) * problem.dtype.itemsize
    return {"panels": ArraySpec((max(more, 0),), np.dtype(np.uint8))}


def run(
    launcher: Callable[..., None], problem: ConvProblem, operands: tuple[Any, ...], state: Prepared, out: Any,
    ctx: Context,
) -> None:  # fmt: skip
    """Every pass by a launcher of the CPU twin's parameters."""
    source, bias = operands
    last = problem.layout == "channels_last"
    code = activation_code(problem.activation, problem.dtype.kind)
    # Kernels count channels upwards from the first.
    x = tensor(ordered(source, ctx.device, ctx.stream or 0) if min(source.strides, default=0) < 0 else source, last)
    for sweep, table, panels in state.passes:
        y = tensor(part_of(sweep, out, problem), last)
        launcher(
            x, panels, state.nothing if bias is None else bias, table, extent(problem), code, example(problem), y,
            stream=ctx.stream or 0,
        )  # fmt: skip


@functools.lru_cache(maxsize=32)  # backward_weights has no prepared state that could keep them
def _forward_tables(problem: ConvProblem, device: Any) -> Any:
    (sweep,) = sweeps(problem)
    return tables(sweep.taps, device.array)


def run_gradient(
    launcher: Callable[..., None], problem: ConvProblem, operands: tuple[Any, ...], out: Any, ctx: Context
) -> None:
    """backward_weights by a launcher of the CPU twin's parameters."""
    stream, last = ctx.stream or 0, problem.layout == "channels_last"
    x, g = (tensor(ordered(a, ctx.device, stream) if min(a.strides) < 0 else a, last) for a in operands)
    table = _forward_tables(problem, ctx.device)
    launcher(x, g, table, extent(problem), example(problem), tensor(out), stream=stream)
