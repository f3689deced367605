"""pointwise: a 1x1 convolution as a matrix product whose operand is the image itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...algorithm import Algorithm, Context, Cost, ErrorModel, Stage
from ...bounds import componentwise
from ...problem import ConvProblem

# The fraction of the FMA peak that the product's machine code allows (tests/cuda_static/test_cuda_gemm.py).
_PRODUCT = 0.8


class Pointwise(Algorithm):
    """One product an image and group, channels first; channels last, one a group for all images together."""

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
        from ...kernels.cuda.copy import copy, is_ordered, ordered
        from ...kernels.cuda.gemm import gemm
        from ...kernels.cuda.im2col import tile_for

        stream = ctx.stream or 0
        x = ordered(operands[0], ctx.device, stream)
        y = out if is_ordered(out) else ctx.device.empty(out.shape, problem.dtype)
        for w, of_x, of_y in _products(problem, state, x, y):
            a, b = (w, of_x) if problem.layout == "channels_first" else (of_x, w)
            gemm(a, b, of_y, tile_for(of_y.shape[1], of_y.shape[0], of_y.dtype.itemsize), stream)
        if y is not out:
            copy(y, out, stream)


def _products(problem: ConvProblem, weights: Any, x: Any, y: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(weights, matrix of x, matrix of y) of each product."""
    last = problem.layout == "channels_last"
    groups, axis = problem.groups, -1 if last else 1
    channels, filters = x.shape[axis] // groups, y.shape[axis] // groups
    for group in range(groups):
        read, written = (slice(group * n, group * n + n) for n in (channels, filters))
        if last:
            flat_x, flat_y = (a.reshape(a.size // max(a.shape[-1], 1), a.shape[-1]) for a in (x, y))
            yield weights[group], flat_x[:, read], flat_y[:, written]
            continue
        for image in range(x.shape[0]):
            pixels = y.size // max(y.shape[0] * y.shape[1], 1)
            of_x, of_y = x[image, read], y[image, written]
            yield weights[group], of_x.reshape(channels, pixels), of_y.reshape(filters, pixels)
