"""im2col-mma: implicit GEMM on tensor cores, of float16, or of float32 rounded to TF32."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import reference
from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...bounds import through_activation
from ...errors import UnsupportedError
from ...problem import ConvProblem

# The peak of tensor cores over that of float32 FMAs, on sm_80 and sm_90 (machinecode.hardware), and what of it shared
# memory leaves on sm_90, by the filters of a tile (tests/cuda_static). On sm_80 it leaves 0.97 and 0.89.
_TENSOR = {"float16": 16, "float32": 8}
_PRODUCTS = {128: 0.6, 64: 0.4}
_ROUNDED = 2.0**-11  # the unit roundoff of TF32 (11 bits), and half of its smallest subnormal
_TINY = 2.0**-137
_TRUNCATED = 2.0**-23  # what a sum in a tensor core may lose of its largest term


class Im2colMma(Algorithm):
    """float16 gives the error of float16, TF32 one of 2⁻¹⁰: "auto" takes that for accuracy="reduced" only."""

    name, backend = "im2col-mma", "cuda"
    oldest = (8, 0)  # mma.sync of these shapes, TF32 and cp.async

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind, which im2col does"
        if problem.dtype.name not in _TENSOR:
            return f"tensor cores multiply float16 and TF32, to which float32 is rounded, not {problem.dtype}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ...kernels.cuda.rows import channels_of
        from ..lowering import extent

        work, height, depth = extent(problem), _height(problem), channels_of(problem.dtype)
        whole = -(-work.filters // height) * height / max(work.filters, 1)
        whole *= -(-work.channels // depth) * depth / max(work.channels, 1)
        efficiency = _TENSOR[problem.dtype.name] * _PRODUCTS[height]
        return Cost((Stage("products", problem.flops * whole, problem.min_bytes, efficiency),))

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        from ...kernels.cuda import rows
        from . import lowering

        if problem.direction == "backward_weights":
            return {}
        return lowering.prepared(problem, _height(problem), rows.channels_of(problem.dtype), rows)

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        kind = "reduced" if problem.dtype == np.float32 else "componentwise"
        return ErrorModel(kind, _bound, exact_integers=True)

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        from ...kernels.cuda import rows
        from . import lowering

        if reason := self.too_old(ctx.device.capability):
            raise UnsupportedError(f"algorithm={self.name!r} cannot run {problem}: {reason}")
        return lowering.prepare(problem, weight, ctx, _height(problem), rows.channels_of(problem.dtype), rows)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        from ...kernels.cuda.im2col_mma import im2col_mma
        from . import lowering

        lowering.run(functools.partial(im2col_mma, height=_height(problem)), problem, operands, state, out, ctx)


def _height(problem: ConvProblem) -> int:
    """One for all sweeps: the rows are made for it."""
    from ...kernels.cuda.im2col_mma import height_for
    from ..lowering import extent

    size = problem.out_size if problem.direction == "forward" else problem.in_size
    return height_for(problem.batch * math.prod(size), extent(problem).filters)


def _bound(problem: ConvProblem, operands: Sequence[Any]) -> np.ndarray:
    """|err| ≤ (S' − S) + γ(3n + 2)·S' + u_out·S'·(1 + γ), element by element, for S = Σ|x||w| and the same sum S' of
    operands as large as rounding may make them: |x|(1 + 2⁻¹¹) + 2⁻¹³⁷ in TF32, which has float32's exponents; of
    float16, which is multiplied exactly, S' = S.

    γ(k) = k·v/(1 − k·v) with v = 2⁻²³: a tensor core aligns the terms of a sum of four to eight products, and of what
    was summed before, to the largest of them and truncates them and the result; that is at most three truncations a
    product. Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer Science 2021.
    The bias, added in float32, is not rounded to TF32: one more product in n.
    """
    real = problem.replace(dtype=np.dtype(np.float64), activation=None)
    x, w = (np.abs(np.asarray(a)).astype(np.float64) for a in operands[:2])
    bias = None if operands[2] is None else np.abs(np.asarray(operands[2])).astype(np.float64)
    exact = largest = reference.solve(real, x, w, bias)
    if problem.dtype == np.float32:
        largest = reference.solve(real, x * (1 + _ROUNDED) + _TINY, w * (1 + _ROUNDED) + _TINY, bias)
    out, n = np.finfo(problem.dtype), problem.reduction + 1
    gamma = (3 * n + 2) * _TRUNCATED
    gamma /= 1 - gamma
    error = largest - exact + gamma * largest + float(out.eps) / 2 * largest * (1 + gamma)
    error += (n + 1) * float(np.finfo(np.float32).smallest_subnormal) + float(out.smallest_subnormal)
    return through_activation(problem, error, largest)
