"""direct: the definition, summed in register tiles. Answers every valid problem, needs no workspace."""

import math
from collections.abc import Mapping
from typing import Any

from ..algorithm import Algorithm, Context, Cost, ErrorModel, Stage
from ..bounds import componentwise
from ..problem import ConvProblem

# Fractions of the FMA peak that the kernels reach (bench/layers.py on Zen 4): with two vectors of filters a tile, with
# one, with vectors of outputs, and for the gradient of the weights.
_WIDE, _NARROW, _ROWS, _GRADIENT = 0.92, 0.75, 0.83, 0.7
# The same of the gradient with few filters a group, on the cycles that its vectors and its packing need.
_FEW = 0.14
# What a kernel does besides products, counted in steps of the reduction: before a tap, and around a tile.
_PER_TAP, _PER_TILE = 6, 20
# By strips: the fraction, what is done around a tile, and how much of it a row shorter than a tile leaves.
_STRIPS, _PER_STRIP_TILE, _SHORT = 0.85, 20, 0.75
# With vectors of columns: the fraction, and what is done around a tile.
_COLUMNS, _PER_COLUMNS_TILE = 0.9, 10
# The same of vectors of outputs for each channel, which they collect first: vector by vector, or one by one.
_COPIED, _GATHERED = 16, 90


class Direct(Algorithm):
    """Vectors of out-channels × a tile of outputs in registers; the input is read where it lies."""

    name, backend = "direct", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ..kernels.cpu.gradient import SMALL
        from . import lowering

        if problem.direction == "backward_weights":
            if not _few_gradients(problem):
                return lowering.gradient_cost(problem, SMALL, _GRADIENT)
            products = _few_cycles(problem) * 2 * lowering.lanes(problem)
            return Cost((Stage("products", products, problem.min_bytes, _FEW),))
        if _few_filters(problem):
            work, taps = lowering.extent(problem), math.prod(problem.kernel)
            side_by_side = problem.stride[-1] == 1 and problem.layout == "channels_first" and work.parts == 1
            efficiency = _ROWS * taps / (taps + (_COPIED if side_by_side else _GATHERED)) / _padding(problem)
        elif _by_columns(problem):
            efficiency = _columns_efficiency(problem)
        else:
            efficiency = _filters_efficiency(problem)
        return Cost((Stage("products", problem.flops, problem.min_bytes, max(efficiency, 0.01)),))

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.direct import direct
        from ..kernels.cpu.direct_columns import FILTERS, columns
        from ..kernels.cpu.direct_strips import strips
        from ..kernels.cpu.rows import rows
        from ..kernels.cpu.tile import VECTORS
        from . import lowering

        if _few_filters(problem):
            passes = lowering.pack(problem, weight, 1, 1, ctx.threads)
            return [(rows, sweep, *_factored(problem, weight, sweep, panels)) for sweep, panels in passes]
        if _by_columns(problem):
            passes = lowering.pack(problem, weight, FILTERS, FILTERS, ctx.threads)
            return [(columns, *each) for each in passes]
        width = lowering.lanes(problem)
        passes = lowering.pack(problem, weight, VECTORS * width, width, ctx.threads)
        kernels = (strips if _by_strips(problem, each.sweep.taps) else direct for each in passes)
        return [(kernel, *each) for kernel, each in zip(kernels, passes, strict=True)]

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from . import lowering
        from .launch import launch

        extent, zero = lowering.extent(problem), lowering.example(problem)
        if problem.direction == "backward_weights":
            from ..kernels.cpu.gradient import direct_gradient
            from ..kernels.cpu.gradient_few import few_gradient

            x, g = (lowering.image_tensor(problem, operand) for operand in operands)
            (sweep,) = lowering.sweeps(problem)
            w = lowering.kernel_tensor(out)
            kernel = few_gradient if _few_gradients(problem) else direct_gradient
            launch(kernel, x, g, sweep.taps, extent, zero, w, threads=ctx.threads)
            return
        source, bias = operands
        x = lowering.image_tensor(problem, source)
        values, code = lowering.epilogue(problem, bias)
        for kernel, sweep, *weights in state:
            y = lowering.outputs_of(sweep, out, problem)
            launch(kernel, x, *weights, values, sweep.taps, extent, code, zero, y, threads=ctx.threads)


