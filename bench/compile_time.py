"""Seconds of an algorithm's first call: with an empty cache of compiled kernels, and with them on disk.

    python bench/compile_time.py [--algorithm winograd …] [--dtype float64 …] [--direction backward_data]

A process each, so that nothing is compiled yet. What Numba takes for itself is left out: each process first imports it
and calls a trivial cached function. The first call is all that a user waits for: preparing the weights, importing,
compiling or loading the kernels, starting the threads, and the convolution. The aim: 8 s cold, 0.3 s warm.

Nothing is compiled for particular sizes, so one problem of each kind (and of each size of Winograd's tiles) is enough.
Prints a line each; keeps them in bench/results/compile_time.json, where what is measured again replaces itself.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from typing import Any

import click
from keep import RESULTS, Entry, merge

import convlab
from convlab import ConvProblem
from convlab.harness.data import operands
from convlab.harness.machine import this_machine

PROBLEMS = {
    "3x3": "ic64ih56oc64oh56kh3ph1",
    "3x3, odd image": "ic64ih13oc64oh13kh3ph1",
    "5x5": "ic64ih56oc64oh56kh5ph2",
    "3x3 stride 2": "ic64ih56oc64oh28kh3sh2ph1",
    "7x7 stride 2, 3 channels": "ic3ih224oc64oh112kh7sh2ph3",
    "1x1": "ic64ih56oc64oh56kh1",
    "depthwise 3x3": "g64ic64ih56oc64oh56kh3ph1",
    "one plane, 7x7": "ic1ih256oc1oh256kh7ph3",
    "1-D": "ic1iw10000oc1ow10000kw101pw50",
}
COLD, WARM = 8.0, 0.3
TARGET = RESULTS / "compile_time.json"


def first_call(problem: ConvProblem, algorithm: str) -> float:
    """Seconds of the first call in this process, which has not compiled or loaded anything yet."""
    import numba

    numba.njit(cache=True)(trivial)(1)
    data, *rest = operands(problem)
    start = time.perf_counter()
    if problem.direction == "backward_weights":
        convlab.plan(problem, None, algorithm=algorithm)((data, *rest))
    else:
        convlab.plan(problem, *rest, algorithm=algorithm)(data)
    return time.perf_counter() - start


def trivial(x: int) -> int:
    return x + 1


def in_process(cache: str, *words: str) -> float:
    """`first_call` in a process of its own with a cache of compiled kernels."""
    done = subprocess.run(
        [sys.executable, __file__, "--once", *words],
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout))


def key(entry: Entry) -> tuple[Any, ...]:
    return tuple(entry[name] for name in ("algorithm", "problem", "dtype", "layout", "direction"))


@click.command()
@click.option("--algorithm", multiple=True, help="Default: all.")
@click.option("--problem", "names", multiple=True, type=click.Choice(list(PROBLEMS)), help="Default: all.")
@click.option("--dtype", multiple=True, default=("float32", "float64", "float16"), show_default=True)
@click.option("--layout", default="channels_first", show_default=True)
@click.option("--direction", default="forward", show_default=True)
@click.option("--once", is_flag=True, hidden=True)
def main(
    algorithm: tuple[str, ...], names: tuple[str, ...], dtype: tuple[str, ...], layout: str, direction: str, once: bool
) -> None:
    for name in algorithm or [name for name, _ in convlab.algorithms("cpu")]:
        for kind, size in ((kind, size) for kind in names or PROBLEMS for size in dtype):
            options = {"dtype": size, "layout": layout, "direction": direction}
            problem = ConvProblem.from_descriptor(PROBLEMS[kind], **options)
            if once:
                click.echo(json.dumps(first_call(problem, name)))
                continue
            if convlab.get_algorithm(name, "cpu").why_not(problem) is not None:
                continue
            words = ["--algorithm", name, "--problem", kind]
            words += [word for option, value in options.items() for word in (f"--{option}", value)]
            with tempfile.TemporaryDirectory() as cache:
                cold, warm = (in_process(cache, *words) for _ in range(2))
            entry = {"algorithm": name, "problem": kind, "descriptor": problem.descriptor, **options}
            entry |= {"cold": cold, "warm": warm, "machine": asdict(this_machine())}
            merge(TARGET, [entry], key)
            slow = " too slow" * (cold > COLD or warm > WARM)
            click.echo(f"{name:16} {kind:25} {size:9} cold {cold:6.2f} s  warm {warm:5.2f} s{slow}")


if __name__ == "__main__":
    main()
