"""NNPACK, the CPU library of Winograd and FFT convolutions that PyTorch ships, through PyTorch's private operator.

It picks its algorithm itself (nnp_convolution_algorithm_auto: Winograd F(6x6, 3x3) for 3x3 kernels, FFTs of
8x8 or 16x16 tiles for others). PyTorch gives it a pool of as many threads as PyTorch has at the first call, and keeps
that pool to the end of the process (2.13: twice the processor time after a first call on two threads, whatever
`torch.set_num_threads` says later). Other numbers of threads give right results, and are refused to be timed.
"""

import functools
from typing import Any

from convlab import BackendError, Context, ConvProblem

from .pytorch import Torch, activate, as_tensor, channels_first, symmetric, threads


class Nnpack(Torch):
    """torch._nnpack_spatial_convolution: 2-D, float32, one group, no dilation."""

    name = "nnpack"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction != "forward":
            return "PyTorch exposes NNPACK's forward convolution only"
        if problem.ndim != 2:
            return "NNPACK has 2-D convolutions only"
        if problem.dtype != "float32":
            return "NNPACK computes in float32 only"
        if problem.groups != 1:
            return "NNPACK has no groups"
        if problem.in_channels == 0:
            return "NNPACK needs at least one channel"
        if any(d != 1 for d in problem.dilation):
            return "NNPACK has no dilation"
        if problem.padding_mode != "zeros" or not symmetric(problem):
            return "NNPACK, as PyTorch calls it, pads with zeros, both ends alike"
        if any(lo >= r for (lo, _), r in zip(problem.padding, problem.kernel, strict=True)):
            return "NNPACK takes padding smaller than the kernel only"
        return None

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        initialise()
        with threads(ctx.threads):
            pool_threads()
        return super().prepare(problem, weight, ctx)

    def compute(self, problem: ConvProblem, operands: tuple[Any, ...], state: Any, ctx: Context) -> Any:
        if pool_threads() != ctx.threads:
            raise BackendError(
                f"NNPACK's pool has {pool_threads()} threads in this process, as many as its first call had; "
                f"{ctx.threads} can be timed in another process"
            )
        return self.convolve(problem, operands, state, ctx)

    def convolve(self, problem: ConvProblem, operands: tuple[Any, ...], state: Any, ctx: Context) -> Any:
        import torch

        x, bias = operands
        padding = tuple(lo for lo, _ in problem.padding)
        with torch.inference_mode(), threads(ctx.threads):
            y = torch._nnpack_spatial_convolution(
                as_tensor(channels_first(x, problem)).contiguous(),
                state,
                None if bias is None else as_tensor(bias),
                padding,
                problem.stride,
            )
            return activate(problem, y)


@functools.cache
def initialise() -> None:
    """NNPACK's start-up, which its operator expects to have happened; asking whether it is available does it."""
    import torch

    if not torch._nnpack_available():
        raise BackendError("NNPACK does not run here: PyTorch was built without it, or the processor lacks AVX2")


@functools.cache
def pool_threads() -> int:
    """The threads of NNPACK's pool, which a first call makes here if there has been none."""
    import torch

    with torch.inference_mode():
        torch._nnpack_spatial_convolution(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3), None, (1, 1), (1, 1))
    return torch.get_num_threads()
