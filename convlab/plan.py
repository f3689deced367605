"""Plan: a problem bound to an algorithm, with its prepared weights and its workspace; call it with data.

Everything that depends only on the problem and the weights is done once, here. A call checks its array,
allocates nothing but the result, and runs the algorithm.
"""

import math
import os
import threading
from dataclasses import replace
from typing import Any

from . import select
from .algorithm import Context
from .arrays import HOST, Arrays, dtype_of, given, of
from .arrays.host import Arena
from .errors import DTypeError, ProblemError
from .geometry import integer
from .problem import ConvProblem
from .select import Candidate

# By default a thread joins in for every so many multiply-adds: some 10 µs of work, where waking it costs 2 to 5.
_MACS_A_THREAD = 2**18


def resolve_threads(threads: int | None) -> int:
    """The number of threads asked for; by default, the processors this process may use.

    NUMBA_NUM_THREADS, which caps Numba's pool, caps the default too.
    """
    if threads is not None:
        return integer("threads", threads, 1)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, int(os.environ.get("NUMBA_NUM_THREADS", usable)))


class Plan:
    """A convolution ready to run: `plan(x)` gives the result.

    Built by `convlab.plan`. Holds a copy of the weights and the bias and owns its workspace; a lock admits
    one call at a time, and separate Plans run side by side. workspace_bytes and prepared_bytes: what it holds
    beyond that copy; a workspace_bytes of None is a peer's, which allocates as it likes.
    """

    def __init__(
        self,
        problem: ConvProblem,
        candidate: Candidate,
        weight: Any = None,
        bias: Any = None,
        *,
        threads: int | None = None,
        unbatched: bool = False,
        candidates: list[Candidate] | None = None,
        arena: Arena | None = None,
        arrays: Arrays | None = None,
        stream: Any = None,
    ) -> None:
        self.problem = problem
        self.workspace_bytes = candidate.workspace_bytes
        self.prepared_bytes = candidate.prepared_bytes
        self._candidates = [candidate] if candidates is None else candidates
        self._algorithm = candidate.algorithm
        self._arrays = arrays = of(candidate.algorithm.backend, weight) if arrays is None else arrays
        stream = arrays.stream(stream, weight)
        self._ctx = Context(threads=resolve_threads(threads), device=arrays.device, stream=stream)
        self._unbatched = unbatched
        self._lock = threading.Lock()
        # Asked for once: a call of a small layer takes 10 µs in all, and each of these half of one.
        self._x_shape, self._y_shape, self._result_shape = problem.x_shape, problem.y_shape, problem.result_shape
        self._empty = not math.prod(self._result_shape)
        self._bias = None
        if problem.has_bias:
            self._bias = bias_operand(bias, problem, arrays, stream)
        self._state = None
        if problem.direction != "backward_weights":
            operand = arrays.operand("w", weight, problem.w_shape, problem.dtype, stream)
            self._state = self._algorithm.prepare(problem, operand, self._ctx)
        specs = self._algorithm.workspace(problem, self._ctx)
        if arena is None:
            self._workspace = {name: arrays.allocate(spec, self._ctx.threads) for name, spec in specs.items()}
        else:
            self._workspace = arena.arrays(specs, self._ctx.threads)
        # What a call on another stream has to wait for: the weights, and who has the workspace.
        self._busy = arrays.mark(stream), stream

    @property
    def algorithm(self) -> str:
        """Name of the algorithm that runs."""
        return self._algorithm.name

    @property
    def threads(self) -> int:
        """Threads that a call uses."""
        return self._ctx.threads

    def __call__(self, x: Any, out: Any = None, stream: Any = None) -> Any:
        """The convolution of x, of the plan's shape and dtype; into `out` where it is given.

        A plan of backward_data takes grad_output as x; one of backward_weights a pair (x, grad_output).
        On cuda the call is queued on `stream`, by default the one that x tells; the result is of the library of x.
        Raises ProblemError or DTypeError where an array does not fit the plan.
        """
        problem, arrays = self.problem, self._arrays
        backward_weights = problem.direction == "backward_weights"
        first = x[0] if backward_weights else x
        stream = arrays.stream(stream, first)
        ctx = self._ctx if stream is self._ctx.stream else replace(self._ctx, stream=stream)
        if backward_weights:
            operands: tuple[Any, ...] = (
                self._input("x", first, self._x_shape, stream),
                self._input("grad_output", x[1], self._y_shape, stream),
            )
        else:
            shape = self._x_shape if problem.direction == "forward" else self._y_shape
            operands = (self._input("x", x, shape, stream), self._bias)
        shape = self._result_shape
        unbatched = self._unbatched and not backward_weights
        if out is None:
            result = arrays.empty(shape, problem.dtype, first)
        else:
            inputs = {"x": operands[0], "grad_output": operands[1]}
            result = arrays.check_out(out, shape[1:] if unbatched else shape, problem.dtype, inputs)
            result = arrays.batched(result) if unbatched else result
        if not self._empty:
            target, apart = arrays.target(result, stream)
            with self._lock:
                mark, last = self._busy
                if stream is not last:
                    arrays.after(mark, stream)
                self._algorithm.run(problem, operands, self._state, self._workspace, target, ctx)
                if self._workspace:
                    self._busy = arrays.mark(stream), stream
            if apart:
                arrays.copy(target, result, stream)
        if out is not None:
            return out
        return result[0] if unbatched else result

    def explain(self) -> str:
        """Why this algorithm: every candidate with its estimate, memory and reason, as text of 80 columns."""
        from .explain import explanation

        return explanation(self.problem, self._candidates, self.algorithm)

    def __repr__(self) -> str:
        return f"<Plan {self.algorithm}: {self.problem}>"

    def _input(self, name: str, value: Any, shape: tuple[int, ...], stream: Any) -> Any:
        if self._unbatched:
            return self._arrays.batched(self._arrays.operand(name, value, shape[1:], self.problem.dtype, stream))
        return self._arrays.operand(name, value, shape, self.problem.dtype, stream)


