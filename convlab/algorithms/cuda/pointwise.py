"""pointwise: a 1x1 convolution as a matrix product whose operand is the image itself."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ...algorithm import Algorithm, Context, Cost, ErrorModel, Stage
from ...bounds import componentwise
from ...problem import ConvProblem

# The fraction of the FMA peak that the product's machine code allows (tests/cuda_static/test_cuda_gemm.py).
_PRODUCT = 0.83


class Pointwise(Algorithm):
    """A product a group: channels first a batch of them, one an image; channels last one of all images together."""

    name, backend = "pointwise", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if any(size != 1 for size in problem.kernel):
            return f"it is for kernels of one element, not {'x'.join(map(str, problem.kernel))}"
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind, which im2col does"
        if problem.dtype != "float32":
            return f"it multiplies float32, not {problem.dtype}"
        if any(step != 1 for step in problem.stride) or any(lo or hi for lo, hi in problem.padding):
            return "it takes images as they are: neither strided nor padded"
        if problem.x_shape[0] != problem.y_shape[0] or problem.in_size != problem.out_size:
            return "it takes images as they are: neither strided nor padded"
        if problem.has_bias or problem.activation:
            return "its product has no epilogue: neither bias nor activation"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        return Cost((Stage("products", problem.flops, problem.min_bytes, _PRODUCT),))

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return componentwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        """Each group's weights as the product takes them: (G, rows, columns) on the device."""
        from ...kernels.cuda.copy import copy

        device, groups = ctx.device, problem.groups
        filters, channels = problem.out_channels // groups, problem.in_channels // groups
        own = device.empty(problem.w_shape, problem.dtype)
        copy(weight, own, ctx.stream or 0)
        matrices = own.reshape(groups, filters, channels)
        if (problem.direction == "forward") == (problem.layout == "channels_first"):
            return matrices
        turned = device.empty((groups, channels, filters), problem.dtype)
        copy(matrices, turned, ctx.stream or 0, axes=(0, 2, 1))
        return turned

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.block_tiles import tile_for
        from ...kernels.cuda.copy import copy, is_ordered, ordered
        from ...kernels.cuda.gemm import gemm
        from .lowering import multiprocessors

        stream = ctx.stream or 0
        x = ordered(operands[0], ctx.device, stream)
        y = out if is_ordered(out) else ctx.device.empty(out.shape, problem.dtype)
        for w, of_x, of_y in _products(problem, state, x, y):
            a, b = (w, of_x) if problem.layout == "channels_first" else (of_x, w)
            rows, columns = of_y.shape[-2:]
            count = of_y.shape[0] if of_y.ndim > 2 else 1
            gemm(a, b, of_y, tile_for(columns, rows, of_y.dtype.itemsize, multiprocessors(ctx), count), stream)
        if y is not out:
            copy(y, out, stream)


def _products(problem: ConvProblem, weights: Any, x: Any, y: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(weights, x, y) of each group: matrices, or channels first one of each image."""
    last = problem.layout == "channels_last"
    axis = -1 if last else 1
    channels, filters = (array.shape[axis] // problem.groups for array in (x, y))
    pixels = math.prod(problem.in_size)
    matrices = (lambda n: (problem.batch * pixels, n)) if last else (lambda n: (problem.batch, n, pixels))
    flat_x, flat_y = (array.reshape(matrices(array.shape[axis])) for array in (x, y))
    for group in range(problem.groups):
        read, written = (slice(group * n, group * n + n) for n in (channels, filters))
        yield weights[group], flat_x[:, read], flat_y[:, written]
