"""Time convolutions with large kernels, images and signals, against what people use for these.

    python bench/fft.py [--threads 2] [--min-time 0.5] [--only image-31 …]

convlab's own choice and `fft` by name, with prepared weights and `out` given, interleaved with every peer that takes
the problem and with scipy.signal.oaconvolve, which is SciPy's own overlap-add. Results are checked against one another
before they are timed. Keeps them in bench/results/fft.json, where what is measured again replaces itself.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import numpy as np
from keep import RESULTS, Entry, merge

import convlab
from convlab import ConvProblem
from convlab.harness import interleave
from convlab.harness.data import operands
from convlab.harness.machine import this_machine
from convlab.kernels.cpu.peak import fma_peak

TARGET = RESULTS / "fft.json"
PROBLEMS = {
    "image-31": ConvProblem.forward((1, 1, 2048, 2048), (1, 1, 31, 31), padding=15),
    "image-63": ConvProblem.forward((1, 1, 2048, 2048), (1, 1, 63, 63), padding=31),
    "signal-1001": ConvProblem.forward((1, 1, 10**6), (1, 1, 1001), padding=500),
    "depthwise-31": ConvProblem.forward((1, 64, 64, 64), (64, 1, 31, 31), padding=15, groups=64),
}
PEERS = ("scipy", "opencv", "torch", "onnxruntime")
# torch takes minutes for images of one channel.
SLOW = {(peer, image) for peer in ("torch", "onnxruntime") for image in ("image-31", "image-63")}
SLOW.add(("torch", "signal-1001"))


def oaconvolve(x: np.ndarray, w: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """SciPy's overlap-add of one channel, as a call."""
    from scipy import fft, signal

    turned = w[0, 0][(slice(None, None, -1),) * (w.ndim - 2)]

    def call() -> np.ndarray:
        with fft.set_workers(threads):
            return signal.oaconvolve(x[0, 0], turned, mode="same")[None, None]

    return call


def calls(name: str, problem: ConvProblem, threads: int) -> dict[str, Callable[[], Any]]:
    """Every candidate as a call; those that refuse the problem are left out."""
    x, w, *_ = operands(problem)
    found: dict[str, Callable[[], Any]] = {}
    for algorithm in ("auto", "fft", *PEERS):
        if (algorithm, name) in SLOW:
            continue
        try:
            plan = convlab.plan(problem, w, algorithm=algorithm, threads=threads)
        except convlab.UnsupportedError as refusal:
            click.echo(f"{name}: {refusal}", err=True)
            continue
        out = np.empty(problem.y_shape, problem.dtype)
        label = f"auto ({plan.algorithm})" if algorithm == "auto" else algorithm
        found[label] = lambda plan=plan, out=out: plan(x, out=out)
    if problem.in_channels == 1:
        found["oaconvolve"] = oaconvolve(x, w, threads)
    return found


def measure(name: str, threads: int, min_time: float) -> Entry:
    problem = PROBLEMS[name]
    candidates = calls(name, problem, threads)
    expected = candidates["fft"]()
    for label, call in candidates.items():
        np.testing.assert_allclose(call(), expected, atol=1e-4 * np.abs(expected).max(), err_msg=label)
    times = interleave(candidates, min_time)
    own = min((label for label in times if label == "fft" or label.startswith("auto")), key=lambda n: times[n].median)
    peer = min((label for label in times if label in (*PEERS, "oaconvolve")), key=lambda n: times[n].median)
    return {
        "name": name, "problem": {"descriptor": problem.descriptor}, "threads": threads,
        "times": {label: asdict(timing) for label, timing in times.items()}, "best": own, "best_peer": peer,
        "ratio": times[peer].median / times[own].median, "quartiles": times[peer].low / times[own].low,
        "peak_flops": fma_peak(threads, np.float32), "machine": asdict(this_machine()),
    }  # fmt: skip


@click.command()
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--min-time", type=float, default=0.5, show_default=True, help="Seconds of timed calls each.")
@click.option("--only", multiple=True, type=click.Choice(list(PROBLEMS)), help="Problems, by name.")
def main(threads: int, min_time: float, only: tuple[str, ...]) -> None:
    for name in only or PROBLEMS:
        entry = measure(name, threads, min_time)
        merge(TARGET, [entry], lambda e: (e["name"], e["threads"]))
        text = ", ".join(f"{label} {1e3 * timing['median']:.2f}" for label, timing in entry["times"].items())
        click.echo(f"{name}: {text} ms")
        figures = (
            f"{entry['ratio']:.2f} times as fast as {entry['best_peer']}, by lower quartiles {entry['quartiles']:.2f}"
        )
        click.echo(f"  {entry['best']} is {figures}; FMA peak {entry['peak_flops'] / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
