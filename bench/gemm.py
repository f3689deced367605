"""convlab's gemm against NumPy's BLAS, on square matrices, on one thread and on two.

    python bench/gemm.py [--size 512 …] [--threads 1 …] [--dtype float32 …]

Interleaved: ours, theirs, ours, theirs, both into their own result, on equally many threads (set with threadpoolctl).
Writes bench/results/gemm.json: median and quartiles of each, the ratio of the medians, and the FMA
peak of the same run.
"""

import json
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from convlab.harness.machine import this_machine
from convlab.harness.timing import interleave
from convlab.kernels.cpu import gemm, matrix
from convlab.kernels.cpu.blis import workspace
from convlab.kernels.cpu.peak import fma_peak

RESULTS = Path(__file__).parent / "results"


def measure(size: int, threads: int, dtype: str, min_time: float) -> dict:
    """One line of the table, times in seconds and rates in operations a second."""
    rng = np.random.default_rng(0)
    scalar = np.dtype(dtype).type
    a, b = (rng.random((size, size), dtype) for _ in range(2))
    ours, theirs = np.zeros_like(a), np.zeros_like(a)
    panels = [np.zeros((threads, n), dtype) for n in workspace(a.itemsize)]
    operands = matrix(a), matrix(b), False, scalar(0), *panels, threads, matrix(ours)
    with threadpool_limits(threads, "blas"):
        peak = fma_peak(threads, dtype)
        times = interleave({"convlab": lambda: gemm(*operands), "blas": lambda: np.matmul(a, b, theirs)}, min_time)
        peak = max(peak, fma_peak(threads, dtype))
    assert np.allclose(ours, theirs, rtol=size * np.finfo(dtype).eps)
    flops = 2 * size**3
    return {
        "size": size, "threads": threads, "dtype": dtype, "peak": peak,
        **{name: {"rate": flops / t.median, "low": flops / t.high, "high": flops / t.low, "calls": t.calls}
           for name, t in times.items()},
        "ratio": times["blas"].median / times["convlab"].median,
    }  # fmt: skip


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
                rates = [f"{name} {line[name]['rate'] / 1e9:.0f}" for name in ("convlab", "blas")]
                click.echo(
                    f"{kind} {n}³ {count} threads: {', '.join(rates)} of {line['peak'] / 1e9:.0f} GFLOP/s, "
                    f"ratio {line['ratio']:.3f}"
                )
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
