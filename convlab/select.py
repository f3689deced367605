"""Choosing an algorithm: every candidate, with its cost or the reason it is out, in one list.

The same list serves algorithm="auto", `Plan.explain()`, error messages and the command line.
"""

import functools
from dataclasses import dataclass

from . import registry
from .algorithm import Algorithm, Context, Cost, ErrorModel
from .errors import ProblemError, UnsupportedError
from .nominal import BANDWIDTH, nominal_flops
from .problem import ConvProblem, choice

# From the strictest promise to the loosest; a looser request admits every stricter algorithm.
ACCURACIES = ("componentwise", "normwise", "reduced")

_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Candidate:
    """An algorithm considered for a problem: its cost, memory, error and estimated time, or why it is out.

    error: what it raised when it was asked, if that is why it is out. workspace_bytes: None where nobody knows, as
    of a peer, which does not tell what it allocates.
    """

    algorithm: Algorithm
    reason: str | None = None
    cost: Cost | None = None
    seconds: float | None = None
    workspace_bytes: int | None = 0
    prepared_bytes: int = 0
    error_model: ErrorModel | None = None
    error: Exception | None = None

    @property
    def name(self) -> str:
        return self.algorithm.name

    @property
    def eligible(self) -> bool:
        """Whether "auto" may take it: it can run, and states its cost and its error."""
        return self.reason is None and self.seconds is not None and self.error_model is not None


def parse_bytes(value: int | str | None) -> int | None:
    """Bytes from an integer or a text such as "64MiB"."""
    if value is None:
        return None
    if isinstance(value, str):
        number = value.strip().rstrip("BKMGTikb ")
        unit = value.strip()[len(number) :].strip()
        try:
            limit = int(float(number) * _UNITS[unit])
        except (KeyError, ValueError):
            raise ProblemError(f"workspace_limit={value!r} is not a size; an example is '64MiB'") from None
    else:
        limit = int(value)
    if limit < 0:
        raise ProblemError(f"workspace_limit={value!r} must not be negative")
    return limit


def consider(
    algorithm: Algorithm, problem: ConvProblem, ctx: Context, accuracy: str = "normwise", limit: int | None = None
) -> Candidate:
    """One algorithm on one problem under the caller's limits. One that raises is out, and the reason says so."""
    asked = "why_not"
    try:
        reason = algorithm.why_not(problem) or algorithm.too_old(ctx.capability)
        if reason is not None:
            return Candidate(algorithm, reason)
        asked = "cost"
        cost = algorithm.cost(problem)
        seconds = None if cost is None else cost.seconds(nominal_flops(problem.dtype), BANDWIDTH)
        asked = "workspace"
        workspace = sum(spec.nbytes(ctx.threads) for spec in algorithm.workspace(problem, ctx).values())
        asked = "prepared"
        prepared = sum(spec.nbytes() for spec in algorithm.prepared(problem).values())
        asked = "error_model"
        model = algorithm.error_model(problem)
        if model is not None:
            choice("kind", model.kind, ACCURACIES)
    except Exception as error:  # a plugin may fail in any way; it must not take the others with it
        return Candidate(algorithm, f"its {asked}() raised {type(error).__name__}: {error}", error=error)
    known = not registry.is_peer(algorithm.name, algorithm.backend)
    if model is not None and ACCURACIES.index(model.kind) > ACCURACIES.index(accuracy):
        reason = f"its error is bounded {model.kind} only, accuracy={accuracy!r} was asked"
    elif limit is not None and not known:
        reason = f"what memory another library takes is unknown, workspace_limit is {limit}"
    elif limit is not None and workspace + prepared > limit:
        reason = f"needs {workspace + prepared} bytes (workspace and prepared weights), workspace_limit is {limit}"
    return Candidate(algorithm, reason, cost, seconds, workspace if known else None, prepared, model)


def rank(
    problem: ConvProblem,
    backend: str = "cpu",
    *,
    accuracy: str = "normwise",
    workspace_limit: int | str | None = None,
    threads: int = 1,
    capability: tuple[int, int] | None = None,
) -> list[Candidate]:
    """Every algorithm of the backend: those that can run first, fastest estimate first; then the refusals by name.

    capability: of the device, where that is known.

    What states no cost or no error model comes after those that do, and `pick` never takes it.
    """
    choice("accuracy", accuracy, ACCURACIES)
    ctx, limit = Context(threads=threads, capability=capability), parse_bytes(workspace_limit)
    return list(_ranked(registry.available(backend), problem, ctx, accuracy, limit))


@functools.lru_cache(maxsize=256)
def _ranked(
    algorithms: tuple[Algorithm, ...], problem: ConvProblem, ctx: Context, accuracy: str, limit: int | None
) -> list[Candidate]:
    """Kept, as to ask all of them takes 0.2 ms. What was registered since, or is gone, makes another key."""

    def order(c: Candidate) -> tuple[bool, bool, float, str]:
        return c.reason is not None, not c.eligible, float("inf") if c.seconds is None else c.seconds, c.name

    return sorted((consider(a, problem, ctx, accuracy, limit) for a in algorithms), key=order)


def pick(candidates: list[Candidate], problem: ConvProblem) -> Candidate:
    """What "auto" takes: the first candidate that can run and states its cost and its error."""
    for candidate in candidates:
        if candidate.eligible:
            return candidate
    reasons = "; ".join(f"{c.name}: {c.reason or 'states no cost or no error bound'}" for c in candidates)
    raise UnsupportedError(f"no algorithm can run {problem}: {reasons or 'none is installed for this backend'}")


def named(
    name: str,
    problem: ConvProblem,
    backend: str = "cpu",
    *,
    accuracy: str = "normwise",
    workspace_limit: int | str | None = None,
    threads: int = 1,
    capability: tuple[int, int] | None = None,
) -> Candidate:
    """The candidate of that name, or UnsupportedError with its reason: what is named never falls back.

    The default accuracy, "normwise", does not bar what is named: who names an algorithm has asked for its error.
    """
    choice("accuracy", accuracy, ACCURACIES)
    accuracy = "reduced" if accuracy == "normwise" else accuracy
    algorithm = registry.get_algorithm(name, backend)
    ctx = Context(threads=threads, capability=capability)
    candidate = consider(algorithm, problem, ctx, accuracy, parse_bytes(workspace_limit))
    if candidate.reason is not None:
        raise UnsupportedError(f"algorithm={name!r} cannot run {problem}: {candidate.reason}") from candidate.error
    return candidate
