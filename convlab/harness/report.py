"""A Report as a table for a terminal of 80 columns, and as JSON."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..units import in_bytes, in_words, memory, plural, short
from .rerun import folded
from .results import Report, Row
from .transfers import Transfers

WIDTH = 80
# Processors that others keep busy above which a report warns: on a quiet machine 0.01 are (measured), and a tenth of
# one delays a call on all of them by up to a tenth.
_DISTURBING = 0.1


def render(report: Report, console: Console | None = None) -> None:
    """Print the report: the table, what failed, what was refused and why, how it was measured, the rerun line."""
    console = console or Console(width=WIDTH, highlight=False)
    problem = report.problem
    console.print(Text(str(problem), "bold"))
    console.print(Text(f"{in_words(problem.macs)} multiply-adds, {plural(report.threads, 'thread')}", "dim"))
    console.print()
    plus_minus = "+-" if console.options.ascii_only else "±"
    if report.timed:
        console.print(_table(report, plus_minus))
        console.print()
    reasons(console, "Failed:", report.failed, "bold red")
    reasons(console, "Cannot run it:", report.refused, "bold")
    for note in _notes(report, plus_minus):
        console.print(Text(textwrap.fill(note, WIDTH), "dim"))
    console.print(Text("\nrerun with:", "dim"))
    console.print(Text(folded(report.rerun, console.width)), soft_wrap=True)


def _table(report: Report, plus_minus: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column("\nalgorithm", overflow="fold")
    table.add_column("time\nms", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("eff.\nGFLOP/s", justify="right", no_wrap=True)
    table.add_column("% of\npeak", justify="right", no_wrap=True)
    table.add_column("\nworkspace", justify="right", no_wrap=True)
    table.add_column("error, %\nof bound", justify="right", no_wrap=True)
    table.add_column("first\ncall s", justify="right", no_wrap=True)
    for i, row in enumerate(report.timed):
        assert row.timing is not None  # a row with status "ok" has all its numbers
        assert row.accuracy is not None
        assert row.first_call is not None
        part = report.peak_fraction(row)
        median = short(1e3 * row.timing.median)
        decimals = len(median.partition(".")[2])
        table.add_row(
            Text(row.algorithm),
            median,
            f"{plus_minus} {1e3 * row.timing.spread:.{decimals}f}",
            short(report.rate(row) / 1e9),
            "-" if part is None else f"{100 * part:.0f}",
            memory(row.workspace_bytes),
            percent(row.accuracy.bound_fraction) + ("" if row.accuracy.stated else "*"),
            short(row.first_call),
            style="bold green" if i == 0 else "cyan" if row.peer else "",
        )
    return table


def percent(fraction: float) -> str:
    """A percentage with two digits, 0 only where there is no error at all."""
    if 0 < fraction < 1e-4:
        return "<0.01"
    return f"{100 * fraction:.2g}" if fraction < 0.995 else f"{100 * fraction:.0f}"


def reasons(console: Console, title: str, rows: Sequence[Any], style: str) -> None:
    """Print the algorithm and the reason of each row, under a title, if there is any."""
    if not rows:
        return
    console.print(Text(title, style))
    for row in rows:
        text = f"{row.algorithm}: {row.reason}"
        console.print(Text(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")))
    console.print()


def _notes(report: Report, plus_minus: str) -> list[str]:
    """How to read the table, and what it was measured on."""
    notes = [f"Time: median of interleaved calls {plus_minus} half the distance between the quartiles."]
    if report.transfers is not None:
        notes.append("A call waits for the device. Not in it: copies. " + _copies(report.transfers))
    peers = [row.algorithm for row in report.timed if row.peer]
    if peers:
        notes.append(f"Other libraries: {', '.join(peers)}. What memory they take (?) is unknown.")
    prepared = [f"{row.algorithm} {in_bytes(row.prepared_bytes)}" for row in report.timed if row.prepared_bytes]
    if prepared:
        notes.append(f"Prepared weights, kept beside the workspace: {', '.join(prepared)}.")
    if any(row.accuracy and not row.accuracy.stated for row in report.timed):
        notes.append("* states no bound on its error; held to the one of accuracy='normwise'.")
    if report.auto is not None:
        notes.append(f'"auto" takes {report.auto}.')
    if report.peak is not None:
        notes.append(f"FMA peak: {short(report.peak / 1e9)} GFLOP/s on {plural(report.threads, 'thread')}, same run.")
    if report.others is not None and report.others > _DISTURBING:
        notes.append(f"Other processes kept {report.others:.1f} processors busy: do not trust these times.")
    return [*notes, str(report.machine)]


def _copies(found: Transfers) -> str:
    """Copies by kind of memory, and what overlapping them with computing brings."""

    def both(seconds: tuple[float, float]) -> str:
        return " + ".join(short(1e3 * part) for part in seconds) + " ms"

    text = f"To the device and back: pageable {both(found.pageable)}, pinned {both(found.pinned)}."
    if found.overlapped is None or found.in_turn is None:
        return text
    whole, overlapped = (short(1e3 * seconds) for seconds in (found.in_turn, found.overlapped))
    return (
        f"{text} Overlapped with {found.algorithm}, the batch in {found.pieces} pieces on two streams: "
        f"a whole call takes {overlapped} ms instead of {whole} ms."
    )


def as_json(report: Report) -> dict[str, Any]:
    """The report as what `json.dumps` takes: seconds, bytes, operations a second; null for what is not finite."""
    problem = report.problem
    return {
        "problem": {
            "descriptor": problem.descriptor,
            "dtype": str(problem.dtype),
            "layout": problem.layout,
            "direction": problem.direction,
            "padding_mode": problem.padding_mode,
            "bias": problem.has_bias,
            "activation": problem.activation,
            "macs": problem.macs,
            "min_bytes": problem.min_bytes,
        },
        "backend": report.backend,
        "threads": report.threads,
        "min_time": report.min_time,
        "prepared": report.prepared,
        "peak_flops": report.peak,
        "transfers": None if report.transfers is None else asdict(report.transfers),
        "others": report.others,
        "auto": report.auto,
        "rows": [_finite(_row(report, row)) for row in report.rows],
        "machine": asdict(report.machine),
        "rerun": report.rerun,
    }


def _row(report: Report, row: Row) -> dict[str, Any]:
    timed = row.timing is not None
    return asdict(row) | {
        "effective_flops": report.rate(row) if timed else None,
        "peak_fraction": report.peak_fraction(row) if timed else None,
    }


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
