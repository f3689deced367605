"""Gradients of the weights by transformed tiles, whatever the transform: which tiles, in which blocks, and the call."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import ArraySpec, Context, Cost, Stage
from ..problem import ConvProblem
from .tiled import PRODUCTS, ByTiles

# A task's products and operands; and of tiles transformed at a time the most, and the fewest that do not cost more: of
# fewer the sums are fetched too often.
_TASK_BYTES, _LEAST_TILES, _MOST_TILES = 3 * 2**20, 16, 64


class TiledGradient(ByTiles):
    """backward_weights: tiles of the input and of the outputs' gradients, multiplied point by point and summed."""

    def scheme(self, problem: ConvProblem, threads: int) -> "Scheme":
        """The cheapest tile, which does not depend on threads, and for it the cheapest blocks, which do."""
        return _scheme(problem, self.tiles, self.transforms, threads)

    def cost(self, problem: ConvProblem) -> Cost:
        work = self.scheme(problem, 1)
        return Cost(
            (
                Stage("image", 0, problem.min_bytes),
                Stage("transforms", work.additions, 0, self.transforms),
                Stage("products", work.multiplications, 0, PRODUCTS),
            )
        )

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.winograd_gradient import gradient_workspace
        from . import lowering

        zero, work = lowering.example(problem), self.scheme(problem, ctx.threads)
        size = gradient_workspace(work.region, work.block, zero, self.tiles)
        return {"tiles": ArraySpec((size,), np.dtype(type(zero)), per_thread=True)}

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

        extent, zero, work = lowering.extent(problem), lowering.example(problem), self.scheme(problem, ctx.threads)
        x, g = (lowering.image_tensor(problem, operand) for operand in operands)
        (sweep,) = lowering.sweeps(problem)
        contiguous = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        launch(
            winograd_gradient, x, g, sweep.taps, extent, table([work.region]), work.block, self.tiles, zero,
            workspace["tiles"], lowering.kernel_tensor(contiguous), threads=ctx.threads,
        )  # fmt: skip
        if contiguous is not out:
            out[...] = contiguous


class Scheme(NamedTuple):
    """The tiles of all outputs, the blocks of a task, the operations of both, and what these take of the peak."""

    region: Any
    block: Any
    additions: int
    multiplications: int
    seconds: float


@functools.lru_cache(maxsize=128)
def _scheme(problem: ConvProblem, tiles: Any, transforms: float, threads: int) -> Scheme:
    missing = 3 - problem.ndim
    kernel, outputs = (1,) * missing + problem.kernel, (1,) * missing + problem.out_size
    if threads == 1:
        sizes = itertools.product(*[tiles.outputs(r) for r in kernel])
        return min((_blocked(problem, tiles, transforms, kernel, outputs, m, 1) for m in sizes), key=_seconds)
    m = _scheme(problem, tiles, transforms, 1).region[3:6]
    return _blocked(problem, tiles, transforms, kernel, outputs, m, threads)


def _seconds(work: Scheme) -> float:
    return work.seconds


def _blocked(
    problem: ConvProblem, tiles: Any, transforms: float, kernel: Any, outputs: Any, m: Any, threads: int
) -> Scheme:
    """Tiles of m outputs in the cheapest blocks."""
    from ..kernels.cpu.regions import Segment, region
    from ..kernels.cpu.tile import VECTORS
    from ..kernels.cpu.winograd_gradient import Block
    from . import lowering

    work, lanes, item = lowering.extent(problem), lowering.lanes(problem), lowering.example(problem).itemsize
    d, h, w = (Segment(0, size, -(-p // size)) for p, size in zip(outputs, m, strict=True))
    whole = region((d, h, w), kernel, work.images, work.channels, work.filters, item, threads, tiles)
    points, count = tiles.points(m, kernel), work.images * d.tiles * h.tiles * w.tiles
    # The gradients' transform is that of the products, transposed: as many operations, but for a few additions.
    forth, back = tiles.operations(m, kernel)
    filters, channels = (-(-max(size, 1) // lanes) for size in (work.filters, work.channels))
    best: Scheme | None = None
    widths = [VECTORS * n for n in range(1, 5)]
    for rows, columns in itertools.product(widths, widths):
        rows, columns = min(rows, filters), min(columns, channels)
        room = _TASK_BYTES // (points * item * lanes) - rows * columns * lanes
        deep = min(_MOST_TILES, room // (rows + columns + 2), max(count, 1))
        deep = max(deep, 1)
        tasks = work.groups * -(-filters // rows) * -(-channels // columns)
        additions = tasks * count * lanes * (columns * forth + rows * back)
        multiplications = 2 * tasks * count * points * rows * columns * lanes**2
        idle = -(-tasks // threads) * threads / tasks
        products = PRODUCTS * min(1, deep / _LEAST_TILES)
        seconds = idle * (additions / transforms + multiplications / products)
        if best is None or seconds < best.seconds:
            block = Block(rows * lanes, columns * lanes, deep)
            best = Scheme(whole, block, additions, multiplications, seconds)
    assert best is not None
    return best
