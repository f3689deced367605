"""winograd-gradient: the gradient of the weights by Winograd's tiles, for kernels of 3 and 5."""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..problem import ConvProblem
from .phased import Phased
from .tiled import PRODUCTS
from .winograd import TRANSFORMS, why_no_tiles

# A task's products and operands, and the fewest tiles transformed at a time: fewer, and its sums are fetched too often.
_TASK_BYTES, _LEAST_TILES, _MOST_TILES = 3 * 2**20, 16, 64


class WinogradGradient(Algorithm):
    """Lavin and Gray 2015, section 4.2: tiles of the input and of the outputs' gradients, multiplied point by point."""

    name, backend = "winograd-gradient", "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction != "backward_weights":
            return "it computes backward_weights; winograd does the rest"
        return why_no_tiles(problem, _tiles())

    def cost(self, problem: ConvProblem) -> Cost:
        work = scheme(problem, 1)
        return Cost(
            (
                Stage("image", 0, problem.min_bytes),
                Stage("transforms", work.additions, 0, TRANSFORMS),
                Stage("products", work.multiplications, 0, PRODUCTS),
            )
        )

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.winograd_gradient import gradient_workspace
        from . import lowering

        zero, work = lowering.example(problem), scheme(problem, ctx.threads)
        size = gradient_workspace(work.region, work.block, zero)
        return {"tiles": ArraySpec((size,), np.dtype(type(zero)), per_thread=True)}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from .winograd_error import gradient_model

        return gradient_model(scheme(problem, 1).region)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        return None

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.regions import table
        from ..kernels.cpu.winograd_gradient import winograd_gradient
        from . import lowering
        from .launch import launch

        extent, zero, work = lowering.extent(problem), lowering.example(problem), scheme(problem, ctx.threads)
        x, g = (lowering.image_tensor(problem, operand) for operand in operands)
        (sweep,) = lowering.sweeps(problem)
        contiguous = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        launch(
            winograd_gradient, x, g, sweep.taps, extent, table([work.region]), work.block, _tiles(), zero,
            workspace["tiles"], lowering.kernel_tensor(contiguous), threads=ctx.threads,
        )  # fmt: skip
        if contiguous is not out:
            out[...] = contiguous


def _tiles() -> Any:
    from ..kernels.cpu.transform import TILES

    return TILES


def strided() -> Algorithm:
    """WinogradGradient for every stride."""
    return Phased(WinogradGradient())


class Scheme(NamedTuple):
    """The tiles of all outputs, the blocks of a task, and the operations of both."""

    region: Any
    block: Any
    additions: int
    multiplications: int


@functools.lru_cache(maxsize=128)
def scheme(problem: ConvProblem, threads: int) -> Scheme:
    """The cheapest tile, which does not depend on threads, and for it the cheapest blocks, which do."""
    missing = 3 - problem.ndim
    kernel, outputs = (1,) * missing + problem.kernel, (1,) * missing + problem.out_size
    sizes = itertools.product(*[_tiles().outputs(r) for r in kernel])
    one = min((_scheme(problem, kernel, outputs, m, 1) for m in sizes), key=_operations)
    if threads == 1:
        return one
    return _scheme(problem, kernel, outputs, one.region[3:6], threads)


def _operations(work: Scheme) -> float:
    return work.additions / TRANSFORMS + work.multiplications / PRODUCTS


def _scheme(problem: ConvProblem, kernel: Any, outputs: Any, m: Any, threads: int) -> Scheme:
    from ..kernels.cpu.regions import Segment, region
    from ..kernels.cpu.tile import VECTORS
    from ..kernels.cpu.winograd_gradient import Block
    from . import lowering

    work, lanes, item = lowering.extent(problem), lowering.lanes(problem), lowering.example(problem).itemsize
    box = tuple(Segment(0, size, -(-p // size)) for p, size in zip(outputs, m, strict=True))
    whole = region(box, kernel, work.images, work.channels, work.filters, item, threads)  # type: ignore[arg-type]
    points = math.prod(a + r - 1 for a, r in zip(m, kernel, strict=True))
    tiles = work.images * math.prod(segment.tiles for segment in box)
    # The gradients' transform is that of the products, transposed: as many operations, but for a few additions.
    forth, back = _tiles().operations(m, kernel)
    filters, channels = (-(-max(count, 1) // lanes) for count in (work.filters, work.channels))
    best: tuple[float, Any] | None = None
    widths = [VECTORS * n for n in range(1, 5)]
    for rows, columns in itertools.product(widths, widths):
        rows, columns = min(rows, filters), min(columns, channels)
        room = _TASK_BYTES // (points * item * lanes) - rows * columns * lanes
        deep = min(_MOST_TILES, room // (rows + columns + 2), max(tiles, 1))
        if deep < min(_LEAST_TILES, tiles) and best is not None:
            continue
        tasks = work.groups * -(-filters // rows) * -(-channels // columns)
        additions = tasks * tiles * lanes * (columns * forth + rows * back)
        multiplications = 2 * tasks * tiles * points * rows * columns * lanes**2
        idle = -(-tasks // threads) * threads / tasks
        seconds = idle * (additions / TRANSFORMS + multiplications / PRODUCTS)
        if best is None or seconds < best[0]:
            block = Block(rows * lanes, columns * lanes, max(deep, 1))
            best = seconds, Scheme(whole, block, additions, multiplications)
    assert best is not None
    return best[1]
