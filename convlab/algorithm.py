"""The interface of a convolution algorithm: what it can do, what it costs, how wrong it may be, how to run it.

An algorithm is stateless. What it keeps for one problem (packed weights, transformed filters) it returns
from `prepare`; scratch memory it declares in `workspace` and is given in `run`. `name`, `backend`,
`why_not` and `run` must be written; the rest have defaults that claim nothing.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .problem import ConvProblem


@dataclass(frozen=True)
class ArraySpec:
    """An array that an algorithm needs: shape, dtype, and whether every thread needs one of its own."""

    shape: tuple[int, ...]
    dtype: np.dtype
    per_thread: bool = False

    def nbytes(self, threads: int = 1) -> int:
        """Bytes in all, for that many threads."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize * (threads if self.per_thread else 1)


@dataclass(frozen=True)
class Stage:
    """One step of an algorithm: arithmetic operations, bytes to and from memory, and the fraction of the
    FMA peak that its kernel reaches when operands are at hand (a measured constant)."""

    name: str
    flops: float
    bytes: float
    efficiency: float = 1.0


@dataclass(frozen=True)
class Cost:
    """The stages of an algorithm on a problem, in order."""

    stages: tuple[Stage, ...]

    @property
    def flops(self) -> float:
        return sum(stage.flops for stage in self.stages)

    @property
    def bytes(self) -> float:
        return sum(stage.bytes for stage in self.stages)

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        """Roofline estimate: each stage takes the longer of its arithmetic and its traffic."""
        return sum(max(s.flops / (flops_per_second * s.efficiency), s.bytes / bytes_per_second) for s in self.stages)


@dataclass(frozen=True)
class ErrorModel:
    """How far a result may be from the exact one.

    kind: "componentwise", "normwise" or "reduced", as the `accuracy` option of the public calls.
    bound: (problem, operands) → array broadcastable to the result, the largest |error| of each element;
        operands are those of `Algorithm.run` with the weights second: (x, w, bias), (grad_output, w, bias)
        or (x, grad_output).
    exact_integers: floating-point data that are small integers give the exact result, to the last bit.
    """

    kind: str
    bound: Callable[[ConvProblem, Sequence[Any]], np.ndarray]
    exact_integers: bool = False


@dataclass(frozen=True)
class Context:
    """Where and with what an algorithm runs. `stream` and `device` belong to the cuda backend.

    device: allocates on the device, by `empty(shape, dtype)` and `array(values)`; capability: its compute capability.
    stream: numba's, or 0 for the default stream; None where there are none.
    capability: the compute capability of the device that is chosen for, before there is a `device`; None: any.
    """

    threads: int = 1
    device: Any = None
    stream: Any = None
    capability: tuple[int, int] | None = None


class Algorithm(ABC):
    """A convolution algorithm on one backend. One stateless instance serves every problem and thread."""

    name: ClassVar[str]
    backend: ClassVar[str]
    oldest: ClassVar[tuple[int, int]] = (0, 0)  # compute capability that it runs on, of the cuda backend

    @abstractmethod
    def why_not(self, problem: ConvProblem) -> str | None:
        """None if this algorithm can run the problem, else the reason in words."""

    def too_old(self, capability: tuple[int, int] | None) -> str | None:
        """Why it cannot run on a device of this compute capability, if it cannot."""
        if capability is None or tuple(capability) >= self.oldest:
            return None
        needed, there = (".".join(map(str, numbers)) for numbers in (self.oldest, capability))
        return f"it needs compute capability {needed}, this device has {there}"

    def cost(self, problem: ConvProblem) -> Cost | None:
        """Operations and bytes a stage; pure arithmetic. None: unknown, and "auto" never picks it."""
        return None

    def workspace(self, problem: ConvProblem, ctx: Context) -> Mapping[str, ArraySpec]:
        """Scratch arrays that `run` needs. Contents are undefined on entry to `run`."""
        return {}

    def prepared(self, problem: ConvProblem) -> Mapping[str, ArraySpec]:
        """What `prepare` will hold beyond one copy of the weights.

        Every Plan keeps a copy of the weights; in which order of elements is the algorithm's affair and is
        not counted here. What makes them larger (a transform, a padded spectrum) is.
        """
        return {}

    def error_model(self, problem: ConvProblem) -> ErrorModel | None:
        """The bound on its error. None: unknown, and "auto" never picks it."""
        return None

    def prepare(self, problem: ConvProblem, weight: Any, ctx: Context) -> Any:
        """What `run` needs of the weights, computed once a Plan. `weight` must not be kept or modified."""
        return np.array(weight)

    @abstractmethod
    def run(
        self,
        problem: ConvProblem,
        operands: tuple[Any, ...],
        state: Any,
        workspace: Mapping[str, Any],
        out: Any,
        ctx: Context,
    ) -> None:
        """Compute the result into `out`.

        operands: forward (x, bias), backward_data (grad_output, bias), backward_weights (x, grad_output);
        bias is None where the problem has none. Arrays are batched, in the problem's layout, dtype and
        native byte order, with any strides. A per-thread workspace array has a leading axis of ctx.threads.
        """
