"""PyTorch (oneDNN on x86) as its users call it: torch.nn.functional and torch.nn.grad, without autograd.

PyTorch allocates every result itself: no convolution of it, `aten::convolution.out` included, writes into
memory it is given without a copy. `run` ends with that copy; `compute`, which convlab's harness times, does not.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from convlab import Algorithm, Context, ConvProblem, ErrorModel
from convlab.bounds import normwise


class Torch(Algorithm):
    """torch.nn.functional.conv*, conv_transpose* and torch.nn.grad.conv*_weight, on the arrays as they lie."""

    name = "torch"
    backend = "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.dtype.kind == "c" and problem.direction == "backward_weights":
            return "PyTorch has no complex weight gradient on the CPU"
        if problem.dtype.kind in "iu":
            return "PyTorch convolves integers in some cases only: forward, without dilation"
        if 0 in (problem.in_channels, problem.out_channels):
            return "PyTorch refuses arrays without channels, or takes the result for empty"
        return None

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        return self.arrange(as_tensor(np.array(weight)))

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        import torch

        result = self.convolve(problem, operands, state, ctx)
        target = out if problem.direction == "backward_weights" else channels_first(out, problem)
        with torch.inference_mode(), threads(ctx.threads):
            deliver(result, target)

    def compute(self, problem: ConvProblem, operands: tuple[Any, ...], state: Any, ctx: Context) -> Any:
        """What the harness times: `convolve`, where it runs on as many threads as were asked for."""
        return self.convolve(problem, operands, state, ctx)

    def convolve(self, problem: ConvProblem, operands: tuple[Any, ...], state: Any, ctx: Context) -> Any:
        """The result as a tensor where PyTorch allocates it, its channels on axis 1."""
        import torch

        first, second = operands
        with torch.inference_mode(), threads(ctx.threads):
            a = self.arrange(as_tensor(channels_first(first, problem)))
            if problem.direction == "backward_weights":
                return backward_weights(problem, a, self.arrange(as_tensor(channels_first(second, problem))))
            bias = None if second is None else as_tensor(second)
            step = forward if problem.direction == "forward" else backward_data
            return activate(problem, step(problem, a, state, bias))

    def arrange(self, tensor: Any) -> Any:
        """The tensor in the memory format that this peer computes in."""
        return tensor


class TorchChannelsLast(Torch):
    """The same in torch.channels_last, which oneDNN prefers.

    Weights are converted once, in `prepare`. Data in layout="channels_last" are in that format already; those in
    channels_first are converted there and back in every call, and that is part of the time.
    """

    name = "torch-channels-last"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.ndim == 1:
            return "PyTorch has memory formats of 2-D and 3-D images only"
        return super().why_not(problem)

    def arrange(self, tensor: Any) -> Any:
        import torch

        return tensor.contiguous(memory_format=torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d)


def forward(problem: ConvProblem, x: Any, w: Any, bias: Any) -> Any:
    import torch

    x, padding = pad(problem, x)
    conv = getattr(torch.nn.functional, f"conv{problem.ndim}d")
    return conv(x, w, bias, problem.stride, padding, problem.dilation, problem.groups)


def backward_data(problem: ConvProblem, y: Any, w: Any, bias: Any) -> Any:
    """By conv_transpose, which is what autograd runs; asymmetric padding is cropped from the unpadded result."""
    import torch

    padding = tuple(lo if symmetric(problem) else 0 for lo, _ in problem.padding)
    size = tuple(h + lo + hi for h, (lo, hi) in zip(problem.in_size, problem.padding, strict=True))
    covered = zip(problem.out_size, problem.stride, problem.kernel, problem.dilation, strict=True)
    output_padding = tuple(h - (p - 1) * s - (r - 1) * d - 1 for h, (p, s, r, d) in zip(size, covered, strict=True))
    conv = getattr(torch.nn.functional, f"conv_transpose{problem.ndim}d")
    x = conv(y, w, bias, problem.stride, padding, output_padding, problem.groups, problem.dilation)
    if symmetric(problem):
        return x
    return x[(..., *(slice(lo, lo + h) for h, (lo, _) in zip(problem.in_size, problem.padding, strict=True)))]


def backward_weights(problem: ConvProblem, x: Any, y: Any) -> Any:
    import torch

    x, padding = pad(problem, x)
    gradient = getattr(torch.nn.grad, f"conv{problem.ndim}d_weight")
    return gradient(x, problem.w_shape, y, problem.stride, padding, problem.dilation, problem.groups)


def symmetric(problem: ConvProblem) -> bool:
    return all(lo == hi for lo, hi in problem.padding)


def pad(problem: ConvProblem, x: Any) -> tuple[Any, tuple[int, ...]]:
    """x, and the padding left for the convolution: all of it where PyTorch's own can express it, else none."""
    import torch

    if problem.padding_mode == "zeros" and symmetric(problem):
        return x, tuple(lo for lo, _ in problem.padding)
    mode = "constant" if problem.padding_mode == "zeros" else problem.padding_mode
    last_axis_first = [side for pair in reversed(problem.padding) for side in pair]
    return torch.nn.functional.pad(x, last_axis_first, mode=mode), (0,) * problem.ndim


def activate(problem: ConvProblem, y: Any) -> Any:
    """The activation by the function of its name in torch.nn.functional; gelu's default is erf's."""
    import torch

    return y if problem.activation is None else getattr(torch.nn.functional, problem.activation)(y)


def channels_first(array: np.ndarray, problem: ConvProblem) -> np.ndarray:
    """A view with the channels on axis 1, where PyTorch has them in every memory format."""
    return np.moveaxis(array, -1, 1) if problem.layout == "channels_last" else array


def as_tensor(array: np.ndarray) -> Any:
    """The array as a tensor; a view but for negative strides and read-only memory, which PyTorch does not have."""
    import torch

    viewable = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if viewable else array.copy())


def deliver(result: Any, out: np.ndarray) -> None:
    """Copy PyTorch's result into `out`."""
    import torch

    if all(stride >= 0 for stride in out.strides):
        torch.from_numpy(out).copy_(result)
    else:
        np.copyto(out, result.numpy())


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch's thread count, which is the process's, set for one call. Setting it takes 0.2 µs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
