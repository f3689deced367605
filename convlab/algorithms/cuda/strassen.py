"""strassen: a convolution as a product of matrices that takes 7 products of blocks where others take 8."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...nominal import BANDWIDTH, nominal_flops
from ...problem import ConvProblem
from ..strassen import bound

# The fraction of the FMA peak that the products' machine code allows, as that of pointwise, and the SMs of a large
# device: 108 of an A100, 132 of an H100 (tests/cuda_static/test_cuda_strassen.py).
_PRODUCT, _SMS = 0.8, 120


class Strassen(Algorithm):
    """Weights × image, image by image, channels first; channels last, all images × weights; each by one level of
    Strassen's scheme or by two. Of kernels larger than 1 the patches are written out first.

    Its error mixes filters, channels and, channels last, images. So it keeps no bound that is proportional to each
    filter's norm, as accuracy="normwise" promises, and "auto" takes it for accuracy="reduced" only.
    """

    name, backend = "strassen", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind, which im2col does"
        if problem.dtype != "float32":
            return f"it multiplies float32, not {problem.dtype}"
        if problem.has_bias or problem.activation:
            return "its products have no epilogue: neither bias nor activation"
        if _in_place(problem):
            return None
        if problem.direction == "backward_data":
            return "of gradients it takes those of 1x1 kernels, neither strided nor padded"
        from ...kernels.cuda.unfold import MOST

        if _patches(problem) >= MOST:
            return f"{_patches(problem)} elements of patches are more than it counts"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        sizes = _sizes(problem)
        cost = _cost(sizes, levels(*sizes[:3]))
        if _in_place(problem):
            return cost
        return Cost((Stage("patches", 0, 8 * _patches(problem) * sizes.products), *cost.stages))

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        from ...kernels.cuda.schedule import strassen_schedule
        from ...kernels.cuda.strassen import workspace

        sizes = _sizes(problem)[:3]
        elements = workspace(strassen_schedule(levels(*sizes)), *sizes)
        specs = dict(zip(("left", "right"), elements, strict=True)) if any(elements) else {}
        if not _in_place(problem):
            specs["patches"] = _patches(problem)
        return {name: ArraySpec((size,), problem.dtype) for name, size in specs.items()}

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return ErrorModel("reduced", _bound)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        """The scheme's table, each group's weights as the product takes them, (G, rows, columns), and the geometry."""
        from ...kernels.cuda.copy import copy
        from ...kernels.cuda.geometry import tables
        from ...kernels.cuda.schedule import strassen_schedule
        from ..lowering import sweeps

        device, stream, groups = ctx.device, ctx.stream or 0, problem.groups
        filters, channels = problem.out_channels // groups, problem.in_channels // groups
        lines = strassen_schedule(levels(*_sizes(problem)[:3])).lines
        own, taps = device.empty(problem.w_shape, problem.dtype), math.prod(problem.kernel)
        copy(weight, own, stream)
        matrices = own.reshape(groups, filters, channels, taps)
        # The depth of the product: all channels of a tap, then those of the next.
        if (problem.direction == "forward") == (problem.layout == "channels_first"):
            shape, axes = (filters, taps * channels), (0, 1, 3, 2)
        else:
            shape, axes = (taps * channels, filters), (0, 3, 2, 1)
        turned = device.empty((groups, *(matrices.shape[axis] for axis in axes[1:])), problem.dtype)
        copy(matrices, turned, stream, axes=axes)
        (sweep,) = sweeps(problem)
        return device.array(lines.reshape(-1)), turned.reshape(groups, *shape), tables(sweep.taps, device.array)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.copy import copy, is_ordered, ordered
        from ...kernels.cuda.schedule import strassen_schedule
        from ...kernels.cuda.strassen import strassen

        stream, (table, weights, taps) = ctx.stream or 0, state
        schedule = strassen_schedule(levels(*_sizes(problem)[:3]))
        x = ordered(operands[0], ctx.device, stream)
        y = out if is_ordered(out) else ctx.device.empty(out.shape, problem.dtype)
        sums = tuple(workspace[name] for name in ("left", "right") if name in workspace)
        own = _matrices if _in_place(problem) else functools.partial(_unfolded, workspace.get("patches"), taps, stream)
        for a, b, c in own(problem, weights, x, y):
            strassen(a, b, c, schedule, table, sums, stream)
        if y is not out:
            copy(y, out, stream)


@functools.lru_cache(maxsize=256)  # every call of a plan asks
def levels(rows: int, columns: int, depth: int) -> int:
    """How often the scheme is applied to a product of these sizes: once or twice, by the estimated time.

    A level saves an eighth of the multiply-adds. The first costs next to nothing but that the products, a quarter of C
    in size, fill the SMs worse; the second writes 10 sums of quarters of A and B to memory and reads them again.
    Modelled, against gemm: one level pays from squares of about 3072 (A100) or 4096 (H100) on, where it takes 1.1
    times less, two pay from about 8192, where they take 1.2 times less.
    """
    from ...kernels.cuda.schedule import strassen_schedule
    from ...kernels.cuda.strassen import peeled

    if not any(peeled(strassen_schedule(2), rows, columns, depth)):
        return 1
    peak = nominal_flops(np.dtype(np.float32))
    sizes = _Sizes(rows, columns, depth, 1)
    return min((1, 2), key=lambda n: _cost(sizes, n).seconds(peak, BANDWIDTH))


class _Sizes(NamedTuple):
    """Of one of so many products: those of C, and the depth."""

    rows: int
    columns: int
    depth: int
    products: int


def _sizes(problem: ConvProblem) -> _Sizes:
    from ..lowering import extent

    work, pixels = extent(problem), math.prod(problem.out_size)
    depth = work.channels * math.prod(problem.kernel)
    if problem.layout == "channels_last":
        return _Sizes(work.images * pixels, work.filters, depth, work.groups)
    return _Sizes(work.filters, pixels, depth, work.images * work.groups)


def _in_place(problem: ConvProblem) -> bool:
    """Whether images are the patches themselves."""
    unmoved = set(problem.kernel) == set(problem.stride) == {1} and not any(lo or hi for lo, hi in problem.padding)
    return unmoved and problem.in_size == problem.out_size


def _patches(problem: ConvProblem) -> int:
    """Elements of the patches that one product takes."""
    sizes = _sizes(problem)
    return sizes.depth * (sizes.rows if problem.layout == "channels_last" else sizes.columns)


def _cost(sizes: _Sizes, times: int) -> Cost:
    """Of the scheme applied so many times. The last of the tiles of a launch leave half of the SMs idle on average."""
    from ...kernels.cuda.schedule import INTO, OPERAND, TARGET, Products, strassen_schedule
    from ...kernels.cuda.strassen import ALIGNED, peeled

    (rows, columns, depth, products), schedule = sizes, strassen_schedule(times)
    m, n, k = peeled(schedule, rows, columns, depth)
    high, wide, deep = m // schedule.scheme.rows, n // schedule.scheme.columns, k // schedule.scheme.depth
    tiles = -(-high // ALIGNED.height) * -(-wide // ALIGNED.width)
    flops, moved, summed = 2.0 * (rows * columns * depth - m * n * k), 0, 0
    for step in schedule.steps:
        if isinstance(step, Products):
            turns = max(tiles * step.many / _SMS + 0.5, 1) if tiles else 0
            flops += turns * _SMS * 2 * ALIGNED.height * ALIGNED.width * deep
            targets = schedule.lines[step.line : step.line + step.many, 2 * OPERAND :].reshape(-1, INTO, TARGET)
            stored = int(((targets[..., 2] != 0) * (1 + targets[..., 3])).sum())
            left, right = (len(factors) * step.many for factors in step.factors)
            moved += left * high * deep + right * deep * wide + stored * high * wide
        else:
            summed += step.many * (len(step.factors) + 1) * 4 * deep * (wide if step.side else high)
    stages = [Stage("products", flops * products, 4 * moved * products, _PRODUCT)]
    if summed:
        stages.append(Stage("sums", summed * products, 4 * summed * products))
    return Cost(tuple(stages))


def _bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
    """The CPU's: it leaves room for what is peeled off, which takes more roundings of smaller sums."""
    from ...kernels.cuda.schedule import strassen_schedule

    scheme = strassen_schedule(levels(*_sizes(problem)[:3])).scheme
    return bound(scheme, problem, operands, images_together=problem.layout == "channels_last")


