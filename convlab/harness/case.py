"""A problem with its data and the oracle's answer; an algorithm's first, checked call on it, and what to time then."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .. import reference, registry, select
from ..algorithm import Algorithm, Context
from ..arrays import HOST, Arrays, of
from ..arrays.device import OnDevice
from ..errors import BackendError
from ..plan import Plan
from ..problem import ConvProblem
from . import transfers
from .accuracy import measure
from .data import operands as make_operands
from .results import Row
from .transfers import Transfers


@dataclass(frozen=True)
class Case:
    """A problem with its operands, the oracle's result, and the array that every candidate writes into.

    One `out` serves all of them: fresh memory costs page faults, which would be timed too. arrays: of the backend, and
    there, the operands and `out`; a timed call ends when the device is done.
    """

    problem: ConvProblem
    operands: tuple[Any, ...]
    expected: np.ndarray
    out: Any
    arrays: Arrays = HOST
    there: tuple[Any, ...] = ()

    @classmethod
    def of(cls, problem: ConvProblem, weights: Any = None, data: Any = None, backend: str = "cpu") -> "Case":
        """weights, data: arrays as `harness.data.operands` takes them; random where they are not given."""
        operands = make_operands(problem, weights, data)
        expected = reference.solve(problem, *operands)
        arrays = of(backend)
        if arrays.device is None:
            return cls(problem, operands, expected, np.empty(problem.result_shape, problem.dtype), arrays, operands)
        there = tuple(None if a is None else arrays.device.array(a) for a in operands)
        return cls(problem, operands, expected, arrays.device.empty(problem.result_shape, problem.dtype), arrays, there)

    def transfers(self, algorithm: str | None, min_time: float) -> Transfers | None:
        """What copies to a device and back take, and calls of the algorithm with them; None where there is no device,
        or too little memory on it."""
        if not isinstance(self.arrays, OnDevice):
            return None
        try:
            return transfers.measure(self.problem, self.operands, self.arrays, algorithm, min_time)
        except BackendError:
            return None

    def first(
        self, name: str, backend: str, threads: int, *, prepared: bool = True
    ) -> tuple[Row, Callable[[], object] | None]:
        """The row of a first, checked call; and what to time, where the result is right.

        prepared: whether the weights are prepared once, ahead, and not in each call. A library that can only
        allocate its result has a `compute(problem, operands, state, ctx)` that leaves it there; this is timed then,
        as its users call it, without the copy into `out` that `run` ends with.
        """
        try:
            algorithm = registry.get_algorithm(name, backend)
            candidate = select.consider(algorithm, self.problem, Context(threads=threads), accuracy="reduced")
            if candidate.reason is not None:
                return Row(name, "failed" if candidate.error else "refused", reason=candidate.reason), None
            self._blank()
            start = time.perf_counter()
            plan = self._plan(candidate, threads)
            self._call(plan)
            first_call = time.perf_counter() - start
            accuracy = measure(
                self.problem, self.operands, self.arrays.to_host(self.out), self.expected, candidate.error_model
            )
            call = self._timed(plan, algorithm, threads) if prepared else partial(self._unprepared, candidate, threads)
            call()
        except BackendError as error:
            return Row(name, "refused", reason=str(error)), None
        except Exception as error:  # an algorithm may fail in any way; it must not take the others' numbers with it
            return Row(name, "failed", reason=f"raised {type(error).__name__}: {error}"), None
        row = Row(
            name, "ok", first_call=first_call, accuracy=accuracy,
            workspace_bytes=plan.workspace_bytes, prepared_bytes=plan.prepared_bytes,
        )  # fmt: skip
        if not accuracy.ok:
            reason = (
                f"wrong result: the largest |error| is {accuracy.max_error:.3g}, "
                f"and an error reaches {accuracy.bound_fraction:.3g} times its {accuracy.kind} bound"
            )
            return replace(row, status="failed", reason=reason), None
        return row, call

    def _blank(self) -> None:
        """NaN, or -1, in all of `out`: an element that is not written shows."""
        shape, dtype = self.problem.result_shape, self.problem.dtype
        if self.arrays.device is None:
            self.out.view(np.uint8).fill(0xFF)
        elif self.expected.size:
            self.out.copy_to_device(np.full(self.out.nbytes, 0xFF, np.uint8).view(dtype).reshape(shape))

    def _timed(self, plan: Plan, algorithm: Algorithm, threads: int) -> Callable[[], object]:
        """A call on prepared weights; without the copy into `out` where it would be one."""
        compute = getattr(algorithm, "compute", None)
        if compute is None:
            return partial(self._call, plan)
        ctx = Context(threads=threads)
        if self.problem.direction == "backward_weights":
            return partial(compute, self.problem, self.operands, None, ctx)
        x, weight, bias = self.operands
        return partial(compute, self.problem, (x, bias), algorithm.prepare(self.problem, weight, ctx), ctx)

    def _plan(self, candidate: select.Candidate, threads: int) -> Plan:
        if self.problem.direction == "backward_weights":
            return Plan(self.problem, candidate, threads=threads, arrays=self.arrays)
        return Plan(self.problem, candidate, *self.there[1:], threads=threads, arrays=self.arrays)

    def _unprepared(self, candidate: select.Candidate, threads: int) -> object:
        return self._call(self._plan(candidate, threads))

    def _call(self, plan: Plan) -> object:
        backward_weights = self.problem.direction == "backward_weights"
        plan(self.there if backward_weights else self.there[0], out=self.out)
        return self.arrays.wait()
