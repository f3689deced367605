"""`convlab check NAME`: the conformance kit on one algorithm."""

import sys
import textwrap
from typing import TYPE_CHECKING

import click

from ..errors import BackendError
from .options import backend_option

if TYPE_CHECKING:
    from ..testing import Failure, Outcome

# Where the text of a failure begins, right of what it is.
_INDENT = 12


@click.command()
@click.argument("name")
@backend_option
@click.option("--property", "properties", multiple=True, metavar="PROPERTY", help="Only this one; may be repeated.")
@click.option("--seed", default=0, show_default=True, help="The same seed tries the same problems.")
@click.option(
    "--max-examples", type=click.IntRange(min=1), default=50, show_default=True, help="Problems tried a property."
)
def command(name: str, backend: str, properties: tuple[str, ...], seed: int, max_examples: int) -> None:
    """Try an algorithm on what the interface promises.

    NAME is an algorithm or a peer; `convlab list` shows them. Random problems of every kind are tried; one
    that fails is shrunk to the smallest that does. The exit status is 1 if a property does not hold.
    """
    try:
        from ..testing import check
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise BackendError("check needs Hypothesis, which is not installed: pip install convlab[testing]") from error

    outcomes: list[Outcome] = []

    def show(outcome: "Outcome") -> None:
        outcomes.append(outcome)
        click.echo(_line(outcome))

    failures = check(
        name, backend, properties=properties or None, max_examples=max_examples, seed=seed, on_progress=show
    )
    for failure in failures:
        click.echo(f"\n{_described(failure)}")
    click.echo(f"\n{name} ({backend}): {len(outcomes) - len(failures)} of {len(outcomes)} properties hold")
    if failures:
        sys.exit(1)


def _line(outcome: "Outcome") -> str:
    """One property's line: its mark, its name, on how many problems it was tried."""
    if outcome.failure is not None:
        mark, tried = click.style("FAILED", fg="red", bold=True), ""
    elif outcome.examples:
        mark, tried = click.style("ok    ", fg="green"), f"{outcome.examples} problems"
    else:
        mark, tried = "-     ", "not about this algorithm"
    return f"{mark}  {outcome.property:<40}  {tried}".rstrip()


def _described(failure: "Failure") -> str:
    """The smallest problem that fails, what differs there, and how to see it again."""
    rows = [
        ("property", failure.property),
        ("smallest", "" if failure.problem is None else str(failure.problem)),
        ("differs", textwrap.fill(failure.message, 80 - _INDENT).replace("\n", "\n" + " " * _INDENT)),
        ("rerun", failure.rerun),
    ]
    return "\n".join(click.style(f"  {key}".ljust(_INDENT), bold=True) + text for key, text in rows if text)