def bias_operand(bias: Any, problem: ConvProblem, arrays: Arrays = HOST, stream: Any = None) -> Any:
    """A copy of the bias as one contiguous value a channel of the result, cast to the problem's dtype."""
    array = given(bias)
    dtype = dtype_of(array)
    if tuple(array.shape) != problem.bias_shape:
        raise ProblemError(f"bias has shape {tuple(array.shape)}; it must be {problem.bias_shape}")
    if dtype.kind not in "fiuc" or (dtype.kind == "c" and problem.dtype.kind != "c"):
        raise DTypeError(f"bias is {dtype}, which has no meaning in a {problem.dtype} convolution")
    return arrays.contiguous(array, problem.dtype, stream)


def make_plan(
    problem: ConvProblem,
    weight: Any = None,
    bias: Any = None,
    *,
    algorithm: str = "auto",
    backend: str = "cpu",
    accuracy: str = "normwise",
    workspace_limit: int | str | None = None,
    threads: int | None = None,
    unbatched: bool = False,
    arena: Arena | None = None,
    arrays: Arrays | None = None,
    stream: Any = None,
) -> Plan:
    """Choose an algorithm for the problem ("auto"), or take the one named, and bind it.

    threads: by default all that the process may use, fewer where the problem has too little work for them.
    arena: what the plan works in, if it is not to have memory of its own. arrays: where its data will be, by default
    where the weights are. stream: the one to prepare the weights on.
    """
    arrays = of(backend, weight) if arrays is None else arrays
    workers = resolve_threads(threads)
    if threads is None:
        workers = min(workers, 1 + problem.macs // _MACS_A_THREAD) if arrays is HOST else 1
    limits: dict[str, Any] = {
        "accuracy": accuracy, "workspace_limit": workspace_limit, "threads": workers,
        "capability": getattr(arrays.device, "capability", None),
    }  # fmt: skip
    candidates = None
    if algorithm == "auto":
        candidates = select.rank(problem, backend, **limits)
        candidate = select.pick(candidates, problem)
    else:
        candidate = select.named(algorithm, problem, backend, **limits)
    return Plan(
        problem, candidate, weight, bias, threads=workers, unbatched=unbatched, candidates=candidates, arena=arena,
        arrays=arrays, stream=stream,
    )  # fmt: skip
