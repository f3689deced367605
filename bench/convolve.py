"""Time convolve against what people call for it: np.convolve and scipy.signal's convolve, fftconvolve and oaconvolve.

    python bench/convolve.py [--only image …] [--dtype float32 …] [--threads 1] [--min-time 0.15]
    python bench/convolve.py --show

Mode "full", interleaved, results compared before they are timed. Threads: 1 for all, or each library's own default,
which for NumPy and SciPy is 1 but for products that BLAS takes. Keeps medians and quartiles in
bench/results/convolve.json, where what is measured again replaces itself. Prints a line each: products, our time, the
best other's, and how many times as fast we are (by lower quartiles); below 10⁵ products what a call takes longer.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import numpy as np
from keep import RESULTS, Entry, merge
from scipy import signal
from threadpoolctl import threadpool_limits

import convlab
from convlab.harness import interleave
from convlab.harness.machine import this_machine
from convlab.kernels.cpu.peak import fma_peak

TARGET = RESULTS / "convolve.json"
PROBLEMS = {
    "16 by 4": ((16,), (4,)),
    "100 by 10": ((100,), (10,)),
    "1000 by 10": ((1000,), (10,)),
    "200 by 200": ((200,), (200,)),
    "1000 by 100": ((1000,), (100,)),
    "400 by 400": ((400,), (400,)),
    "10⁵ by 3": ((10**5,), (3,)),
    "1000 by 1000": ((1000,), (1000,)),
    "10⁵ by 33": ((10**5,), (33,)),
    "10⁴ by 1001": ((10**4,), (1001,)),
    "10⁶ by 33": ((10**6,), (33,)),
    "10⁴ by 10⁴": ((10**4,), (10**4,)),
    "10⁶ by 1001": ((10**6,), (1001,)),
    "10⁵ by 10⁵": ((10**5,), (10**5,)),
    "16² by 3²": ((16, 16), (3, 3)),
    "64² by 3²": ((64, 64), (3, 3)),
    "64² by 9²": ((64, 64), (9, 9)),
    "64² by 64²": ((64, 64), (64, 64)),
    "256² by 5²": ((256, 256), (5, 5)),
    "256² by 15²": ((256, 256), (15, 15)),
    "2048² by 3²": ((2048, 2048), (3, 3)),
    "512² by 63²": ((512, 512), (63, 63)),
    "512² by 512²": ((512, 512), (512, 512)),
}
DTYPES = ("float32", "float64", "complex128")
# Direct sums of so many products take others a second and more.
SLOW = 10**9
OVERHEAD = 10**5


def data(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if dtype.startswith("c") else values).astype(dtype)


def calls(in1: np.ndarray, in2: np.ndarray) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {"convlab": lambda: convlab.convolve(in1, in2)}
    if in1.ndim == 1 and in1.size * in2.size < SLOW:
        found["np.convolve"] = lambda: np.convolve(in1, in2)
    for call in (signal.convolve, signal.fftconvolve, signal.oaconvolve):
        found[call.__name__] = lambda call=call: call(in1, in2)
    return found


def measure(name: str, dtype: str, threads: int, min_time: float) -> Entry:
    """threads: 0 for the libraries' own defaults."""
    in1, in2 = (data(shape, dtype, seed) for seed, shape in enumerate(PROBLEMS[name]))
    candidates = calls(in1, in2)
    expected = candidates["fftconvolve"]()
    for label, call in candidates.items():
        tolerance = 1e-4 if dtype == "float32" else 1e-10
        np.testing.assert_allclose(call(), expected, atol=tolerance * np.abs(expected).max(), err_msg=label)
    times = interleave(candidates, min_time)
    peer = min((label for label in times if label != "convlab"), key=lambda label: times[label].median)
    own = times["convlab"]
    return {
        "name": name, "dtype": dtype, "threads": threads, "products": in1.size * in2.size, "best_peer": peer,
        "times": {label: asdict(timing) for label, timing in times.items()},
        "ratio": times[peer].median / own.median, "quartiles": times[peer].low / own.low,
        "overhead": own.median - times[peer].median,
        "peak_flops": fma_peak(threads or len(os.sched_getaffinity(0)), np.float32), "machine": asdict(this_machine()),
    }  # fmt: skip


def line(entry: Entry) -> str:
    own, peer = entry["times"]["convlab"], entry["times"][entry["best_peer"]]
    figure = f"{entry['ratio']:.2f} ({entry['quartiles']:.2f})"
    if entry["products"] < OVERHEAD:
        figure = f"{1e6 * entry['overhead']:+.1f} µs"
    threads = entry["threads"] or "own"
    return (
        f"{entry['name']:<13} {entry['dtype']:<11}{threads!s:<4}{entry['products']:>8.1e}"
        f"{1e6 * own['median']:>10.1f}{1e6 * peer['median']:>10.1f}  {entry['best_peer']:<12}{figure:>13}"
    )


@click.command()
@click.option("--only", multiple=True, help="Problems whose name contains this.")
@click.option("--dtype", multiple=True, type=click.Choice(DTYPES), default=DTYPES, show_default=True)
@click.option("--threads", multiple=True, type=click.Choice(["1", "own"]), default=("1", "own"), show_default=True)
@click.option("--min-time", type=float, default=0.15, show_default=True, help="Seconds of timed calls each.")
@click.option("--show", is_flag=True, help="Print what was measured before.")
def main(only: tuple[str, ...], dtype: tuple[str, ...], threads: tuple[str, ...], min_time: float, show: bool) -> None:
    click.echo(f"{'in1 by in2':<13} {'dtype':<11}{'':<4}{'products':>8}{'ours µs':>10}{'best µs':>10}  of{'':<15}ratio")
    names = [name for name in PROBLEMS if not only or any(part in name for part in only)]
    if show:
        kept = merge(TARGET, [], key)
        order = {name: i for i, name in enumerate(PROBLEMS)}
        for entry in sorted(kept, key=lambda e: (e["threads"], e["dtype"], order[e["name"]])):
            click.echo(line(entry))
        return
    for count in threads:
        number = 1 if count == "1" else 0
        with threadpool_limits(number or None):
            for kind in dtype:
                for name in names:
                    entry = measured(name, kind, number, min_time)
                    merge(TARGET, [entry], key)
                    click.echo(line(entry))


def measured(name: str, dtype: str, number: int, min_time: float) -> Entry:
    """`measure`, on one core where threads are one: convolve takes as many as there are cores."""
    cores = os.sched_getaffinity(0)
    try:
        if number:
            os.sched_setaffinity(0, sorted(cores)[:number])
        return measure(name, dtype, number, min_time)
    finally:
        os.sched_setaffinity(0, cores)


def key(entry: Entry) -> tuple[str, str, int]:
    return entry["name"], entry["dtype"], entry["threads"]


if __name__ == "__main__":
    main()