def _padding(problem: ConvProblem) -> float:
    """Outputs of whole tiles over outputs, where vectors hold outputs: tiles of several rows, or of several vectors."""
    from ..kernels.cpu.filter_slide import HEIGHT
    from . import lowering

    taps, lanes = lowering.sweeps(problem)[0].taps, lowering.lanes(problem)
    tall = -(-taps.height // HEIGHT) * HEIGHT * -(-taps.width // lanes) * lanes
    wide = taps.height * -(-taps.width // (HEIGHT * lanes)) * HEIGHT * lanes
    return min(tall, wide) / (taps.height * taps.width)


def _by_strips(problem: ConvProblem, taps: Any) -> bool:
    """Whether copying what is read pays: halves are widened once, all channels fit into one strip, or rows of outputs
    are shorter than a tile and channels lie side by side.

    Elsewhere copying costs more than the addresses it saves (3x3 layers of 64 to 512 channels on Zen 4).
    """
    from ..kernels.cpu.direct_strips import cut
    from ..kernels.cpu.tile import ROWS
    from . import lowering

    extent = lowering.extent(problem)
    channels = cut(taps, extent, lowering.example(problem))[2]
    short = taps.width < ROWS and problem.layout == "channels_last"
    whole = channels == extent.channels or short
    return channels > 0 and (whole or problem.dtype == "float16")


def _by_columns(problem: ConvProblem) -> bool:
    """Whether vectors of neighbouring columns are faster than vectors of filters, by what each leaves empty."""
    from ..kernels.cpu.direct_columns import cut_columns
    from . import lowering

    if problem.layout != "channels_first" or _few_filters(problem):
        return False
    work, zero, sweeps = lowering.extent(problem), lowering.example(problem), lowering.sweeps(problem)
    if not all(cut_columns(sweep.taps, work, zero)[0] for sweep in sweeps):
        return False
    return _columns_efficiency(problem) > _filters_efficiency(problem)


def _columns_efficiency(problem: ConvProblem) -> float:
    """Fraction of the FMA peak that vectors of columns reach."""
    from ..kernels.cpu.direct_columns import FILTERS
    from . import lowering

    work, sweep, width = lowering.extent(problem), lowering.sweeps(problem)[0], lowering.lanes(problem)
    steps = work.channels * math.prod(problem.kernel)
    tiles = -(-work.filters // FILTERS) * -(-sweep.taps.width // width)
    return _COLUMNS * steps / (steps + _PER_COLUMNS_TILE) * work.filters * sweep.taps.width / (tiles * FILTERS * width)


def _filters_efficiency(problem: ConvProblem) -> float:
    """Fraction of the FMA peak that vectors of filters reach, by strips or in place."""
    from ..kernels.cpu.tile import ROWS
    from . import lowering

    work, width = lowering.extent(problem), lowering.lanes(problem)
    lanes, taps = work.filters * work.parts, math.prod(problem.kernel)
    whole, steps = -(-lanes // width) * width, work.channels * work.parts * taps
    sweep = lowering.sweeps(problem)[0]
    if _by_strips(problem, sweep.taps):
        efficiency = _STRIPS * steps / (steps + _PER_STRIP_TILE) * (_SHORT if sweep.taps.width < ROWS else 1)
        efficiency *= 1 if whole > width else _NARROW
    else:
        efficiency = (_WIDE if whole > width else _NARROW) * steps / (steps + _PER_TAP * taps + _PER_TILE)
    return efficiency * lanes / max(whole, 1)


def _few_filters(problem: ConvProblem) -> bool:
    """Whether a group's out-channels would leave half a vector empty: then vectors hold outputs of a row instead."""
    from . import lowering

    work = lowering.extent(problem)
    return 2 * work.filters * work.parts <= lowering.lanes(problem)


def _factored(problem: ConvProblem, weight: Any, sweep: Any, panels: Any) -> tuple[Any, bool]:
    """The weights of the `rows` kernel, and whether they are a column and a row each: if all filters of a sweep are
    separable and that is faster."""
    import numpy as np

    from ..kernels.cpu.rows import in_columns
    from ..kernels.cpu.tensor import storage
    from . import lowering
    from .factors import factors, worthwhile

    work, taps = lowering.extent(problem), sweep.taps
    rows, columns = len(taps.j), len(taps.k)
    if (
        work.channels != 1
        or work.parts != 1
        or len(taps.i) != 1
        or not in_columns.py_func(taps, lowering.lanes(problem))
    ):
        return panels, False
    if not worthwhile(rows, columns):
        return panels, False
    pairs = []
    for lane in weight.reshape(-1, math.prod(problem.kernel)):  # one channel a group: the filters of all groups
        pair = factors(lane[sweep.weights].reshape(rows, columns))
        if pair is None:
            return panels, False
        pairs.append(pair)
    return storage(np.concatenate(pairs)), True


def _few_cycles(problem: ConvProblem) -> float:
    """Multiply-adds of vectors in the gradient with vectors of outputs; packing an element takes as long as one."""
    from ..kernels.cpu.tile import ROWS
    from . import lowering

    work = lowering.extent(problem)
    outputs = work.images * math.prod(problem.out_size)
    tiles = -(-math.prod(problem.kernel) // ROWS)
    return outputs * work.groups * work.filters * work.channels * (tiles * ROWS / lowering.lanes(problem) + 1)


def _few_gradients(problem: ConvProblem) -> bool:
    """Whether vectors of outputs take fewer multiply-adds than vectors of filters, which would be mostly empty."""
    from ..kernels.cpu.tile import ROWS, TILE, VECTORS
    from . import lowering

    work = lowering.extent(problem)
    pairs, panels = work.channels * math.prod(problem.kernel), -(-work.filters // (VECTORS * lowering.lanes(problem)))
    outputs = work.images * math.prod(problem.out_size)
    return work.parts == 1 and _few_cycles(problem) < outputs * work.groups * -(-pairs // ROWS) * panels * TILE
