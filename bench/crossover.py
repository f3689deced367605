"""Where one algorithm overtakes another, measured and as the cost model has it: over the size of kernels and matrices.

    python bench/crossover.py [--sweep layer-64 …] [--only 3 --only 5 …] [--threads 1 …]
    python bench/crossover.py --show --plot

Every value of a sweep is one interleaved run of convlab's harness, on each number of threads, each result checked
against the oracle before it is timed; it goes to bench/results/crossover.json, where what is measured again replaces
itself. Then, of what the file has: where the families of a sweep overtake each other, and the regret of the choice
that the model makes among the sweep's algorithms. --show measures nothing; --plot draws
bench/results/crossover_kernel.svg, for which it needs matplotlib.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

import click
from keep import RESULTS, Entry, merge
from layers import geomean

from convlab import ConvProblem
from convlab.harness import Report, compare
from convlab.select import rank

TARGET, PICTURE = RESULTS / "crossover.json", RESULTS / "crossover_kernel.svg"


class Sweep(NamedTuple):
    """What grows (`axis`, with its unit), the values that it takes, and the problem of each.

    families: algorithms that compete, in the order in which they win as x grows.
    """

    title: str
    axis: str
    values: tuple[int, ...]
    problem: Callable[[int], ConvProblem]
    families: tuple[tuple[str, ...], ...]

    @property
    def algorithms(self) -> list[str]:
        return [name for family in self.families for name in family]


def square(channels: int, size: int, kernel: int, groups: int = 1) -> ConvProblem:
    """As many filters as channels, an image of size², a kernel of kernel², and as many outputs as inputs."""
    weights = channels, channels // groups, kernel, kernel
    return ConvProblem.forward((1, channels, size, size), weights, padding="same", groups=groups)


def product(n: int) -> ConvProblem:
    """A product of n × n matrices."""
    return ConvProblem.forward((1, n, n), (n, n, 1))


LAYER = ("direct", "im2col", "winograd"), ("fft-tiled",), ("fft",)
SWEEPS = {
    "layer-16": Sweep(
        "16 → 16 channels, 112²", "kernel (pixels a side)", tuple(range(3, 32, 2)), lambda r: square(16, 112, r),
        (("direct", "winograd"), ("fft-tiled",), ("fft",)),
    ),
    "layer-64": Sweep(
        "64 → 64 channels, 56²", "kernel (pixels a side)", tuple(range(2, 16)), lambda r: square(64, 56, r), LAYER
    ),
    "layer-128": Sweep(
        "128 → 128 channels, 27²", "kernel (pixels a side)", tuple(range(2, 16)), lambda r: square(128, 27, r), LAYER
    ),
    "depthwise": Sweep(
        "64 channels, depthwise, 64²", "kernel (pixels a side)", tuple(range(3, 32, 2)),
        lambda r: square(64, 64, r, groups=64), (("direct", "depthwise"), ("fft",)),
    ),
    "image": Sweep(
        "image of 1024²", "kernel (pixels a side)", tuple(range(3, 42, 2)), lambda r: square(1, 1024, r),
        (("direct",), ("fft",)),
    ),
    "matrix": Sweep(  # each size a quarter more than the last
        "n → n channels, n pixels, 1x1", "n, rows and columns of the matrices",
        (256, 320, 400, 512, 640, 800, 1024, 1280, 1600, 2048, 2560, 3200), product, (("pointwise",), ("strassen",)),
    ),
}  # fmt: skip
# Of a point: seconds a call by algorithm.
Times = dict[str, float]


def as_entry(name: str, x: int, report: Report) -> Entry:
    """What is kept of a point of a sweep."""
    failed = [f"{row.algorithm}: {row.reason}" for row in report.failed]
    if failed:
        raise click.ClickException("; ".join(failed))
    return {
        "sweep": name, "x": x, "threads": report.threads, "problem": {"descriptor": report.problem.descriptor},
        "times": {row.algorithm: asdict(row.timing) for row in report.timed if row.timing},
        "peak_flops": report.peak, "others": report.others, "machine": asdict(report.machine),
    }  # fmt: skip


def measured(entries: list[Entry], name: str, threads: int) -> dict[int, Times]:
    """The median times of a sweep, by x."""
    chosen = sorted((e for e in entries if (e["sweep"], e["threads"]) == (name, threads)), key=lambda e: e["x"])
    return {e["x"]: {label: timing["median"] for label, timing in e["times"].items()} for e in chosen}


def predicted(points: dict[int, Times], sweep: Sweep) -> dict[int, Times]:
    """What the cost model has for the same points; it does not look at the number of threads."""
    found = {}
    for x, times in points.items():
        estimates = {c.name: c.seconds for c in rank(sweep.problem(x)) if c.name in times and c.seconds is not None}
        found[x] = estimates
    return found


def crossovers(points: dict[int, Times], sweep: Sweep) -> list[int | None]:
    """For each family but the first: the smallest x from which on it, or one after it, is the fastest."""
    found: list[int | None] = []
    for i in range(1, len(sweep.families)):
        later = {name for family in sweep.families[i:] for name in family}
        first = None
        for x in sorted(points, reverse=True):
            if min(points[x], key=points[x].__getitem__) not in later:
                break
            first = x
        found.append(first)
    return found


def steps(a: int | None, b: int | None, points: dict[int, Times]) -> int:
    """Steps of the sweep between two crossovers; None is one behind its end."""
    order = [*sorted(points), None]
    return abs(order.index(a) - order.index(b))


def regrets(points: dict[int, Times], model: dict[int, Times]) -> dict[int, float]:
    """The time of what the model takes over the time of the fastest."""
    return {x: times[min(model[x], key=model[x].__getitem__)] / min(times.values()) for x, times in points.items()}


def summary(entries: list[Entry], name: str, threads: int) -> str:
    """A line for a sweep on that number of threads."""
    points = measured(entries, name, threads)
    if not points:
        return f"{name}, {threads}: not measured"
    model, sweep = predicted(points, SWEEPS[name]), SWEEPS[name]
    pairs = zip(sweep.families[1:], crossovers(points, sweep), crossovers(model, sweep), strict=True)
    found = [
        f"{'/'.join(family)} from {a or 'never'}, model {b or 'never'}{'' if steps(a, b, points) <= 1 else ' (!)'}"
        for family, a, b in pairs
    ]
    lost = regrets(points, model)
    worst = max(lost, key=lost.__getitem__)
    regret = f"regret {geomean(lost.values()):.3f}, most {lost[worst]:.2f} at {worst}"
    return f"{name}, {threads}: {'; '.join(found)}; {regret}"


@click.command()
@click.option("--sweep", multiple=True, type=click.Choice(list(SWEEPS)), default=list(SWEEPS), help="May be repeated.")
@click.option("--only", multiple=True, type=int, help="Values of x; all if none is given.")
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--min-time", type=float, default=0.3, show_default=True, help="Seconds of timed calls each.")
@click.option("--show", is_flag=True, help="Measure nothing.")
@click.option("--plot", is_flag=True, help="Draw what the file of results has.")
def main(
    sweep: tuple[str, ...], only: tuple[int, ...], threads: tuple[int, ...], min_time: float, show: bool, plot: bool
) -> None:
    for name in () if show else sweep:
        one = SWEEPS[name]
        for x in only or one.values:
            reports = compare(one.problem(x), names=one.algorithms, threads=threads, min_time=min_time)
            entries = [as_entry(name, x, report) for report in reports]
            merge(TARGET, entries, lambda e: (e["sweep"], e["x"], e["threads"]))
            for entry in entries:
                times = (f"{label} {1e3 * timing['median']:.3g}" for label, timing in entry["times"].items())
                click.echo(f"{name} {x}, {entry['threads']}: {', '.join(times)} ms")
    entries = merge(TARGET, [], lambda e: (e["sweep"], e["x"], e["threads"]))
    for name in sweep:
        for count in threads:
            click.echo(summary(entries, name, count))
    if plot:
        from crossover_picture import draw

        draw(entries, PICTURE)


if __name__ == "__main__":
    main()
