"""winograd: Toom–Cook tiles F(m, r) along every axis, for kernels of 3 and 5, fused in the caches."""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ..problem import ConvProblem

# Fractions of the FMA peak of the products and of a transform's additions (bench/layers.py, Zen 4): a transform loads
# and stores a vector for each two operations, and reads and writes the image.
PRODUCTS, TRANSFORMS = 0.9, 0.13
# A region of other tiles ends in a task that is not full: as long as so many operations.
_REGION = 1e6


class Winograd(Algorithm):
    """Lavin and Gray 2015. Tile sizes follow from the shape: the cheapest cut of every axis, edges in smaller tiles.

    `Winograd(ToomCook(((1, 1), (2, 7))), "winograd-7")`, registered, is one for other kernels or tiles.
    """

    name, backend = "winograd", "cpu"

    def __init__(self, tiles: Any = None, name: str = "winograd") -> None:
        self.tiles = tiles
        self.name = name  # type: ignore[misc]

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "it computes forward and backward_data; winograd-gradient does the rest"
        return why_no_tiles(problem, self._tiles())

    def _tiles(self) -> Any:
        from ..kernels.cpu.transform import TILES

        return TILES if self.tiles is None else self.tiles

    def cut(self, problem: ConvProblem) -> "Cut":
        """The cheapest way to cut the outputs into regions of equal tiles. It does not look at the threads."""
        return _cut(problem.replace(has_bias=False, activation=None), self._tiles())

    def cost(self, problem: ConvProblem) -> Cost:
        cut = self.cut(problem)
        return Cost(
            (
                Stage("image", 0, problem.min_bytes),
                Stage("transforms", cut.additions, 0, TRANSFORMS),
                Stage("products", cut.multiplications, cut.filter_bytes, PRODUCTS),
            )
        )

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..kernels.cpu.winograd import workspace
        from . import lowering

        work, zero = lowering.extent(problem), lowering.example(problem)
        cut = self.cut(problem)
        need = max(workspace(region, self._tiles(), work.channels, zero) for region in cut.regions(problem, ctx.threads))
        return {"tiles": ArraySpec((need,), np.dtype(type(zero)), per_thread=True)}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from . import lowering

        dtype = np.dtype(type(lowering.example(problem)))
        return {"filters": ArraySpec((self.cut(problem).filter_bytes // dtype.itemsize,), dtype)}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        from .winograd_error import model

        return model(self.cut(problem))

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ..kernels.cpu.regions import table
        from ..kernels.cpu.tensor import storage
        from ..kernels.cpu.winograd_filters import filter_scratch, transform_filters
        from . import lowering
        from .launch import launch

        work, zero = lowering.extent(problem), lowering.example(problem)
        cut, dtype, lanes = self.cut(problem), np.dtype(type(zero)), lowering.lanes(problem)
        weight = np.ascontiguousarray(weight)
        filter_stride, channel_stride = weight.strides[:2]
        group_stride = problem.out_channels // problem.groups * filter_stride
        forward = problem.direction == "forward"
        if not forward:
            filter_stride, channel_stride = channel_stride, filter_stride
        first = storage(weight.reshape(-1)[:1])
        panels = np.empty(cut.filter_bytes // dtype.itemsize, dtype)
        made: dict[tuple[int, ...], int] = {}
        regions, done = [], 0
        for region in cut.regions(problem, ctx.threads):
            m = region.m_d, region.m_h, region.m_w
            if m not in made:
                made[m], points = done, math.prod(a + r - 1 for a, r in zip(m, cut.kernel, strict=True))
                done += -(-work.filters // lanes) * lanes * work.groups * points * work.channels
                scratch = np.empty((ctx.threads, filter_scratch(region, lanes)), dtype)
                launch(
                    transform_filters, first, group_stride, filter_stride, channel_stride, not forward, work.groups,
                    work.filters, work.channels, region, self._tiles(), zero, scratch, panels[made[m] : done],
                    threads=ctx.threads,
                )  # fmt: skip
            regions.append(region._replace(panel=made[m]))
        (sweep,) = lowering.sweeps(problem)
        return panels, sweep.taps, work, table(regions), self._tiles(), zero

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ..kernels.cpu.winograd import winograd
        from . import lowering
        from .launch import launch

        panels, taps, extent, regions, tiles, zero = state
        source, bias = operands
        x, y = lowering.image_tensor(problem, source), lowering.image_tensor(problem, out)
        values, code = lowering.epilogue(problem, bias)
        launch(
            winograd, x, panels, values, taps, extent, code, regions, tiles, zero, workspace["tiles"], y,
            threads=ctx.threads,
        )  # fmt: skip


def why_no_tiles(problem: ConvProblem, tiles: Any) -> str | None:
    """Why a problem, in whatever direction, is not one for tiles of a ToomCook; None if it is."""
    if problem.dtype.kind != "f":
        return f"its transforms take fractions of the data, {problem.dtype} has none or is complex"
    if set(problem.stride) != {1}:
        return f"neighbouring outputs must share inputs, the stride is {problem.stride}"
    if set(problem.dilation) != {1}:
        return f"the taps of a tile must be neighbours, the dilation is {problem.dilation}"
    sizes = sorted({r for _, r in tiles.sizes} - {1})
    if not set(problem.kernel) <= {1, *sizes}:
        return f"its tiles are compiled for kernels of {sizes}, not {problem.kernel}"
    if set(problem.kernel) == {1}:
        return "a kernel of one tap has no products to save"
    return None


class Cut(NamedTuple):
    """Outputs cut into boxes of equal tiles. kernel: taps along each of three axes.

    additions, multiplications: operations of all transforms and of all products. filter_bytes: transformed filters.
    """

    kernel: tuple[int, int, int]
    boxes: tuple[tuple[Any, Any, Any], ...]
    additions: int
    multiplications: int
    filter_bytes: int

    def regions(self, problem: ConvProblem, threads: int) -> list[Any]:
        """The boxes with their tasks."""
        from ..kernels.cpu.regions import region
        from . import lowering

        work, item = lowering.extent(problem), lowering.example(problem).itemsize
        return [region(box, self.kernel, work.images, work.channels, work.filters, item, threads) for box in self.boxes]


@functools.lru_cache(maxsize=128)
def _cut(problem: ConvProblem, tiles: Any) -> Cut:
    from ..kernels.cpu.regions import segmentations
    from ..nominal import BANDWIDTH, nominal_flops

    missing = 3 - problem.ndim
    kernel = (1,) * missing + problem.kernel
    outputs = (1,) * missing + (problem.in_size if problem.direction == "backward_data" else problem.out_size)
    choices = [segmentations(count, r, tiles) for count, r in zip(outputs, kernel, strict=True)]
    rate = nominal_flops(problem.dtype)

    def seconds(cut: Cut) -> float:
        arithmetic = cut.additions / TRANSFORMS + cut.multiplications / PRODUCTS + len(cut.boxes) * _REGION
        return arithmetic / rate + cut.filter_bytes / BANDWIDTH

    cuts = (_priced(problem, kernel, tuple(itertools.product(*choice))) for choice in itertools.product(*choices))
    return min(cuts, key=seconds)


def _priced(problem: ConvProblem, kernel: Any, boxes: Any) -> Cut:
    """A cut with what it costs."""
    from . import lowering

    work, lanes = lowering.extent(problem), lowering.lanes(problem)
    item = lowering.example(problem).itemsize
    channels, filters = (-(-count // lanes) * lanes for count in (work.channels, work.filters))
    additions = multiplications = 0
    shapes = set()
    for box in boxes:
        m = tuple(segment.m for segment in box)
        points = math.prod(a + r - 1 for a, r in zip(m, kernel, strict=True))
        tiles = work.images * work.groups * math.prod(segment.tiles for segment in box)
        forth, back = transform_operations(m, kernel)
        additions += tiles * (channels * forth + filters * back)
        multiplications += 2 * tiles * points * work.channels * filters
        shapes.add((m, points))
    size = sum(points for _, points in shapes) * work.groups * work.channels * filters * item
    return Cut(kernel, boxes, additions, multiplications, size)


@functools.cache
def transform_operations(m: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, int]:
    """Operations a channel to transform a tile of inputs, and a tile of products back.

    The planes' and rows' transforms are shared by neighbouring tiles of a row: m_w new columns a tile, not n_w.
    """
    from ..kernels.transforms import straight_line, toom_cook

    n = [a + r - 1 for a, r in zip(m, kernel, strict=True)]
    matrices = [toom_cook(a, r) for a, r in zip(m, kernel, strict=True)]
    forth = [straight_line(f.bt).operations for f in matrices]
    back = [straight_line(f.at).operations for f in matrices]
    return (
        n[1] * m[2] * forth[0] + n[0] * m[2] * forth[1] + n[0] * n[1] * forth[2],
        n[0] * n[1] * back[2] + n[0] * m[2] * back[1] + m[1] * m[2] * back[0],
    )
