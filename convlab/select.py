"""Choosing an algorithm: every candidate, with its cost or the reason it is out, in one list.

The same list serves algorithm="auto", `Plan.explain()`, error messages and the command line.
"""

from dataclasses import dataclass

from . import registry
from .algorithm import Algorithm, Context, Cost
from .bounds import accumulator
from .errors import ProblemError, UnsupportedError
from .problem import ConvProblem, choice

# From the strictest promise to the loosest; a looser request admits every stricter algorithm.
ACCURACIES = ("componentwise", "normwise", "reduced")

# A nominal core: float32 FMA peak and streaming bandwidth. Estimates only rank candidates against each other,
# so what matters is the ratio (10 flops a byte, measured on Zen 3 and Zen 4 server cores), not the scale.
FLOAT32_FLOPS, BANDWIDTH = 100e9, 10e9

_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Candidate:
    """An algorithm considered for a problem: its cost, memory and estimated time, or why it is out."""

    algorithm: Algorithm
    reason: str | None = None
    cost: Cost | None = None
    seconds: float | None = None
    workspace_bytes: int = 0
    prepared_bytes: int = 0

    @property
    def name(self) -> str:
        return self.algorithm.name


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
    """One algorithm on one problem under the caller's limits."""
    reason = algorithm.why_not(problem)
    if reason is not None:
        return Candidate(algorithm, reason)
    cost = algorithm.cost(problem)
    workspace = sum(spec.nbytes(ctx.threads) for spec in algorithm.workspace(problem, ctx).values())
    prepared = sum(spec.nbytes() for spec in algorithm.prepared(problem).values())
    model = algorithm.error_model(problem)
    if model is not None and ACCURACIES.index(model.kind) > ACCURACIES.index(accuracy):
        reason = f"its error is bounded {model.kind} only, accuracy={accuracy!r} was asked"
    elif limit is not None and workspace + prepared > limit:
        reason = f"needs {workspace + prepared} bytes (workspace and prepared weights), workspace_limit is {limit}"
    width = accumulator(problem.dtype).itemsize // (2 if problem.dtype.kind == "c" else 1)
    seconds = None if cost is None else cost.seconds(FLOAT32_FLOPS * 4 / width, BANDWIDTH)
    return Candidate(algorithm, reason, cost, seconds, workspace, prepared)


def rank(
    problem: ConvProblem,
    backend: str = "cpu",
    *,
    accuracy: str = "normwise",
    workspace_limit: int | str | None = None,
    threads: int = 1,
) -> list[Candidate]:
    """Every algorithm of the backend: those that can run first, fastest estimate first; then the refusals by name.

    What states no cost or no error model comes after those that do, and `pick` never takes it.
    """
    choice("accuracy", accuracy, ACCURACIES)
    limit, ctx = parse_bytes(workspace_limit), Context(threads=threads)
    found = [consider(a, problem, ctx, accuracy, limit) for a in registry.available(backend)]
    infinity = float("inf")
    return sorted(
        found,
        key=lambda c: (c.reason is not None, not _eligible(c, problem), c.seconds or infinity, c.name),
    )


def pick(candidates: list[Candidate], problem: ConvProblem) -> Candidate:
    """What "auto" takes: the first candidate that can run and states its cost and its error."""
    for candidate in candidates:
        if candidate.reason is None and _eligible(candidate, problem):
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
) -> Candidate:
    """The candidate of that name, or UnsupportedError with its reason: what is named never falls back."""
    choice("accuracy", accuracy, ACCURACIES)
    algorithm = registry.get_algorithm(name, backend)
    candidate = consider(algorithm, problem, Context(threads=threads), accuracy, parse_bytes(workspace_limit))
    if candidate.reason is not None:
        raise UnsupportedError(f"algorithm={name!r} cannot run {problem}: {candidate.reason}")
    return candidate


def _eligible(candidate: Candidate, problem: ConvProblem) -> bool:
    return candidate.seconds is not None and candidate.algorithm.error_model(problem) is not None
