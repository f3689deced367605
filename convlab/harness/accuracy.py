"""How far a result is from the oracle's, measured against the bound that its algorithm states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import bounds
from ..algorithm import ErrorModel
from ..problem import ConvProblem


@dataclass(frozen=True)
class Accuracy:
    """The largest |error|, the largest |error|/bound, the bound's kind, and whether the algorithm stated it.

    An algorithm that states none is held to the contract of accuracy="normwise".
    """

    max_error: float
    bound_fraction: float
    kind: str
    stated: bool

    @property
    def ok(self) -> bool:
        return self.bound_fraction <= 1


def measure(
    problem: ConvProblem,
    operands: Sequence[Any],
    result: np.ndarray,
    expected: np.ndarray,
    model: ErrorModel | None,
) -> Accuracy:
    """Compare a result with the oracle's `expected`, element by element; what is not finite is infinitely wrong.

    operands: as ErrorModel.bound takes them.
    """
    used = bounds.normwise(problem) if model is None else model
    wide = np.complex128 if problem.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        error = np.abs(result.astype(wide) - expected.astype(wide))
        if problem.dtype.kind in "iu":  # 64-bit integers may differ by less than float64 can tell
            error = np.maximum(error, result != expected)
        fraction = np.where(error == 0, 0.0, error / used.bound(problem, operands))
    worst, ratio = (float(np.max(a, initial=0.0)) for a in (error, fraction))
    return Accuracy(
        worst if np.isfinite(worst) else float("inf"),
        ratio if np.isfinite(ratio) else float("inf"),
        used.kind,
        model is not None,
    )
