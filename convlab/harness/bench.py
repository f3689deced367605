"""Every algorithm on one problem: checked against the oracle first, then timed against each other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .. import reference, registry, select
from ..algorithm import Context
from ..errors import BackendError, UnsupportedError
from ..functional import resolve_backend
from ..plan import Plan, resolve_threads
from ..problem import ConvProblem
from . import peak as peak_module
from .accuracy import measure
from .data import operands as make_operands
from .machine import this_machine
from .peak import Measure, Peak
from .rerun import bench_command
from .results import Report, Row
from .timing import interleave

# (what is being done, fraction of the work that is done)
Progress = Callable[[str, float], None]

# Of the progress shown, the part that checking takes; the rest is timing.
_CHECKING = 0.3
# No algorithm can have this name: a name on the command line has no space.
_PEAK = "FMA peak"


def benchmark(
    problem: ConvProblem,
    weights: Any = None,
    data: Any = None,
    names: Sequence[str] | None = None,
    peers: Sequence[str] = (),
    threads: int | None = None,
    min_time: float = 1.0,
    progress: Progress | None = None,
    *,
    backend: str = "cpu",
    measure_peak: Measure | None = None,
    source: Sequence[str] | None = None,
) -> Report:
    """Check, then time, algorithms and peers on a problem.

    weights, data: arrays as `harness.data.operands` takes them; random where they are not given.
    names: algorithms of `backend`, "auto" among them; None for all. peers: other libraries by name.
    min_time: seconds of timed calls each. source: see `rerun.bench_command`.
    Raises BackendError for a backend without algorithms, UnsupportedError for an unknown name. What cannot run,
    raises, or is wrong is a row of the report.
    """
    backend, workers = resolve_backend(backend, None), resolve_threads(threads)
    report_progress = progress or (lambda what, fraction: None)
    auto = _auto(problem, backend, workers)
    algorithms = [name for name, _ in registry.algorithms(backend)] if names is None else list(names)
    chosen = _resolve(algorithms, peers, auto, problem, backend)

    report_progress("oracle", 0.0)
    operands = make_operands(problem, weights, data)
    case = _Case(problem, operands, reference.solve(problem, *operands), np.empty(problem.result_shape, problem.dtype))
    unit = peak_module.unit(problem.dtype)
    peak = None if unit is None else Peak(measure_peak or peak_module.fma_peak, workers, unit)
    if peak is not None:
        peak()  # compiles; and Numba's own start is then in no algorithm's first call

    rows, calls = {}, {}
    for i, name in enumerate(chosen):
        report_progress(f"checking {name}", _CHECKING * i / len(chosen))
        rows[name], call = _first(case, name, backend, workers)
        if call is not None:
            calls[name] = call
    if calls and peak is not None:
        calls[_PEAK] = peak

    def on_turn(name: str, fraction: float) -> None:
        report_progress(f"timing {name}", _CHECKING + (1 - _CHECKING) * fraction)

    timings = interleave(calls, min_time, on_turn=on_turn)
    found = [replace(row, peer=registry.is_peer(name, backend), timing=timings.get(name)) for name, row in rows.items()]
    return Report(
        problem=problem,
        flops=problem.flops,
        rows=tuple(sorted(found, key=_order)),
        backend=backend,
        threads=workers,
        min_time=min_time,
        peak=None if peak is None else peak.flops,
        auto=auto,
        machine=this_machine(),
        rerun=bench_command(
            problem, source, backend=backend, algorithms=names, peers=peers, threads=workers, min_time=min_time
        ),
    )


@dataclass(frozen=True)
class _Case:
    """A problem with its operands, the oracle's result, and the array that every candidate writes into.

    One `out` serves all of them: fresh memory costs page faults, which would be timed too.
    """

    problem: ConvProblem
    operands: tuple[Any, ...]
    expected: np.ndarray
    out: np.ndarray


def _auto(problem: ConvProblem, backend: str, threads: int) -> str | None:
    try:
        return select.pick(select.rank(problem, backend, threads=threads), problem).name
    except UnsupportedError:  # nothing states its cost and its error: "auto" has nothing to take
        return None


def _resolve(
    names: Sequence[str], peers: Sequence[str], auto: str | None, problem: ConvProblem, backend: str
) -> list[str]:
    """The names without "auto" and without repetition; one that does not exist is an UnsupportedError."""
    if "auto" in names and auto is None:
        select.pick(select.rank(problem, backend), problem)  # raises, with every reason
    chosen = list(dict.fromkeys([auto if name == "auto" and auto else name for name in names] + list(peers)))
    for name in chosen:
        try:
            registry.get_algorithm(name, backend)
        except BackendError:  # it exists but does not load: a row of the report says so
            continue
    return chosen


def _first(case: _Case, name: str, backend: str, threads: int) -> tuple[Row, Callable[[], object] | None]:
    """The row of a first, checked call; and what to time, where the result is right."""
    problem, operands = case.problem, case.operands
    try:
        algorithm = registry.get_algorithm(name, backend)
        candidate = select.consider(algorithm, problem, Context(threads=threads), accuracy="reduced")
        if candidate.reason is not None:
            return Row(name, "failed" if candidate.error else "refused", reason=candidate.reason), None
        case.out.view(np.uint8).fill(0xFF)  # NaN, or -1: an element that is not written shows
        start = time.perf_counter()
        if problem.direction == "backward_weights":
            plan = Plan(problem, candidate, threads=threads)
            call = partial(plan, operands, out=case.out)
        else:
            plan = Plan(problem, candidate, operands[1], operands[2], threads=threads)
            call = partial(plan, operands[0], out=case.out)
        call()
        first_call = time.perf_counter() - start
        accuracy = measure(problem, operands, case.out, case.expected, candidate.error_model)
    except BackendError as error:
        return Row(name, "refused", reason=str(error)), None
    except Exception as error:  # an algorithm may fail in any way; it must not take the others' numbers with it
        return Row(name, "failed", reason=f"raised {type(error).__name__}: {error}"), None
    row = Row(
        name, "ok", first_call=first_call, accuracy=accuracy,
        workspace_bytes=plan.workspace_bytes, prepared_bytes=plan.prepared_bytes,
    )  # fmt: skip
    if accuracy.ok:
        return row, call
    reason = (
        f"wrong result: the largest |error| is {accuracy.max_error:.3g}, "
        f"and an error reaches {accuracy.bound_fraction:.3g} times its {accuracy.kind} bound"
    )
    return replace(row, status="failed", reason=reason), None


def _order(row: Row) -> tuple[int, float, str]:
    """The right ones by time, then failures, then refusals by name."""
    seconds = row.timing.median if row.timing else 0.0
    return ("ok", "failed", "refused").index(row.status), seconds, row.algorithm
