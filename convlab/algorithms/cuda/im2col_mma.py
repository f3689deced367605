"""im2col-mma: implicit GEMM on tensor cores, of float16, or of float32 rounded to TF32."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import reference
from ...algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from ...bounds import through_activation
from ...errors import BackendError
from ...problem import ConvProblem

OLDEST = (8, 0)  # the compute capability that has mma.sync of these shapes, TF32 and cp.async
# Products over the float32 FMA peak: tensor cores have 16 and 8 times its rate on sm_80 and sm_90 (machinecode.hardware),
# of which mma.sync reaches 62 % on sm_90 (Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture
# via Microbenchmarking", 2024, section V).
_PRODUCTS = {"float16": 0.62 * 16, "float32": 0.62 * 8}
_ROUNDED = 2.0**-11  # the unit roundoff of TF32 (11 bits), and half of its smallest subnormal
_TINY = 2.0**-137
_TRUNCATED = 2.0**-23  # what a sum in a tensor core may lose of its largest term


class Im2colMma(Algorithm):
    """float16 gives the error of float16, TF32 one of 2⁻¹⁰: "auto" takes that for accuracy="reduced" only."""

    name, backend = "im2col-mma", "cuda"

    def why_not(self, problem: ConvProblem) -> str | None:
        if problem.direction == "backward_weights":
            return "the gradient of the weights is a product of another kind, which direct does"
        if problem.dtype.name not in _PRODUCTS:
            return f"tensor cores multiply float16 and TF32, to which float32 is rounded, not {problem.dtype}"
        return None

    def cost(self, problem: ConvProblem) -> Cost:
        from ...kernels.cuda.rows import channels_of
        from ..lowering import extent

        work, height, depth = extent(problem), _height(problem), channels_of(problem.dtype)
        whole = -(-work.filters // height) * height / max(work.filters, 1)
        whole *= -(-work.channels // depth) * depth / max(work.channels, 1)
        return Cost((Stage("products", problem.flops * whole, problem.min_bytes, _PRODUCTS[problem.dtype.name]),))

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

        if tuple(ctx.device.capability) < OLDEST:
            needed, there = (".".join(map(str, numbers)) for numbers in (OLDEST, ctx.device.capability))
            raise BackendError(f"im2col-mma needs compute capability {needed}, this device has {there}")
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
    x, w, bias = (None if a is None else np.abs(np.asarray(a)).astype(np.float64) for a in operands)
    exact = largest = reference.solve(real, x, w, bias)
    if problem.dtype == np.float32:
        largest = reference.solve(real, *(a * (1 + _ROUNDED) + _TINY for a in (x, w)), bias)
    out, n = np.finfo(problem.dtype), problem.reduction + 1
    gamma = (3 * n + 2) * _TRUNCATED
    gamma /= 1 - gamma
    error = largest - exact + gamma * largest + float(out.eps) / 2 * largest * (1 + gamma)
    error += (n + 1) * float(np.finfo(np.float32).smallest_subnormal) + float(out.smallest_subnormal)
    return through_activation(problem, error, largest)
