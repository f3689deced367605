"""Every algorithm on one problem: checked against the oracle first, then timed against each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import registry, select
from ..arrays import of
from ..errors import BackendError, UnsupportedError
from ..functional import resolve_backend
from ..plan import resolve_threads
from ..problem import ConvProblem
from . import peak as peak_module
from .case import Case
from .load import Others
from .machine import this_machine
from .peak import Measure, Peak
from .rerun import bench_command
from .results import Report, Row
from .timing import interleave

# (what is being done, fraction of the work that is done)
Progress = Callable[[str, float], None]

# Of the progress shown, the part that checking takes; the rest is timing.
_CHECKING = 0.3
# Of the time that an algorithm is timed, what copies of each kind are.
_TRANSFERS = 0.25
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
    (report,) = compare(
        problem, weights, data, names, peers, [resolve_threads(threads)], min_time, progress,
        backend=backend, measure_peak=measure_peak, source=source,
    )  # fmt: skip
    return report


def compare(
    problem: ConvProblem,
    weights: Any = None,
    data: Any = None,
    names: Sequence[str] | None = None,
    peers: Sequence[str] = (),
    threads: Sequence[int] = (1,),
    min_time: float = 1.0,
    progress: Progress | None = None,
    *,
    backend: str = "cpu",
    measure_peak: Measure | None = None,
    source: Sequence[str] | None = None,
    layouts: Mapping[str, str] | None = None,
    prepared: bool = True,
) -> list[Report]:
    """As `benchmark`, at several numbers of threads in one interleaved run: a report each.

    layouts: peers that get the problem in another layout than its own, with operands of their own in it.
    prepared: False has the algorithms (not the peers) prepare the weights in each call.
    """
    of(resolve_backend(backend, None))  # or says at once that there is no device
    backend, layouts, progress = resolve_backend(backend, None), layouts or {}, progress or (lambda what, part: None)
    autos = {count: _auto(problem, backend, count) for count in threads}
    algorithms = [name for name, _ in registry.algorithms(backend)] if names is None else list(names)
    chosen = [(n, count) for count in threads for n in _resolve(algorithms, peers, autos[count], problem, backend)]

    progress("oracle", 0.0)
    cases = {problem.layout: Case.of(problem, weights, data, backend)}
    for layout in layouts.values():
        if layout not in cases:
            cases[layout] = Case.of(problem.replace(layout=layout), backend=backend)
    unit = peak_module.unit(problem.dtype) if backend == "cpu" else None  # the peak measured is the processor's
    peaks = {} if unit is None else {n: Peak(measure_peak or peak_module.fma_peak, n, unit) for n in threads}
    for peak in peaks.values():
        peak()  # compiles; and Numba's own start is then in no algorithm's first call

    rows, calls = {}, {}
    for i, (name, count) in enumerate(chosen):
        progress(f"checking {name}", _CHECKING * i / len(chosen))
        peer = registry.is_peer(name, backend)
        case = cases[layouts.get(name, problem.layout)]
        rows[name, count], call = case.first(name, backend, count, prepared=prepared or peer)
        if call is not None:
            calls[name, count] = call
    if calls:
        calls |= {(_PEAK, count): peak for count, peak in peaks.items()}

    def on_turn(candidate: tuple[str, int], fraction: float) -> None:
        progress(f"timing {candidate[0]}", _CHECKING + (1 - _CHECKING) * fraction)

    with Others() as others:
        timings = interleave(calls, min_time, on_turn=on_turn)
    own = [key for key in timings if rows.get(key) and not registry.is_peer(key[0], backend)]
    fastest = min(own, key=lambda key: timings[key].median)[0] if own else None
    transfers = cases[problem.layout].transfers(fastest, _TRANSFERS * min_time) if calls else None
    found: dict[int, list[Row]] = {count: [] for count in threads}
    for (name, count), row in rows.items():
        timing = timings.get((name, count))
        found[count].append(replace(row, peer=registry.is_peer(name, backend), timing=timing))
    return [
        Report(
            problem=problem,
            flops=problem.flops,
            rows=tuple(sorted(found[count], key=_order)),
            backend=backend,
            threads=count,
            min_time=min_time,
            prepared=prepared,
            peak=peaks[count].flops if peaks else None,
            others=others.processors,
            auto=autos[count],
            transfers=transfers,
            machine=this_machine(),
            rerun=bench_command(
                problem, source, backend=backend, algorithms=names, peers=peers, threads=count, min_time=min_time
            ),
        )
        for count in threads
    ]


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


def _order(row: Row) -> tuple[int, float, str]:
    """The right ones by time, then failures, then refusals by name."""
    seconds = row.timing.median if row.timing else 0.0
    return ("ok", "failed", "refused").index(row.status), seconds, row.algorithm
