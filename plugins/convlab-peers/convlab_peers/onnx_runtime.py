"""ONNX Runtime on the CPU (its own kernels, MLAS): a model of one Conv node, built in memory, run through IOBinding.

Input and output are bound where they lie, so no copy is in the time. At the default optimisation level the runtime
computes in its own blocked layout (NCHWc) and changes the layout in the same call, as at the ends of a network.
"""

import functools
import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from convlab import Algorithm, Context, ConvProblem, ErrorModel
from convlab.bounds import normwise

from .compiled import Compiled
from .onnx_conv import ACTIVATIONS, ELEMENT, model

# Microseconds that a thread of the pool waits for its next work in a loop before it sleeps. The default is more than a
# second, in which it takes a core from whoever is timed next (PyTorch's 2 ms layer took 2.4 times as long after it).
# One millisecond bridges the gap between calls that follow each other: the rates are those of the default (Zen 4).
# Versions before 1.26 do not know it.
SPIN_US = "1000"


class OnnxRuntime(Algorithm):
    """onnxruntime.InferenceSession with the CPU execution provider."""

    name = "onnxruntime"
    backend = "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "ONNX Runtime is not installed (pip install 'convlab-peers[onnxruntime]')"
        if problem.direction != "forward":
            return "ONNX Runtime's packages have no gradients"
        if problem.dtype not in ELEMENT:
            return "ONNX Runtime convolves float32 and float16 only"
        if problem.layout != "channels_first":
            return "ONNX has channels_first only"
        if problem.padding_mode != "zeros":
            return "ONNX's Conv pads with zeros only"
        if problem.activation is not None and problem.activation not in ACTIVATIONS:
            return f"{problem.activation} is no operator of ONNX by itself"
        if 0 in (problem.in_channels, problem.out_channels):
            return "ONNX Runtime does not convolve arrays without channels"
        return None

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        return Compiled(functools.partial(session, problem, ctx.threads), weight, problem.has_bias)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        x, bias = operands
        x = np.ascontiguousarray(x)
        target = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        ready = state.model(bias)
        binding = ready.io_binding()
        binding.bind_input("x", "cpu", 0, x.dtype, x.shape, x.ctypes.data)
        binding.bind_output("y", "cpu", 0, target.dtype, target.shape, target.ctypes.data)
        ready.run_with_iobinding(binding)
        if target is not out:
            np.copyto(out, target)


def session(problem: ConvProblem, threads: int, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    """An InferenceSession of the problem, with a pool of that many threads, the caller's among them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    return onnxruntime.InferenceSession(model(problem, weight, bias), options, providers=["CPUExecutionProvider"])
