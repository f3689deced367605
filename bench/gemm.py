"""convlab's gemm, and its strassen of one level and of two, against NumPy's BLAS, on square matrices.

    python bench/gemm.py [--size 512 …] [--threads 1 …] [--dtype float32 …]

Interleaved: all in turn, each into its own result, on equally many threads (BLAS' set with threadpoolctl). Writes
bench/results/gemm.json: median and quartiles of each, by how much BLAS takes longer, the largest error of each over the
largest result, and the FMA peak of the same run.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from convlab.harness.machine import this_machine
from convlab.harness.timing import interleave
from convlab.kernels.bilinear import SCHEMES, Scheme
from convlab.kernels.cpu import gemm, matrix, scheme_terms, strassen
from convlab.kernels.cpu.blis import workspace
from convlab.kernels.cpu.peak import fma_peak
from convlab.kernels.cpu.strassen import workspace as strassen_workspace

RESULTS = Path(__file__).parent / "results"
SCHEMES_SHOWN = "strassen", "strassen-2"


def measure(size: int, threads: int, dtype: str, min_time: float) -> dict:
    """One line of the table, times in seconds and rates in operations a second."""
    rng = np.random.default_rng(0)
    scalar = np.dtype(dtype).type
    a, b = (rng.random((size, size), dtype) - scalar(0.5) for _ in range(2))
    results = {name: np.zeros_like(a) for name in ("convlab", *SCHEMES_SHOWN, "blas")}
    panels = [np.zeros((threads, n), dtype) for n in workspace(a.itemsize)]
    product = matrix(a), matrix(b), False, scalar(0), *panels, threads, matrix(results["convlab"])
    calls: dict[str, Callable[[], object]] = {"convlab": lambda: gemm(*product)}
    for name in SCHEMES_SHOWN:
        calls[name] = functools.partial(strassen, *by_scheme(SCHEMES[name], a, b, threads, results[name]))
    calls["blas"] = lambda: np.matmul(a, b, results["blas"])
    with threadpool_limits(threads, "blas"):
        peak = fma_peak(threads, dtype)
        times = interleave(calls, min_time)
        peak = max(peak, fma_peak(threads, dtype))
    some = slice(None, None, -(-size // 256))  # rows: the exact product of all takes longer than what is timed
    exact = a[some].astype(np.float64) @ b.astype(np.float64)
    errors = {name: float(np.abs(c[some] - exact).max() / np.abs(exact).max()) for name, c in results.items()}
    assert all(error <= 100 * size * np.finfo(dtype).eps for error in errors.values())
    flops = 2 * size**3
    return {
        "size": size, "threads": threads, "dtype": dtype, "peak": peak,
        **{name: {"rate": flops / t.median, "low": flops / t.high, "high": flops / t.low, "calls": t.calls,
                  "ratio": times["blas"].median / t.median, "error": errors[name]}
           for name, t in times.items()},
        "ratio": times["blas"].median / times["convlab"].median,
    }  # fmt: skip


def by_scheme(scheme: Scheme, a: np.ndarray, b: np.ndarray, threads: int, c: np.ndarray) -> tuple[object, ...]:
    """The arguments of a product by a scheme."""
    scalar = a.dtype.type
    shared, own = strassen_workspace(scheme, *c.shape, a.shape[1], a.itemsize)
    panels = np.zeros(shared, a.dtype), np.zeros((threads, own), a.dtype)
    tables, none = scheme_terms(scheme, a.dtype), np.empty(0, a.dtype)
    return matrix(a), matrix(b), *tables, none, 0, False, scalar(0), *panels, threads, matrix(c)


@click.command()
@click.option("--size", multiple=True, type=int, default=(512, 1024, 1536, 2048, 4096), show_default=True)
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--dtype", multiple=True, default=("float32", "float64"), show_default=True)
@click.option("--min-time", type=float, default=1.0, show_default=True, help="Seconds of timed calls each.")
def main(size: tuple[int, ...], threads: tuple[int, ...], dtype: tuple[str, ...], min_time: float) -> None:
    target = RESULTS / "gemm.json"
    before = json.loads(target.read_text())["products"] if target.exists() else []
    measured = []
    for kind in dtype:
        for count in threads:
            for n in size:
                line = measure(n, count, kind, min_time)
                measured.append(line)
                rates = [f"{name} {line[name]['rate'] / 1e9:.0f}" for name in ("convlab", *SCHEMES_SHOWN, "blas")]
                more = [f"{line[name]['ratio']:.3f}" for name in ("convlab", *SCHEMES_SHOWN)]
                click.echo(f"{kind} {n}³ {count} threads, peak {line['peak'] / 1e9:.0f} GFLOP/s: {', '.join(rates)}")
                click.echo(f"  over blas {', '.join(more)}")
            ratios = [line["ratio"] for line in measured if (line["dtype"], line["threads"]) == (kind, count)]
            click.echo(f"  geomean {np.exp(np.mean(np.log(ratios))):.3f}, min {min(ratios):.3f}")
    keys = {(line["size"], line["threads"], line["dtype"]) for line in measured}
    measured = [line for line in before if (line["size"], line["threads"], line["dtype"]) not in keys] + measured
    RESULTS.mkdir(exist_ok=True)
    blas = [{k: info.get(k) for k in ("internal_api", "version", "architecture")} for info in threadpool_info()]
    report = {"machine": asdict(this_machine()), "pools": blas, "products": measured}
    target.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
