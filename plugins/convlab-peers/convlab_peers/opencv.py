"""OpenCV's filter2D, the usual way to filter a picture: one 2-D filter on one plane, the result of the same size."""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from convlab import Algorithm, Context, ConvProblem, ErrorModel
from convlab.bounds import normwise

# OpenCV's names for what lies beyond the border. Its filters refuse BORDER_WRAP, so circular is not here.
BORDER = {"zeros": "BORDER_CONSTANT", "reflect": "BORDER_REFLECT_101", "replicate": "BORDER_REPLICATE"}


class OpenCV(Algorithm):
    """cv2.filter2D on each plane: depthwise filters, or any number of them on a single channel."""

    name = "opencv"
    backend = "cpu"

    def why_not(self, problem: ConvProblem) -> str | None:
        if importlib.util.find_spec("cv2") is None:
            return "OpenCV is not installed (pip install 'convlab-peers[opencv]')"
        if problem.direction != "forward":
            return "OpenCV has no gradients"
        if problem.ndim != 2:
            return "filter2D is 2-D"
        if problem.dtype not in (np.dtype("float32"), np.dtype("float64")):
            return "filter2D is compared in float32 and float64 only"
        if problem.in_channels != problem.groups or problem.groups == 0:
            return "filter2D does not sum over channels: it needs one input channel a group"
        if problem.layout != "channels_first":
            return "filter2D with a filter of its own for each channel needs planes (channels_first)"
        if problem.has_bias or problem.activation:
            return "filter2D has neither a bias nor an activation"
        if any(d != 1 for d in problem.dilation) or any(s != 1 for s in problem.stride):
            return "filter2D has neither stride nor dilation"
        if any(lo + hi != r - 1 for (lo, hi), r in zip(problem.padding, problem.kernel, strict=True)):
            return "filter2D gives results of the input's size only"
        if problem.padding_mode not in BORDER:
            return "OpenCV's filters have no circular border"
        return None

    def error_model(self, problem: ConvProblem) -> ErrorModel:
        return normwise(problem)

    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        import cv2

        x, _ = operands
        target = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)  # OpenCV writes whole rows only
        anchor = tuple(lo for lo, _ in reversed(problem.padding))  # (column, row) of the tap on the result's place
        filters_per_group = problem.out_channels // problem.groups
        with threads(ctx.threads):
            for n, k in np.ndindex(target.shape[:2]):
                cv2.filter2D(
                    x[n, k // filters_per_group],
                    -1,
                    state[k, 0],
                    dst=target[n, k],
                    anchor=anchor,
                    borderType=getattr(cv2, BORDER[problem.padding_mode]),
                )
        if target is not out:
            np.copyto(out, target)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """OpenCV's thread count, which is the process's, set for one call."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
