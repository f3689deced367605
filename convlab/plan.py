"""Plan: a problem bound to an algorithm, with its prepared weights and its workspace; call it with data.

Everything that depends only on the problem and the weights is done once, here. A call checks its array,
allocates nothing but the result, and runs the algorithm.
"""

import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import select
from .algorithm import ArraySpec, Context
from .errors import DTypeError, ProblemError
from .geometry import integer
from .problem import ConvProblem
from .select import Candidate

# By default a thread joins in for every so many multiply-adds: some 10 µs of work, where waking it costs 2 to 5.
_MACS_A_THREAD = 2**18
# Scratch arrays start on a cache line of their own, as vector loads like it.
_CACHE_LINE = 64


def resolve_threads(threads: int | None) -> int:
    """The number of threads asked for; by default, the processors this process may use.

    NUMBA_NUM_THREADS, which caps Numba's pool, caps the default too.
    """
    if threads is not None:
        return integer("threads", threads, 1)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, int(os.environ.get("NUMBA_NUM_THREADS", usable)))


def operand(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """`value` as an array that kernels can read in place: native, aligned, of the problem's dtype and shape.

    Any strides are kept; anything else that does not fit costs one copy. A cast that could lose is refused.
    """
    array = np.asarray(value)
    if array.shape != shape:
        raise ProblemError(f"{name} has shape {array.shape}; it must be {shape}")
    if array.dtype != dtype:
        if not np.can_cast(array.dtype, dtype, "safe"):
            raise DTypeError(f"{name} is {array.dtype}, which does not cast safely to this convolution's {dtype}")
        return array.astype(dtype)
    if not array.dtype.isnative or not _readable(array):
        return array.astype(dtype, order="C")
    return array


def _readable(array: np.ndarray) -> bool:
    flags = array.flags
    return flags.aligned and (flags.c_contiguous or all(stride % array.itemsize == 0 for stride in array.strides))


def allocate(spec: ArraySpec, threads: int) -> np.ndarray:
    """An uninitialised array for a spec, on a cache line; a leading axis of threads where it is per thread."""
    return _array(_bytes(spec.nbytes(threads)), spec, threads)


def _bytes(count: int) -> np.ndarray:
    raw = np.empty(count + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + count]


def _array(raw: np.ndarray, spec: ArraySpec, threads: int) -> np.ndarray:
    return raw.view(spec.dtype).reshape((threads, *spec.shape) if spec.per_thread else spec.shape)


class Arena:
    """Memory that plans work in one after the other, and that is kept between them up to `most` bytes: fresh memory
    takes longer to be mapped than many a plan to be made and called. For one plan at a time."""

    def __init__(self, most: int) -> None:
        self._most, self._raw = most, _bytes(0)

    def arrays(self, specs: Mapping[str, ArraySpec], threads: int) -> dict[str, np.ndarray]:
        """`allocate` for each spec, in the memory that the last call gave too, if that is enough."""
        sizes = [spec.nbytes(threads) for spec in specs.values()]
        total = sum(size + -size % _CACHE_LINE for size in sizes)
        raw = self._raw if total <= self._raw.size else _bytes(total)
        if total <= self._most:
            self._raw = raw
        found, start = {}, 0
        for (name, spec), size in zip(specs.items(), sizes, strict=True):
            found[name] = _array(raw[start : start + size], spec, threads)
            start += size + -size % _CACHE_LINE
        return found


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype, inputs: Mapping[str, Any]) -> np.ndarray:
    """`out` if it is a writeable array of exactly this shape and dtype that overlaps no input."""
    if not isinstance(out, np.ndarray):
        raise ProblemError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.shape != shape:
        raise ProblemError(f"out has shape {out.shape}; it must be {shape}")
    if out.dtype != dtype:
        raise DTypeError(f"out has dtype {out.dtype}; it must be {dtype}")
    if not out.flags.writeable:
        raise ProblemError("out is read-only; it must be writeable")
    for name, array in inputs.items():
        if isinstance(array, np.ndarray) and np.may_share_memory(out, array) and _overlap(out, array):
            raise ProblemError(f"out overlaps {name} in memory; give it memory of its own")
    return out


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10**6)  # type: ignore[arg-type]  # the stub knows only the two special values
    except np.exceptions.TooHardError:  # undecided within reason: refuse, rather than compute a wrong answer
        return True


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
    ) -> None:
        self.problem = problem
        self.workspace_bytes = candidate.workspace_bytes
        self.prepared_bytes = candidate.prepared_bytes
        self._candidates = [candidate] if candidates is None else candidates
        self._algorithm = candidate.algorithm
        self._ctx = Context(threads=resolve_threads(threads))
        self._unbatched = unbatched
        self._lock = threading.Lock()
        # Asked for once: a call of a small layer takes 10 µs in all, and each of these half of one.
        self._x_shape, self._y_shape, self._result_shape = problem.x_shape, problem.y_shape, problem.result_shape
        self._bias = None
        if problem.has_bias:
            self._bias = np.array(bias_operand(bias, problem))
        self._state = None
        if problem.direction != "backward_weights":
            self._state = self._algorithm.prepare(
                problem, operand("w", weight, problem.w_shape, problem.dtype), self._ctx
            )
        specs = self._algorithm.workspace(problem, self._ctx)
        if arena is None:
            self._workspace = {name: allocate(spec, self._ctx.threads) for name, spec in specs.items()}
        else:
            self._workspace = arena.arrays(specs, self._ctx.threads)

    @property
    def algorithm(self) -> str:
        """Name of the algorithm that runs."""
        return self._algorithm.name

    @property
    def threads(self) -> int:
        """Threads that a call uses."""
        return self._ctx.threads

    def __call__(self, x: Any, out: np.ndarray | None = None, stream: Any = None) -> np.ndarray:
        """The convolution of x, of the plan's shape and dtype; into `out` where it is given.

        A plan of backward_data takes grad_output as x; one of backward_weights a pair (x, grad_output).
        Raises ProblemError or DTypeError where an array does not fit the plan.
        """
        problem = self.problem
        if problem.direction == "backward_weights":
            operands: tuple[Any, ...] = (
                self._input("x", x[0], self._x_shape),
                self._input("grad_output", x[1], self._y_shape),
            )
        else:
            shape = self._x_shape if problem.direction == "forward" else self._y_shape
            operands = (self._input("x", x, shape), self._bias)
        shape = self._result_shape
        unbatched = self._unbatched and problem.direction != "backward_weights"
        if out is None:
            result = np.empty(shape, problem.dtype)
        else:
            given = {"x": operands[0], "grad_output": operands[1]}
            result = check_out(out, shape[1:] if unbatched else shape, problem.dtype, given)
            result = result[None] if unbatched else result
        target = result if _readable(result) else np.empty(shape, problem.dtype)
        if result.size:
            with self._lock:
                self._algorithm.run(problem, operands, self._state, self._workspace, target, self._ctx)
        if target is not result:
            result[...] = target
        if out is not None:
            return out
        return result[0] if unbatched else result

    def explain(self) -> str:
        """Why this algorithm: every candidate with its estimate, memory and reason, as text of 80 columns."""
        from .explain import explanation

        return explanation(self.problem, self._candidates, self.algorithm)

    def __repr__(self) -> str:
        return f"<Plan {self.algorithm}: {self.problem}>"

    def _input(self, name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        if self._unbatched:
            return operand(name, value, shape[1:], self.problem.dtype)[None]
        return operand(name, value, shape, self.problem.dtype)


def bias_operand(bias: Any, problem: ConvProblem) -> np.ndarray:
    """The bias as one contiguous value a channel of the result, cast to the problem's dtype."""
    array = np.asarray(bias)
    if array.shape != problem.bias_shape:
        raise ProblemError(f"bias has shape {array.shape}; it must be {problem.bias_shape}")
    if array.dtype.kind not in "fiuc" or (array.dtype.kind == "c" and problem.dtype.kind != "c"):
        raise DTypeError(f"bias is {array.dtype}, which has no meaning in a {problem.dtype} convolution")
    return np.ascontiguousarray(array, problem.dtype)


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
) -> Plan:
    """Choose an algorithm for the problem ("auto"), or take the one named, and bind it.

    threads: by default all that the process may use, fewer where the problem has too little work for them.
    arena: what the plan works in, if it is not to have memory of its own.
    """
    workers = resolve_threads(threads)
    if threads is None:
        workers = min(workers, 1 + problem.macs // _MACS_A_THREAD)
    limits: dict[str, Any] = {"accuracy": accuracy, "workspace_limit": workspace_limit, "threads": workers}
    candidates = None
    if algorithm == "auto":
        candidates = select.rank(problem, backend, **limits)
        candidate = select.pick(candidates, problem)
    else:
        candidate = select.named(algorithm, problem, backend, **limits)
    return Plan(
        problem, candidate, weight, bias, threads=workers, unbatched=unbatched, candidates=candidates, arena=arena
    )
