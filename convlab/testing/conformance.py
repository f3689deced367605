"""The conformance kit: does an algorithm keep what the interface promises, on problems of every kind?

Each property is tried on problems drawn by Hypothesis among those that the algorithm accepts; a failure is
shrunk to the smallest problem that shows it. The same seed tries the same problems (Hypothesis also draws
constants that it finds in loaded source files outside site-packages: an edit of those may change some).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from .. import arrays, registry
from ..algorithm import Algorithm, Context
from ..geometry import integer
from ..problem import ConvProblem, choice
from ..select import Candidate, consider
from .properties import PROPERTIES, Property
from .strategies import plain_problems, sweep_problems, variations

_SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Failure:
    """A property that does not hold: the smallest problem found (None if none could be tried), what happened
    there, and the line of shell that shows it again."""

    property: str
    problem: ConvProblem | None
    message: str
    rerun: str

    def __str__(self) -> str:
        return f"{self.property} fails on {self.problem}:\n  {self.message}\n  rerun: {self.rerun}"


@dataclass(frozen=True)
class Outcome:
    """A property tried: on how many problems (0: it is not about this algorithm), and how it failed if it did."""

    property: str
    examples: int
    failure: Failure | None = None


def check(
    name: str,
    backend: str = "cpu",
    *,
    properties: Iterable[str] | None = None,
    max_examples: int = 50,
    seed: int = 0,
    on_progress: Callable[[Outcome], None] | None = None,
) -> list[Failure]:
    """Try the named properties (by default all of `PROPERTIES`) on an algorithm; the failures, none if it conforms.

    max_examples: problems tried a property. on_progress: called with the Outcome of each property in turn.
    Raises UnsupportedError for an unknown algorithm, BackendError if it fails to load, ProblemError for an unknown
    property.
    """
    algorithm = registry.get_algorithm(name, backend)
    device = arrays.of(backend).device  # or says at once that there is none
    emulated = " --emulate" if hasattr(device, "launches") else ""
    integer("max_examples", max_examples, 1)
    failures = []
    for wanted in PROPERTIES if properties is None else properties:
        choice("property", wanted, tuple(PROPERTIES))
        rerun = (
            f"convlab check {name} --backend {backend}{emulated} --property {wanted} --seed {seed} "
            f"--max-examples {max_examples}"
        )
        outcome = _try(algorithm, PROPERTIES[wanted], max_examples, seed, rerun)
        if outcome.failure is not None:
            failures.append(outcome.failure)
        if on_progress is not None:
            on_progress(outcome)
    return failures


def _try(algorithm: Algorithm, wanted: Property, max_examples: int, seed: int, rerun: str) -> Outcome:
    """One property on one algorithm."""

    def refused(message: str) -> Outcome:
        return Outcome(wanted.name, 0, Failure(wanted.name, None, message, rerun))

    def asked(problem: ConvProblem) -> Candidate:
        return consider(algorithm, problem, Context(), "reduced")

    def suits(problem: ConvProblem) -> bool:
        candidate = asked(problem)
        # One that raises when it is asked has not refused: the property will fail there, and say so.
        return candidate.error is not None or (candidate.reason is None and wanted.suits(algorithm, problem))

    about = [problem for problem in plain_problems() if suits(problem)]
    if not about:
        reasons = [asked(problem).reason for problem in plain_problems()]
        if None in reasons:
            return Outcome(wanted.name, 0)
        return refused(f"{algorithm.name} accepts none of {len(reasons)} plain problems: {reasons[0]}")

    examples = 0
    last: tuple[ConvProblem, Exception] | None = None

    @hypothesis.seed(f"{wanted.name} {seed}")  # each property on problems of its own: more of them in all
    @hypothesis.settings(
        max_examples=max_examples, database=None, deadline=None, verbosity=Verbosity.quiet,
        report_multiple_bugs=False, phases=(Phase.generate, Phase.shrink),
        # Kernels compile on their first example, and an algorithm may refuse most of what is drawn: that
        # enough is left is seen to here, by the count of examples.
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
    )  # fmt: skip
    @hypothesis.given(variations(about).map(wanted.adapt).filter(suits), _SEEDS)
    def hold(problem: ConvProblem, data_seed: int) -> None:
        nonlocal examples, last
        try:
            wanted.holds(algorithm, problem, data_seed)
        except Exception as error:
            last = problem, error
            raise
        examples += 1

    try:
        hold()
    except Exception as error:
        if last is None:  # not the algorithm: Hypothesis itself could not go on
            return refused(f"no problem could be tried: {error}")
        # Hypothesis ends by trying the smallest problem once more; what then holds fails only sometimes.
        problem, cause = last
        sometimes = "" if error is cause else " (on some runs only)"
        kind = "" if isinstance(cause, AssertionError) else f"{type(cause).__name__}: "
        return Outcome(wanted.name, examples, Failure(wanted.name, problem, f"{kind}{cause}{sometimes}", rerun))
    if not examples:
        return refused("no problem that the algorithm accepts was drawn")
    for problem in filter(suits, map(wanted.adapt, sweep_problems())):
        try:
            wanted.holds(algorithm, problem, seed)
        except Exception as error:
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            return Outcome(wanted.name, examples, Failure(wanted.name, problem, f"{kind}{error}", rerun))
        examples += 1
    return Outcome(wanted.name, examples)
