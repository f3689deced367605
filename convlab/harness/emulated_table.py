"""An EmulatedReport as a table for a terminal of 80 columns."""

import textwrap

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..units import in_words, short
from .emulated import EmulatedReport, EmulatedRow, KernelFigures
from .report import WIDTH, percent, reasons
from .rerun import folded

_COLUMNS = (
    "error, %\nof bound", "warp\ninstr.", "bytes /\nleast", "bank\nconfl.", "regs", "occup.\n%", "FFMA\n%", "model\nµs",
)  # fmt: skip


def render_emulated(report: EmulatedReport, console: Console | None = None) -> None:
    """Print the report: the table, a line a kernel, what failed, what was refused, what was assumed, the rerun line."""
    console = console or Console(width=WIDTH, highlight=False)
    problem, gpu = report.problem, report.gpu
    console.print(Text(str(problem), "bold"))
    capability = ".".join(map(str, gpu.capability))
    where = f"{in_words(problem.macs)} multiply-adds, emulated, for the {gpu.name} (compute capability {capability})"
    console.print(Text(where, "dim"))
    console.print()
    done = report.of("ok")
    if done:
        console.print(_table(done))
        console.print()
    reasons(console, "Failed:", report.of("failed"), "bold red")
    reasons(console, "Cannot run it:", report.of("refused"), "bold")
    for note in _notes(report):
        console.print(Text(textwrap.fill(note, WIDTH), "dim"))
    console.print(Text("\nrerun with:", "dim"))
    console.print(Text(folded(report.rerun, console.width)), soft_wrap=True)


def _table(rows: tuple[EmulatedRow, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column("\nalgorithm", overflow="fold")
    for title in _COLUMNS:
        table.add_column(title if "\n" in title else f"\n{title}", justify="right", no_wrap=True)
    for i, row in enumerate(rows):
        assert row.accuracy is not None  # a row with status "ok" has it
        error = percent(row.accuracy.bound_fraction) + ("" if row.accuracy.stated else "*")
        style = "bold green" if i == 0 else ""
        if len(row.kernels) == 1:
            tile = row.kernels[0].name.partition(" ")[2]  # "64x128", where the kernel's name says one
            table.add_row(Text(f"{row.algorithm} {tile}".rstrip()), error, *_cells(row.kernels[0]), style=style)
            continue
        total = ["", "", "", "", "", "", short(1e6 * row.seconds)]
        table.add_row(Text(row.algorithm), error, *total, style=style)
        for kernel in row.kernels:
            table.add_row(Text(f"  {kernel.name}"), "", *_cells(kernel), style=style)
    return table


def _cells(kernel: KernelFigures) -> tuple[str, ...]:
    conflicts = f"{100 * kernel.conflicts / kernel.wavefronts:.0f}%" if kernel.wavefronts else "-"
    return (
        str(kernel.instructions),
        f"{kernel.requested / max(kernel.compulsory, 1):.1f}x",
        conflicts,
        str(kernel.registers) + ("!" if kernel.spilled else ""),
        f"{100 * kernel.occupancy:.0f}",
        _products(kernel),
        short(1e6 * kernel.seconds),
    )


def _products(kernel: KernelFigures) -> str:
    """Of the hot loop: "84" multiply-adds, "48T" products on tensor cores."""
    if kernel.tensor is not None:
        return f"{100 * kernel.tensor:.0f}T"
    return "-" if kernel.ffma is None else f"{100 * kernel.ffma:.0f}"


def _notes(report: EmulatedReport) -> list[str]:
    """How to read the table."""
    kernels = [kernel for row in report.of("ok") for kernel in row.kernels]
    notes = ["No race, no access out of bounds or of what nothing wrote: the emulator stops at the first."]
    notes.append(
        "bytes / least: requested of global memory over those read or written at least once. bank confl.: of the "
        "wavefronts of shared memory. occup.: warps an SM holds. FFMA: share of the hot loop's machine code."
    )
    if any(kernel.tensor is not None for kernel in kernels):
        notes.append("T: share of products on tensor cores (HMMA), of which an instruction does 32 to 64 FFMAs.")
    if any(kernel.spilled for kernel in kernels):
        notes.append("! spills registers to local memory.")
    if any(row.accuracy and not row.accuracy.stated for row in report.of("ok")):
        notes.append("* states no bound on its error; held to the one of accuracy='normwise'.")
    bounds = "; ".join(f"{row.algorithm} by {row.kernels[0].bound_by}" for row in report.of("ok") if row.kernels)
    notes.append(
        f"model µs is no measurement: the largest of what the {report.gpu.name}'s pipes take for the hot loop, shared "
        "memory for its wavefronts, memory for the bytes that cannot be avoided; no latency, launch or cache miss."
        + (f" Bound: {bounds}." if bounds else "")
    )
    return notes
