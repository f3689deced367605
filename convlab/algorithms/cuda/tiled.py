"""What convolutions by transformed tiles share, whatever the transform: inputs, products, outputs, a kernel each."""

import functools
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...algorithm import Algorithm, ArraySpec, Context, Cost, Stage
from ...kernels.cpu.regions import Segment
from ...problem import ConvProblem

# What the products' machine code allows of the FMA peak (tests/cuda_static/test_cuda_gemm.py), and the transforms'.
_PRODUCTS, _TRANSFORMS = 0.8, 0.4
# A launch beyond the first, in operations of the peak: 2 µs of an A100.
_LAUNCH = 4e7
# Transformed inputs and products together take at most this, unless the fewest tiles of a launch take more.
_WORKSPACE = 256 * 2**20
# Tiles of a launch come in multiples of a warp, and of what a tile of the product is wide where there are several.
_WARP, _WIDE = 32, 128


class Cut(NamedTuple):
    """A problem in tiles of one kind: `counts` of them along rows and columns of an image, `room` in a launch."""

    tiles: Any
    counts: tuple[int, int]
    total: int
    room: int
    cost: Cost

    @property
    def kernel(self) -> tuple[int, int, int]:
        return (1, *self.tiles.taps)

    @property
    def boxes(self) -> tuple[tuple[Segment, ...], ...]:
        """The outputs as one box of tiles, an axis each (algorithms.winograd_error)."""
        axes = zip(self.tiles.outputs, self.counts, strict=True)
        return ((Segment(0, 1, 1), *(Segment(0, m, count) for m, count in axes)),)

    @property
    def grids(self) -> Iterator[Any]:
        """The tiles of each launch, as the kernels take them."""
        from ...kernels.cuda.tile_inputs import Grid

        for first in range(0, self.total, self.room):
            room = min(self.room, rounded(self.total - first, _WARP))
            yield Grid(*self.counts, first, self.total, room)


class Tiled(Algorithm):
    """V = Bᵀx of every tile and channel, M = U · V for every point, y = AᵀM; U = G w is made ahead.

    V and M are workspace: tiles are taken in turns where all at once would need more than a bound. Channels last, V and
    M have channels last and the products are V · Uᵀ: so that what is read and written lies together either way.
    """

    backend = "cuda"

    @abstractmethod
    def choices(self, problem: ConvProblem) -> Sequence[Any]:
        """The Tiles (kernels.cuda.tiles) that can compute the problem."""

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "it computes forward and backward_data"
        if problem.dtype.name not in ("float32", "float16"):
            return f"its transforms are of float32, {problem.dtype} is not computed in that"
        if problem.ndim > 2:
            return "its tiles have one or two dimensions"
        if set(problem.stride) != {1}:
            return f"neighbouring outputs must share inputs, the stride is {problem.stride}"
        if set(problem.dilation) != {1}:
            return f"the taps of a tile must be neighbours, the dilation is {problem.dilation}"
        return None

    def cut(self, problem: ConvProblem) -> Cut:
        """The cheapest of the tiles."""
        return _cheapest(problem.without_epilogue(), tuple(self.choices(problem)))

    def cost(self, problem: ConvProblem) -> Cost:
        return self.cut(problem).cost

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ..lowering import extent

        cut, work, number = self.cut(problem), extent(problem), np.dtype(np.float32)
        points = work.groups * cut.room * cut.tiles.points
        sizes = {"inputs": points * work.channels, "products": points * work.filters}
        return {name: ArraySpec((size,), number) for name, size in sizes.items()}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from ..lowering import extent

        work = extent(problem)
        size = self.cut(problem).tiles.points * work.groups * work.filters * work.channels
        return {"filters": ArraySpec((size,), np.dtype(np.float32))}

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        """The transformed filters, (points · groups, filters, channels) or their transposes, and the tables."""
        from ...kernels.cuda.copy import ordered
        from ...kernels.cuda.geometry import tables
        from ...kernels.cuda.tensor import tensor
        from ...kernels.cuda.tile_inputs import transform_filters
        from ..lowering import extent, sweeps

        cut, work, stream, last = self.cut(problem), extent(problem), ctx.stream or 0, is_last(problem)
        tiles, device, forward = cut.tiles, ctx.device, problem.direction == "forward"
        size, share = work.filters * work.channels, problem.out_channels // problem.groups
        filters = device.empty(tiles.points * work.groups * size, np.float32)
        axes = zip(tiles.taps, tiles.filter_size, strict=True)
        at = device.array(np.concatenate([_taps(*axis, forward) for axis in axes]))
        weight = ordered(weight, device, stream)
        for group in range(work.groups):
            w = tensor(weight[group * share : (group + 1) * share])
            if not forward:
                w = w._replace(image=w.channel, channel=w.image)
            transform_filters(
                tiles, w, at, work.filters, work.channels, last, filters, group * size, work.groups * size, stream
            )
        rows, columns = (work.channels, work.filters) if last else (work.filters, work.channels)
        (sweep,) = sweeps(problem)
        table = tables(_reaching(sweep.taps, cut), device.array)
        return filters.reshape(tiles.points * work.groups, rows, columns), table, device.empty(0, problem.dtype)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cpu.epilogue import activation_code
        from ...kernels.cuda.copy import ordered
        from ...kernels.cuda.gemm import gemm
        from ...kernels.cuda.tensor import tensor
        from ...kernels.cuda.tile_inputs import transform_inputs
        from ...kernels.cuda.tile_outputs import transform_products
        from ..lowering import extent
        from . import lowering

        filters, table, nothing = state
        (source, bias), stream, work, cut = operands, ctx.stream or 0, extent(problem), self.cut(problem)
        last, batch = is_last(problem), cut.tiles.points * work.groups
        # Kernels count upwards from the first element.
        source = ordered(source, ctx.device, stream) if min(source.strides, default=0) < 0 else source
        x, y = (tensor(array, problem.layout == "channels_last") for array in (source, out))
        code = activation_code(problem.activation, problem.dtype.kind)
        for grid in cut.grids:
            read, written = work.groups * work.channels, work.groups * work.filters
            v, m = (
                array[: batch * grid.room * channels]
                for array, channels in ((workspace["inputs"], work.channels), (workspace["products"], work.filters))
            )
            transform_inputs(cut.tiles, x, table, read, grid, last, v, stream)
            v, sums = (
                array.reshape(batch, *((grid.room, channels) if last else (channels, grid.room)))
                for array, channels in ((v, work.channels), (m, work.filters))
            )
            a, b = (v, filters) if last else (filters, v)
            tile = product_tile(cut.tiles, work, grid.room, last, lowering.multiprocessors(ctx))
            gemm(a, b, sums, tile, stream)
            transform_products(
                cut.tiles, m, nothing if bias is None else bias, table, written, grid, code, last, y, stream
            )


