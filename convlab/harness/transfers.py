"""What lies between a host and its device: copies from memory of two kinds, and copies while the device computes.

Pageable memory, which NumPy's is, the driver copies to memory of its own first, and the host waits; pinned memory the
device copies itself, and while it does so it can compute. So a batch is cut into pieces that take turns on two streams:
while one piece is computed the next one is copied. CUDA C++ Best Practices Guide, "Data Transfer Between Host and
Device" and "Asynchronous and Overlapping Transfers with Computation".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import registry, select
from ..algorithm import Context
from ..arrays.device import OnDevice
from ..plan import Plan
from ..problem import ConvProblem
from .timing import interleave

_STREAMS = 2
_PIECES = 4  # of a batch, or more: what cannot overlap is the copy of the first one there and of the last one back


@dataclass(frozen=True)
class Transfers:
    """Seconds of copying all operands to the device and the result back, (there, back), by kind of memory; and of whole
    calls, which copy the images from pinned memory, compute and copy the result back: in turn, and overlapped in so
    many pieces. None where that was not measured: no piece of the batch is a problem of its own.
    """

    pageable: tuple[float, float]
    pinned: tuple[float, float]
    algorithm: str | None = None
    pieces: int = 1
    in_turn: float | None = None
    overlapped: float | None = None


def measure(
    problem: ConvProblem, operands: tuple[Any, ...], arrays: OnDevice, algorithm: str | None, min_time: float
) -> Transfers:
    """operands: NumPy arrays as `harness.data.operands` gives them. algorithm: what computes, None for nothing.
    min_time: seconds of timed copies or calls of each kind."""
    given = [np.ascontiguousarray(a) for a in operands if a is not None]
    there = [arrays.device.empty(a.shape, a.dtype) for a in given]
    pinned, result = [_pinned(arrays, a) for a in given], np.empty(problem.result_shape, problem.dtype)
    computed, pinned_result = arrays.device.array(result), _pinned(arrays, result)

    def to(sources: list[np.ndarray]) -> Callable[[], None]:
        def copy() -> None:
            for values, array in zip(sources, there, strict=True):
                arrays.send(values, array)
            arrays.wait()

        return copy

    def back(values: np.ndarray) -> Callable[[], None]:
        def copy() -> None:
            arrays.fetch(computed, values)
            arrays.wait()

        return copy

    calls = {
        "pageable there": to(given), "pinned there": to(pinned),
        "pageable back": back(result), "pinned back": back(pinned_result),
    }  # fmt: skip
    pieces = _pieces(problem)
    if algorithm is not None and pieces > 1:
        for name, count in (("in turn", 1), ("overlapped", pieces)):
            calls[name] = whole_call(problem, pinned, pinned_result, arrays, algorithm, count)
    seconds = {name: timing.median for name, timing in interleave(calls, min_time).items()}
    return Transfers(
        (seconds["pageable there"], seconds["pageable back"]), (seconds["pinned there"], seconds["pinned back"]),
        algorithm, pieces, seconds.get("in turn"), seconds.get("overlapped"),
    )  # fmt: skip


def whole_call(
    problem: ConvProblem, operands: list[np.ndarray], result: np.ndarray, arrays: OnDevice, algorithm: str, pieces: int
) -> Callable[[], None]:
    """A call with the images, the first of the operands, and the result in pinned memory: piece after piece of the
    batch, on streams in turn. Weights and bias are on the device, prepared; nothing is allocated. Not backward_weights.
    """
    images, *others = operands
    part = problem.replace(batch=problem.batch // pieces)
    candidate = select.consider(registry.get_algorithm(algorithm, "cuda"), part, Context(), accuracy="reduced")
    weights = [arrays.device.array(a) for a in others]
    lanes = []
    for _ in range(min(pieces, _STREAMS)):
        stream = arrays.new_stream()
        # A Plan each, as two calls of one take turns at its workspace.
        plan = Plan(part, candidate, *weights, threads=1, arrays=arrays, stream=stream)
        x = arrays.device.empty((part.batch, *images.shape[1:]), images.dtype)
        lanes.append((stream, plan, x, arrays.device.empty(part.result_shape, part.dtype)))
    arrays.wait()

    def call() -> None:
        for piece in range(pieces):
            stream, plan, x, y = lanes[piece % len(lanes)]
            own = slice(piece * part.batch, (piece + 1) * part.batch)
            arrays.send(images[own], x, stream)
            plan(x, out=y, stream=stream)
            arrays.fetch(y, result[own], stream)
        arrays.wait()

    return call


def _pieces(problem: ConvProblem) -> int:
    """Equal ones, as a Plan is for one shape; 1: the batch cannot be cut, or is summed up."""
    if problem.direction == "backward_weights":
        return 1
    return next((n for n in range(_PIECES, problem.batch) if problem.batch % n == 0), max(problem.batch, 1))


def _pinned(arrays: OnDevice, values: np.ndarray) -> np.ndarray:
    copy = arrays.pinned(values.shape, values.dtype)
    copy[...] = values
    return copy
