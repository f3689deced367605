"""The picture of bench/crossover.py: time over the size of the kernel, a row a sweep, a column a number of threads.

The same results give the same bytes: no date, no random names, and text stays text, in the reader's font.
"""

import re
from pathlib import Path

import matplotlib
from crossover import SWEEPS, Sweep, Times, crossovers, measured, predicted
from keep import Entry
from layers import geomean
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from convlab.units import plural

# Okabe and Ito's palette, which the colour-blind tell apart; a marker each, for those who see no colours at all.
STYLES = {
    "direct": ("#000000", "o"), "im2col": ("#999999", "s"), "depthwise": ("#56B4E9", "D"), "winograd": ("#E69F00", "^"),
    "fft-tiled": ("#009E73", "v"), "fft": ("#0072B2", "P"),
    "pointwise": ("#000000", "X"), "strassen": ("#CC79A7", "*"),
}  # fmt: skip
WIDTH, ROW, HEAD = 8.2, 2.1, 0.75  # inches; a README shows about 830 pixels, 100 to the inch
RC = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.6, "lines.linewidth": 1.3, "lines.markersize": 3.5, "svg.fonttype": "none",
    "svg.hashsalt": "convlab",
}  # fmt: skip


def panel(axes: Axes, sweep: Sweep, points: dict[int, Times]) -> None:
    """One sweep on one number of threads: measured lines, the model's, and where the winner changes in both."""
    model = predicted(points, sweep)
    # The model ranks and knows no threads: one factor for all its lines sets it on the scale of this panel.
    scale = geomean(times[name] / model[x][name] for x, times in points.items() for name in times)
    for name in sweep.algorithms:
        xs = [x for x in points if name in points[x]]
        colour, marker = STYLES[name]
        axes.plot(xs, [1e3 * points[x][name] for x in xs], color=colour, marker=marker, markeredgewidth=0)
        axes.plot(xs, [1e3 * scale * model[x][name] for x in xs], color=colour, dashes=(3, 2), linewidth=0.9)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.grid(axis="y", linewidth=0.4, color="0.85")
    axes.set_axisbelow(True)
    fastest = {x: min(times.values()) for x, times in points.items()}
    for family, at, expected in zip(
        sweep.families[1:], crossovers(points, sweep), crossovers(model, sweep), strict=True
    ):
        for x, dashes in ((at, (None, None)), (expected, (3, 2))):
            if x is not None:
                axes.axvline(x, color=STYLES[family[0]][0], linewidth=0.8, dashes=dashes, zorder=0.5)
        if at is not None:
            axes.plot(at, 1e3 * fastest[at], "o", color=STYLES[family[0]][0], markersize=9, fillstyle="none")
            side = "right" if at > 0.7 * max(points) else "left"  # where there is room
            axes.annotate(
                f"{family[0]} from {at}", (at, 1), xycoords=("data", "axes fraction"),
                xytext=(-3 if side == "right" else 3, -2), textcoords="offset points", va="top", ha=side,
                fontsize=7.5, color=STYLES[family[0]][0],
            )  # fmt: skip


def legend(figure: Figure, shown: list[str]) -> None:
    handles = [
        Line2D([], [], color=STYLES[n][0], marker=STYLES[n][1], markeredgewidth=0, label=n)
        for n in STYLES
        if n in shown
    ]
    handles += [
        Line2D([], [], color="0.3", label="measured"),
        Line2D([], [], color="0.3", dashes=(3, 2), linewidth=0.9, label="cost model"),
        Line2D([], [], color="0.3", marker="o", markersize=9, fillstyle="none", linewidth=0.8, label="overtakes"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False, handlelength=2.6)


def draw(entries: list[Entry], target: Path) -> None:
    """All sweeps that have been measured into an SVG file."""
    counts = sorted({entry["threads"] for entry in entries})
    names = [name for name in SWEEPS if any(entry["sweep"] == name for entry in entries)]
    with matplotlib.rc_context(RC):
        figure = Figure((WIDTH, HEAD + ROW * len(names)), layout="constrained")
        grid = figure.subplots(len(names), len(counts), squeeze=False, sharey="row")
        for name, row in zip(names, grid, strict=True):
            sweep = SWEEPS[name]
            for count, axes in zip(counts, row, strict=True):
                panel(axes, sweep, measured(entries, name, count))
                axes.set_title(f"{sweep.title}, {plural(count, 'thread')}", loc="left")
                axes.set_xlabel(sweep.axis)
            row[0].set_ylabel("time (ms)")
        legend(figure, [algorithm for name in names for algorithm in SWEEPS[name].algorithms])
        figure.savefig(target, metadata={"Date": None, "Creator": None})
    target.write_text(clean(target.read_text()))


def clean(svg: str) -> str:
    """Smaller: without names of groups that nothing refers to, digits that nobody sees, and a list of fonts a text."""
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = svg.replace('<style type="text/css">', '<style type="text/css">text{font-family: sans-serif} ')
    return re.sub(r"^[ \t]+|[ \t]+$", "", svg, flags=re.MULTILINE)
