"""Time algorithms and peers on the layers of a file, on one thread and on two, and keep the results.

    python bench/layers.py bench/problems/conv3x3.txt [--against torch …] [--layout channels_last …]

Every layer is one interleaved run of convlab's harness, checked against the oracle before it is timed. Prints one line
a layer and algorithm; writes bench/results/<file>-<layout>-<direction>.json with every figure and the machine.
"""

import json
from pathlib import Path

import click

from convlab import ConvProblem
from convlab.harness.bench import benchmark
from convlab.harness.report import as_json

RESULTS = Path(__file__).parent / "results"


def problems(path: Path, **options: str) -> list[ConvProblem]:
    """The problems of a file of descriptors, one a line, # for comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [ConvProblem.from_descriptor(line, **options) for line in lines if line]


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--against", multiple=True, help="A peer to time beside; may be repeated.")
@click.option("--algorithm", multiple=True, default=("direct", "im2col"), show_default=True)
@click.option("--layout", default="channels_first", show_default=True)
@click.option("--direction", default="forward", show_default=True)
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--min-time", type=float, default=0.5, show_default=True, help="Seconds of timed calls each.")
def main(
    path: Path, against: tuple[str, ...], algorithm: tuple[str, ...], layout: str, direction: str,
    threads: tuple[int, ...], min_time: float,
) -> None:  # fmt: skip
    reports = []
    for problem in problems(path, layout=layout, direction=direction):
        for count in threads:
            report = benchmark(problem, names=algorithm, peers=against, threads=count, min_time=min_time)
            reports.append(as_json(report))
            for row in report.timed:
                fraction, spread = report.peak_fraction(row) or 0, row.timing.spread if row.timing else 0
                click.echo(
                    f"{problem.descriptor:34} {count} threads {row.algorithm:20} {report.rate(row) / 1e9:6.0f} GFLOP/s "
                    f"{100 * fraction:4.0f} % of peak, spread {1e3 * spread:.2f} ms"
                )
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{path.stem}-{layout}-{direction}.json"
    target.write_text(json.dumps(reports, indent=1) + "\n")


if __name__ == "__main__":
    main()
