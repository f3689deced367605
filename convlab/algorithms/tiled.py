"""What convolutions by transformed tiles share, whatever the transform: how outputs are cut, and how they are run."""

import functools
import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..algorithm import Algorithm, ArraySpec, Context, Cost, Stage
from ..problem import ConvProblem

# Fraction of the FMA peak that the products reach, and what each tile of a task adds to it where these are few: every
# task reads all filters again, from L3 or from memory in one long stream (bench/crossover.py, Zen 4: 25 GB/s a core).
PRODUCTS, _A_TILE = 0.9, 0.09
# What a task takes besides, in operations of the peak; and the last one of a region, which is not full.
_TASK, _REGION = 1e5, 5e5
# Tiles so large that a thread needs more than this are not taken if there are others: the caches do not hold them.
_WORKSPACE = 4 * 2**20


class ByTiles(Algorithm):
    """An algorithm of transformed tiles.

    `tiles`: the kernels' value that names the transforms, by default the one of `default_tiles`.
    """

    backend = "cpu"
    # Fraction of the FMA peak that the transforms reach.
    transforms: float

    def __init__(self, tiles: Any = None, name: str | None = None) -> None:
        self._given = tiles
        if name is not None:
            self.name = name  # type: ignore[misc]

    @property
    def tiles(self) -> Any:
        return self.default_tiles() if self._given is None else self._given

    @abstractmethod
    def default_tiles(self) -> Any:
        """What is compiled by default."""


class Tiled(ByTiles):
    """Sizes of tiles follow from the shape: the cheapest cut of every axis, edges in smaller tiles."""

    def cut(self, problem: ConvProblem) -> "Cut":
        """The cheapest way to cut the outputs into regions of equal tiles. It does not look at the threads."""
        return _cut(problem.without_epilogue(), self.tiles, self.transforms)

    def cost(self, problem: ConvProblem) -> Cost:
        return self.cut(problem).cost

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from . import lowering

        dtype = np.dtype(type(lowering.example(problem)))
        need = self.cut(problem).workspace(problem, ctx.threads)
        return {"tiles": ArraySpec((need,), dtype, per_thread=True)}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from . import lowering

        dtype = np.dtype(type(lowering.example(problem)))
        return {"filters": ArraySpec((self.cut(problem).filter_bytes // dtype.itemsize,), dtype)}

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
                made[m], points = done, self.tiles.points(m, cut.kernel)
                done += -(-work.filters // lanes) * lanes * work.groups * points * work.channels
                scratch = np.empty((ctx.threads, filter_scratch(region, lanes)), dtype)
                launch(
                    transform_filters, first, group_stride, filter_stride, channel_stride, not forward, work.groups,
                    work.filters, work.channels, region, self.tiles, zero, scratch, panels[made[m] : done],
                    threads=ctx.threads,
                )  # fmt: skip
            regions.append(region._replace(panel=made[m]))
        (sweep,) = lowering.sweeps(problem)
        return panels, sweep.taps, work, table(regions), self.tiles, zero

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


class Cut(NamedTuple):
    """Outputs cut into boxes of equal tiles. kernel: taps along each of three axes.

    multiplications: operations of all products. filter_bytes: transformed filters.
    """

    tiles: Any
    kernel: tuple[int, int, int]
    boxes: tuple[tuple[Any, Any, Any], ...]
    multiplications: int
    filter_bytes: int
    cost: Cost

    def regions(self, problem: ConvProblem, threads: int) -> list[Any]:
        """The boxes with their tasks."""
        return [_region(problem, self.tiles, self.kernel, box, threads) for box in self.boxes]

    def workspace(self, problem: ConvProblem, threads: int) -> int:
        """Accumulators that each thread needs."""
        from ..kernels.cpu.winograd import workspace
        from . import lowering

        channels, zero = lowering.extent(problem).channels, lowering.example(problem)
        return max(workspace(region, channels, zero, self.tiles) for region in self.regions(problem, threads))


@functools.lru_cache(maxsize=128)
def _cut(problem: ConvProblem, tiles: Any, transforms: float) -> Cut:
    from ..kernels.cpu.regions import segmentations
    from ..nominal import BANDWIDTH, nominal_flops
    from . import lowering

    missing = 3 - problem.ndim
    kernel = (1,) * missing + problem.kernel
    outputs = (1,) * missing + (problem.in_size if problem.direction == "backward_data" else problem.out_size)
    choices = [segmentations(count, r, tiles) for count, r in zip(outputs, kernel, strict=True)]
    axes = sum(r > 1 for r in kernel)
    exact = [[some for some in choice if all(tiles.admits(s.m, axes) for s in some)] for choice in choices]
    choices = [some or choice for some, choice in zip(exact, choices, strict=True)]
    rate = nominal_flops(problem.dtype)

    def size(cut: Cut) -> int:
        return cut.workspace(problem, 1) * lowering.example(problem).itemsize

    boxes = (tuple(itertools.product(*choice)) for choice in itertools.product(*choices))
    found = (_priced(problem, tiles, transforms, kernel, some) for some in boxes)
    cuts = sorted(found, key=lambda cut: cut.cost.seconds(rate, BANDWIDTH))
    return next((cut for cut in cuts if size(cut) <= _WORKSPACE), cuts[0])


def _region(problem: ConvProblem, tiles: Any, kernel: Any, box: Any, threads: int) -> Any:
    """A box with its tasks."""
    from ..kernels.cpu.regions import region
    from . import lowering

    work, item = lowering.extent(problem), lowering.example(problem).itemsize
    return region(box, kernel, work.images, work.channels, work.filters, item, threads, tiles)


def _priced(problem: ConvProblem, tiles: Any, transforms: float, kernel: Any, boxes: Any) -> Cut:
    """A cut with what it costs."""
    from ..nominal import L3, from_memory
    from . import lowering

    work, lanes = lowering.extent(problem), lowering.lanes(problem)
    item = lowering.example(problem).itemsize
    channels, filters = (-(-count // lanes) * lanes for count in (work.channels, work.filters))
    additions = multiplications = 0
    full, tasks = 0.0, 0  # multiplications over the fraction of the peak that they reach
    elements = {}  # of the filters for tiles of each size
    for box in boxes:
        m, block = tuple(segment.m for segment in box), _region(problem, tiles, kernel, box, 1).block
        points, count = tiles.points(m, kernel), work.images * math.prod(segment.tiles for segment in box)
        forth, back = tiles.operations(m, kernel)
        additions += work.groups * count * (channels * forth + filters * back)
        tasks += work.groups * -(-count // block)
        # Micro-kernels take pairs of rows.
        rows = count // block * (block + block % 2) + (count % block + 1) // 2 * 2
        elements[m] = points * work.groups * work.channels * filters
        multiplications += 2 * rows * elements[m]
        full += 2 * rows * elements[m] / min(PRODUCTS, _A_TILE * block)
    size = sum(elements.values()) * item
    # The largest region hides what it fetches of its filters behind products; further ones are too short for that.
    further = size - max(elements.values()) * item
    image = problem.min_bytes - math.prod(problem.w_shape) * problem.dtype.itemsize
    cost = Cost(
        (
            Stage("image", 0, from_memory(image)),
            Stage("transforms", additions, 0, transforms),
            Stage("products", multiplications, size if size > L3 else 0, multiplications / full if full else PRODUCTS),
            Stage("tasks", tasks * _TASK + len(boxes) * _REGION, 0),
            Stage("further filters", 0, further),
        )
    )
    return Cut(tiles, kernel, boxes, multiplications, size, cost)
