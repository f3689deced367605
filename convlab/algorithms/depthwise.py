"""depthwise: groups of few channels, by vectors of neighbouring outputs and strips of the image in L1."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import accumulator, componentwise
from ..kernels.taps import Sweep, ascending, runs
from ..problem import ConvProblem

# Groups of more channels or filters fill the vectors of direct and im2col better.
_MOST = 8
# Cycles that the kernel takes (measured on Zen 4, one thread): a task, a line of its strip, a vector copied, a vector
# of sums written, a multiply-add of a 3x3 or 5x5 kernel and of any other.
_TASK, _LINE, _COPY, _WRITE, _NEAR, _TAP = 100, 6, 2, 3, 1.2, 2.2
# An element copied or written alone, where neighbours do not lie side by side.
_EACH = 6
# And without strips: 7 outputs below each other of a kernel of 3x3 and 5x5 at steps 1 and 2, in vectors of a row (half
# a vector: that much of it) and in vectors of channels; in these, a multiply-add of any other kernel.
_TALL = 7
_ROWS, _HALF = {(3, 1): 100, (3, 2): 180, (5, 1): 215, (5, 2): 390}, 0.75
_CHANNELS, _CELL = {(3, 1): 115, (3, 2): 250, (5, 1): 305, (5, 2): 470}, 2.8


class Depthwise(Algorithm):
    """A strip of the padded image in L1, and a kernel that slides over it with all its weights in registers."""

    name, backend = "depthwise", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        from ..kernels.cpu.depthwise import MAX_POINTS
        from . import lowering

        if problem.direction == "backward_weights":
            return "it computes images, not the gradient of the weights"
        if problem.groups == 1:
            return "one group is what direct does, in larger blocks of outputs"
        if problem.dtype.kind != "f":
            return f"it computes in real floating point, not in {problem.dtype}"
        work = lowering.extent(problem)
        if not 1 <= work.channels <= _MOST or not 1 <= work.filters <= _MOST:
            return (
                f"it is for groups of 1 to {_MOST} channels; here they have {work.channels} in and {work.filters} out"
            )
        if max(problem.kernel[-2:]) > MAX_POINTS:
            return f"its kernels are at most {MAX_POINTS} high and wide, this one is {problem.kernel}"
        if not _by_channels(problem) and not all(_shape(problem, sweep)[0] for sweep in _sweeps(problem)):
            return "the lines of an image that the kernel covers do not fit in L1"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ..kernels.cpu.depthwise_last import near
        from . import lowering

        work, width, cycles = lowering.extent(problem), lowering.lanes(problem), 0.0
        for sweep in _sweeps(problem):
            taps = sweep.taps
            tall, shape = -(-taps.height // _TALL), (len(taps.k), taps.point_step)
            if _by_channels(problem):
                window = len(taps.i) * len(taps.j) * len(taps.k)
                column = _CHANNELS[shape] * tall if near.py_func(taps) else _CELL * window * taps.height
                cycles += work.images * -(-work.groups // width) * taps.depth * taps.width * column
                continue
            if _is_direct(problem):
                vectors = _HALF if 2 * taps.width <= width else -(-taps.width // width)
                cycles += work.images * work.groups * work.filters * _ROWS[shape] * tall * vectors
                continue
            rows, columns, _, _ = _shape(problem, sweep)
            tasks = -(-taps.height // rows) * -(-taps.width // columns) * taps.depth * work.groups * work.images
            lines = (rows - 1) * taps.line_step + int(taps.j[-1]) + 1
            vectors = 0.5 if 2 * columns <= width else -(-columns // width)
            copied, written = _COPY * vectors * taps.point_step, _WRITE * vectors
            if problem.layout == "channels_last" or taps.point_step > 2:
                copied, written = _EACH * columns * taps.point_step, _EACH * columns
            products = len(taps.j) * len(taps.k) * (_NEAR if near.py_func(taps) else _TAP) * rows * vectors
            strip = _TASK + lines * (_LINE + copied)
            strips = work.channels * len(taps.i) * (strip + work.filters * products)
            cycles += tasks * (strips + work.filters * rows * written)
        return Cost((Stage("strips", cycles * 2 * width, problem.min_bytes),))

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        if accumulator(problem.dtype) == problem.dtype:
            return {}
        return {"weights": ArraySpec(problem.w_shape, accumulator(problem.dtype))}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from .depthwise_passes import Passes

        return Passes(problem, _sweeps(problem), weight, _by_channels(problem), _is_direct(problem))

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        state.run(*operands, out, ctx.threads)


@functools.lru_cache(maxsize=128)
def _by_channels(problem: ConvProblem) -> bool:
    """Whether vectors hold channels: where these lie side by side, and there are enough."""
    from . import lowering

    one = problem.in_channels == problem.out_channels == problem.groups
    return problem.layout == "channels_last" and one and problem.groups >= lowering.lanes(problem)


@functools.lru_cache(maxsize=128)
def _is_direct(problem: ConvProblem) -> bool:
    """Whether the image is read without a strip."""
    from ..kernels.cpu.depthwise_direct import is_direct
    from ..kernels.cpu.epilogue import NONE, RELU, RELU6
    from . import lowering

    if problem.layout != "channels_first" or accumulator(problem.dtype) != problem.dtype or len(_sweeps(problem)) > 1:
        return False
    if lowering.epilogue(problem, None)[1] not in (NONE, RELU, RELU6):
        return False
    return is_direct(_sweeps(problem)[0].taps, lowering.extent(problem))


@functools.lru_cache(maxsize=32)
def _sweeps(problem: ConvProblem) -> tuple[Sweep, ...]:
    """The problem's sweeps as the kernel takes them: offsets ascend.

    An axis that no tap reaches (a phase of backward_data) gets a tap that reads padding, with −1 for its weight: zero.
    """
    from . import lowering

    found = []
    for sweep in lowering.sweeps(problem):
        sweep = ascending(sweep)
        taps, index = sweep.taps, sweep.weights
        if not index.size:
            one, nothing = np.zeros(1, np.intp), np.full_like(taps.points, -1)
            outside: dict[str, Any] = {"planes": np.full_like(taps.planes, -1), "lines": np.full_like(taps.lines, -1)}
            taps = taps._replace(i=one, j=one, k=one, points=nothing, runs=runs(nothing), **outside)
            index = one - 1
        found.append(sweep._replace(taps=taps, weights=index))
    return tuple(found)


def _shape(problem: ConvProblem, sweep: Sweep) -> tuple[int, int, int, int]:
    """The kernel's strip_shape."""
    from ..kernels.cpu.depthwise import strip_shape
    from . import lowering

    taps, lanes, item = sweep.taps, lowering.lanes(problem), lowering.example(problem).itemsize
    return strip_shape.py_func(
        taps.height, taps.width, taps.line_step, taps.point_step, int(taps.j[-1]) + 1, int(taps.k[-1]) + 1,
        lowering.extent(problem).filters, lanes, item,
    )  # fmt: skip