def _parts(problem: ConvProblem) -> Iterator[tuple[int, slice, slice]]:
    """Every group, and the channels that are read and written of it."""
    channels, filters = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    if problem.direction == "backward_data":
        channels, filters = filters, channels
    for group in range(problem.groups):
        read, written = (slice(group * n, group * n + n) for n in (channels, filters))
        yield group, read, written


def _matrices(problem: ConvProblem, weights: Any, x: Any, y: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(A, B, C) of each product."""
    pixels = math.prod(problem.out_size)
    for group, read, written in _parts(problem):
        if problem.layout == "channels_last":
            flat_x, flat_y = (a.reshape(problem.batch * pixels, a.shape[-1]) for a in (x, y))
            yield flat_x[:, read], weights[group], flat_y[:, written]
            continue
        for image in range(problem.batch):
            of_x, of_y = x[image, read], y[image, written]
            yield weights[group], of_x.reshape(_length(read), pixels), of_y.reshape(_length(written), pixels)


def _unfolded(
    patches: Any, taps: Any, stream: Any, problem: ConvProblem, weights: Any, x: Any, y: Any
) -> Iterator[tuple[Any, Any, Any]]:
    """The same of patches, which are made for each product in the place of those before."""
    from ...kernels.cuda.tensor import tensor
    from ...kernels.cuda.unfold import unfold

    pixels, depth = math.prod(problem.out_size), _sizes(problem).depth
    for group, read, written in _parts(problem):
        if problem.layout == "channels_last":
            unfold(tensor(x[..., read], True), taps, problem.batch, _length(read), patches, True, stream)
            flat_y = y.reshape(problem.batch * pixels, y.shape[-1])
            yield patches.reshape(problem.batch * pixels, depth), weights[group], flat_y[:, written]
            continue
        for image in range(problem.batch):
            unfold(tensor(x[image : image + 1, read]), taps, 1, _length(read), patches, False, stream)
            of_y = y[image, written].reshape(_length(written), pixels)
            yield weights[group], patches.reshape(depth, pixels), of_y


def _length(part: slice) -> int:
    """Elements of a slice."""
    return int(part.stop - part.start)