def is_last(problem: ConvProblem) -> bool:
    """Whether channels are neighbours in V and M. Of several groups they are not: a batch is one of points · groups."""
    return problem.layout == "channels_last" and problem.groups == 1


def rounded(count: int, unit: int) -> int:
    """The least multiple of the unit that is not less."""
    return -(-count // unit) * unit


def _room(points: int, channels: int, total: int) -> int:
    """Tiles of a launch, for so many channels read and written."""
    most = max(_WORKSPACE // (4 * points * max(channels, 1)) // _WIDE * _WIDE, _WIDE)
    turns = -(-total // most)
    return rounded(-(-total // turns), _WIDE if turns > 1 else _WARP)


def product_tile(tiles: Any, work: Any, room: int, last: bool, sms: int | None = None) -> Any:
    """The tile of the products on a device of so many SMs; last: of transposed ones."""
    from ...kernels.cuda.block_tiles import SMS, tile_for

    columns, rows = (work.filters, room) if last else (room, work.filters)
    return tile_for(columns, rows, 4, sms or SMS, tiles.points * work.groups)


def _taps(taps: int, size: int, forward: bool) -> np.ndarray:
    """Which tap each place of a window of filters reads, −1 for none; backward_data reverses them."""
    at = np.arange(size)
    return np.where(at < taps, at if forward else taps - 1 - at, -1).astype(np.int32)


def _reaching(taps: Any, cut: Cut) -> Any:
    """Tables that reach to the end of the last tiles, by padding zeros."""
    axes = zip((taps.lines, taps.points), cut.counts, cut.tiles.outputs, cut.tiles.taps, strict=True)
    lines, points = (
        np.append(axis, np.full(count * m + r - 1 - len(axis), -1, axis.dtype)) for axis, count, m, r in axes
    )
    return taps._replace(lines=lines, points=points)


@functools.lru_cache(maxsize=128)
def _cheapest(problem: ConvProblem, choices: tuple[Any, ...]) -> Cut:
    from ...nominal import BANDWIDTH, FLOAT32_FLOPS

    cuts = (_priced(problem, tiles) for tiles in choices)
    return min(cuts, key=lambda cut: cut.cost.seconds(FLOAT32_FLOPS, BANDWIDTH))


def _priced(problem: ConvProblem, tiles: Any) -> Cut:
    """The cut into such tiles, with what it costs."""
    from ...kernels.cuda.gemm import DEPTH
    from ...kernels.cuda.tiles import count
    from ..lowering import extent

    work = extent(problem)
    read, written = work.groups * work.channels, work.groups * work.filters
    forward = problem.direction == "forward"
    from_size, to_size = (problem.in_size, problem.out_size) if forward else (problem.out_size, problem.in_size)
    counts = count((1,) * (2 - problem.ndim) + tuple(to_size), tiles)
    total = work.images * math.prod(counts)
    room = _room(tiles.points, read + written, max(total, 1))
    turns = -(-total // room)
    last, width = is_last(problem), room * turns
    tile = product_tile(tiles, work, room, last)
    high, wide = (room, work.filters) if last else (work.filters, room)
    products = 2 * tiles.points * work.groups * rounded(work.channels, DEPTH) * turns
    products *= rounded(high, tile.height) * rounded(wide, tile.width)
    item, (forth, back) = problem.dtype.itemsize, tiles.operations
    image, result = (
        item * work.images * channels * math.prod(size) for channels, size in ((read, from_size), (written, to_size))
    )
    v, m = (4 * tiles.points * width * channels for channels in (read, written))
    u = 4 * tiles.points * work.groups * work.filters * work.channels
    cost = Cost(
        (
            Stage("inputs", width * read * forth, image + v, _TRANSFORMS),
            Stage("products", products, v + m + turns * u, _PRODUCTS),
            Stage("outputs", width * written * back, m + result, _TRANSFORMS),
            Stage("launches", _LAUNCH * (3 * turns - 1), 0),
        )
    )
    return Cut(tiles, counts, total, room, cost)
