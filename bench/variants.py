"""Time convlab against itself on the layers of a file: in float16, in batches, on two threads.

    python bench/variants.py float16|batch|threads bench/problems/vgg.txt [--algorithm winograd] [--only 2:5] …

float16 has the aim of 0.9 of float32's rate, a batch of 16 of what one image takes, and two threads of 1.8 of what one
does (where work is over 2 ms). Both plans run interleaved in one process, with prepared weights and `out` given.
Prints a line a layer; keeps them in bench/results/variants.json, where what is measured again replaces itself.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from keep import RESULTS, Entry, merge
from layers import geomean, label, part, problems

import convlab
from convlab import ConvProblem
from convlab.harness import interleave
from convlab.harness.data import operands
from convlab.harness.machine import this_machine

TARGET = RESULTS / "variants.json"
BATCH = 16
# The plain plan and the other one: what changes in the problem, and on how many of the threads it runs.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "float16": ({}, {"dtype": "float16"}),
    "batch": ({}, {"batch": BATCH}),
    "threads": ({"threads": 1}, {}),
}


def call(problem: ConvProblem, algorithm: str, threads: int) -> tuple[str, Any]:
    """The algorithm that a plan takes, and a call of it."""
    data, *rest = operands(problem)
    plan, out = (
        convlab.plan(problem, *rest, algorithm=algorithm, threads=threads),
        np.empty(problem.y_shape, problem.dtype),
    )
    return plan.algorithm, lambda: plan(data, out=out)


def measure(layer: ConvProblem, variant: str, algorithm: str, threads: int, min_time: float) -> Entry:
    calls, names = {}, []
    for name, change in zip(("plain", variant), VARIANTS[variant], strict=True):
        options = {"threads": threads} | change
        taken, calls[name] = call(
            layer.replace(**{k: v for k, v in options.items() if k != "threads"}), algorithm, options["threads"]
        )
        names.append(taken)
    times = interleave(calls, min_time)
    work = BATCH if variant == "batch" else 1
    return {
        "variant": variant, "problem": {"descriptor": layer.descriptor}, "algorithms": names, "threads": threads,
        "plain": asdict(times["plain"]), "other": asdict(times[variant]),
        "ratio": times["plain"].median * work / times[variant].median,
        "quartiles": times["plain"].low * work / times[variant].low, "machine": asdict(this_machine()),
    }  # fmt: skip


def key(entry: Entry) -> tuple[Any, ...]:
    return entry["variant"], entry["problem"]["descriptor"], entry["threads"], tuple(entry["algorithms"])


@click.command()
@click.argument("variant", type=click.Choice(list(VARIANTS)))
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--algorithm", default="auto", show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--min-time", type=float, default=0.5, show_default=True, help="Seconds of timed calls each.")
@click.option("--only", help="Layers START:STOP of the file, counted from 0.")
def main(variant: str, path: Path, algorithm: str, threads: int, min_time: float, only: str | None) -> None:
    ratios = []
    for layer in problems(path)[part(only)]:
        entry = measure(layer, variant, algorithm, threads, min_time)
        merge(TARGET, [entry], key)
        ratios.append(entry["ratio"])
        plain = 1e3 * entry["plain"]["median"]
        text = f"{plain:8.3f} ms  ratio {entry['ratio']:.2f}, by lower quartiles {entry['quartiles']:.2f}"
        click.echo(f"{label(entry):18} {'/'.join(dict.fromkeys(entry['algorithms'])):15} {text}")
    click.echo(f"{variant} against plain: geomean {geomean(ratios):.2f}, least {min(ratios):.2f}")


if __name__ == "__main__":
    main()
