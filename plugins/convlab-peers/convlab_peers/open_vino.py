"""OpenVINO on the CPU (oneDNN's kernels, its own graph compiler): a model of one convolution from its operator set.

Input and output are tensors that share the arrays' memory, so no copy is in the time; what the compiled model does to
reach the layout that its kernel reads is. The precision is asked to be the data's: by default bfloat16 is used where
the processor has it.
"""

import functools
import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from convlab import Algorithm, Context, ConvProblem, ErrorModel
from convlab.bounds import normwise

from .compiled import Compiled


class OpenVino(Algorithm):
    """openvino.Core().compile_model(…, "CPU"), one stream."""

    name = "openvino"
    backend = "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed (pip install 'convlab-peers[openvino]')"
        if problem.direction != "forward":
            return "OpenVINO has no gradients"
        if problem.dtype not in (np.dtype("float32"), np.dtype("float16")):
            return "OpenVINO convolves float32 and float16 only"
        if problem.padding_mode != "zeros":
            return "OpenVINO's convolution pads with zeros only"
        if 0 in (problem.in_channels, problem.out_channels):
            return "OpenVINO does not convolve arrays without channels"
        return None

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        return Compiled(functools.partial(request, problem, ctx.threads), weight, problem.has_bias)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        import openvino

        x, bias = operands
        x = np.ascontiguousarray(x)  # held by name until the end: a tensor does not keep its array alive
        target = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        ready = state.model(bias)
        ready.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        ready.set_output_tensor(openvino.Tensor(target, shared_memory=True))
        ready.infer(share_outputs=True)  # without it the results are copied into a dictionary, too
        if target is not out:
            np.copyto(out, target)


def request(problem: ConvProblem, threads: int, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    """An InferRequest of the compiled problem."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return core().compile_model(graph(problem, weight, bias), "CPU", settings).create_infer_request()


@functools.cache
def core() -> Any:
    """OpenVINO's runtime, which is made for one a process."""
    import openvino

    return openvino.Core()


def graph(problem: ConvProblem, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    """An openvino.Model of the problem in its own layout."""
    import openvino
    from openvino import opset13 as op

    data = op.parameter(problem.x_shape, problem.dtype)
    lo, hi = (list(side) for side in zip(*problem.padding, strict=True))
    axes = list(range(problem.ndim + 2))
    channels_last = problem.layout == "channels_last"
    x = op.transpose(data, [0, axes[-1], *axes[1:-1]]) if channels_last else data
    if problem.groups == 1:
        y = op.convolution(x, weight, list(problem.stride), lo, hi, list(problem.dilation))
    else:
        by_group = weight.reshape(problem.groups, -1, *weight.shape[1:])
        y = op.group_convolution(x, by_group, list(problem.stride), lo, hi, list(problem.dilation))
    if bias is not None:
        y = op.add(y, bias.reshape(1, -1, *[1] * problem.ndim))
    match problem.activation:
        case "relu" | "sigmoid" | "tanh":
            y = getattr(op, problem.activation)(y)
        case "relu6":
            y = op.clamp(y, 0.0, 6.0)
        case "silu":
            y = op.multiply(y, op.sigmoid(y))
        case "gelu":
            y = op.gelu(y, "erf")
    if channels_last:
        y = op.transpose(y, [0, *axes[2:], 1])
    return openvino.Model([y], [data])
