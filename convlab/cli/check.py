"""`convlab check NAME`: the conformance kit on one algorithm."""

import sys
import textwrap
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from .. import registry
from ..errors import BackendError
from .options import backend_option, check_emulate, emulate_option

if TYPE_CHECKING:
    from ..testing import Failure, Outcome

# Where the text of a failure begins, right of what it is.
_INDENT = 12


@click.command()
@click.argument("name", required=False)
@backend_option
@emulate_option
@click.option("--property", "properties", multiple=True, metavar="PROPERTY", help="Only this one; may be repeated.")
@click.option("--seed", default=0, show_default=True, help="The same seed tries the same problems.")
@click.option(
    "--max-examples",
    type=click.IntRange(min=1),
    help="Problems tried a property. Default: 50, emulated 5.",
)
def command(
    name: str | None, backend: str, emulate: bool, properties: tuple[str, ...], seed: int, max_examples: int | None
) -> None:
    """Try an algorithm on what the interface promises.

    NAME is an algorithm or a peer, by default every algorithm of the backend; `convlab list` shows them. Random
    problems of every kind are tried; one that fails is shrunk to the smallest that does. The exit status is 1 if a
    property does not hold.
    """
    try:
        from ..testing import check
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise BackendError("check needs Hypothesis, which is not installed: pip install convlab[testing]") from error

    check_emulate(emulate, backend)
    names = [name] if name is not None else [found for found, _ in registry.algorithms(backend)]
    if not names:
        raise BackendError(f"backend={backend!r} has no algorithm installed")
    failed = 0
    with _device(emulate):
        for i, each in enumerate(names):
            if i:
                click.echo()
            outcomes: list[Outcome] = []

            def show(outcome: "Outcome", outcomes: "list[Outcome]" = outcomes) -> None:
                outcomes.append(outcome)
                click.echo(_line(outcome))

            failures = check(
                each, backend, properties=properties or None, max_examples=max_examples or (5 if emulate else 50),
                seed=seed, on_progress=show,
            )  # fmt: skip
            for failure in failures:
                click.echo(f"\n{_described(failure)}")
            click.echo(f"\n{each} ({backend}): {len(outcomes) - len(failures)} of {len(outcomes)} properties hold")
            failed += len(failures)
    if failed:
        sys.exit(1)


def _device(emulate: bool) -> AbstractContextManager[Any]:
    """What to check on: an emulated device, or whatever there is."""
    if not emulate:
        return nullcontext()
    from ..arrays import using
    from ..emulator import Device

    return using(Device())


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
