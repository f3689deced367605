"""depthwise: groups of few channels, by vectors of neighbouring outputs and strips of the image in L1."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..bounds import accumulator, componentwise
from ..kernels.taps import Sweep, runs
from ..problem import ConvProblem

# Groups of more channels or filters fill the vectors of direct and im2col better.
_MOST = 8
# Cycles that the kernel takes (measured on Zen 4, one thread): a task, a line of its strip, a vector copied, a vector
# of sums written, a multiply-add of a 3x3 or 5x5 kernel and of any other.
_TASK, _LINE, _COPY, _WRITE, _NEAR, _TAP = 100, 6, 2, 3, 1.2, 2.2
# And without strips: a task, a multiply-add at each step.
_IMAGE, _DIRECT = 50, (0, 1.8, 3.6)


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
        if problem.kernel[-1] > MAX_POINTS:
            return f"its kernels are at most {MAX_POINTS} wide, this one is {problem.kernel[-1]}"
        if not all(_shape(problem, sweep)[0] for sweep in _sweeps(problem)):
            return "the lines of an image that the kernel covers do not fit in L1"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from . import lowering

        work, width, cycles = lowering.extent(problem), lowering.lanes(problem), 0.0
        for sweep in _sweeps(problem):
            taps, (rows, columns, _, _) = sweep.taps, _shape(problem, sweep)
            groups = -(-work.groups // width) if _by_channels(problem) else work.groups
            tasks = -(-taps.height // rows) * -(-taps.width // columns) * taps.depth * groups * work.images
            lines = (rows - 1) * taps.line_step + int(taps.j[-1]) + 1
            vectors = 0.5 if 2 * columns <= width else -(-columns // width)
            vectors = columns if _by_channels(problem) else vectors
            if _is_direct(problem):
                tall = 7 if len(taps.j) == 3 else 4
                products = len(taps.j) * len(taps.k) * -(-taps.height // tall) * tall * vectors
                each = _IMAGE + work.filters * products * _DIRECT[taps.point_step]
                cycles += work.images * work.groups * each
                continue
            near = (len(taps.j), len(taps.k)) in ((3, 3), (5, 5))
            products = len(taps.j) * len(taps.k) * (_NEAR if near else _TAP) * rows * vectors
            strip = _TASK + lines * (_LINE + _COPY * vectors * taps.point_step)
            strips = work.channels * len(taps.i) * (strip + work.filters * products)
            cycles += tasks * (strips + work.filters * rows * vectors * _WRITE)
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
        taps, index = sweep.taps, sweep.weights
        if index.size:
            orders = [np.argsort(offsets) for offsets in (taps.i, taps.j, taps.k)]
            index = index.reshape([len(order) for order in orders])[np.ix_(*orders)].reshape(-1)
            i, j, k = (offsets[order] for offsets, order in zip((taps.i, taps.j, taps.k), orders, strict=True))
            taps = taps._replace(i=i, j=j, k=k)
        else:
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
    if _by_channels(problem):  # an element of a strip is a vector
        lanes, item = 1, lanes * item
    return strip_shape.py_func(
        taps.height, taps.width, taps.line_step, taps.point_step, int(taps.j[-1]) + 1, int(taps.k[-1]) + 1,
        lowering.extent(problem).filters, lanes, item,
    )  # fmt: skip
