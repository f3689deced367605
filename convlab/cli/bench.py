"""`convlab bench`: every algorithm on a problem, checked, then timed."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from .. import registry
from ..errors import BackendError
from .cases import Case, of_picture, of_sizes
from .options import (
    DEFAULT,
    EMULATED,
    backend_option,
    check_emulate,
    emulate_option,
    per_axis,
    positive,
    problem_options,
    threads_option,
)

if TYPE_CHECKING:
    from ..harness import Report
    from ..harness.bench import Progress
    from ..harness.emulated import EmulatedReport

_SIZES = ("kernel", "channels", "filters", "size", "batch", "stride", "dilation", "groups")


@click.command(epilog=f"A DESCRIPTOR is benchdnn's; without one and without sizes it is {DEFAULT}.")
@click.argument("descriptors", nargs=-1, metavar="[DESCRIPTOR]...")
@per_axis("--kernel", "Size of the kernel; the padding is half of it.")
@positive("--channels", "Channels of the input.")
@positive("--filters", "Channels of the output.")
@per_axis("--size", "Height and width of the input.")
@positive("--batch", "Images in the batch.")
@per_axis("--stride", "Distance of the outputs.")
@per_axis("--dilation", "Distance of the kernel's taps; 1 is none.")
@positive("--groups", "Groups of channels; as many as channels is depthwise.")
@problem_options
@backend_option
@emulate_option
@click.option("--gpu", default="H100", show_default=True, metavar="NAME", help="With --emulate, the GPU to model.")
@click.option("--algorithm", "names", multiple=True, metavar="NAME", help='Only this one, or "auto"; may be repeated.')
@click.option("--against", multiple=True, metavar="PEER", help='Another library, or "all"; may be repeated.')
@threads_option
@click.option("--min-time", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Seconds to time each.")
@click.option("--image", type=click.Path(), help="A photograph to filter: its pixels are the input.")
@click.option("--weights", "weights_file", type=click.Path(), help="With --image, a .npy of (R, S) or (K, C/g, R, S).")
@click.option("--output", type=click.Path(), help="With --image, where to save the filtered picture.")
@click.option("--json", "json_file", type=click.File("w", lazy=False), help="Write the results as JSON, too.")
def command(
    descriptors: tuple[str, ...],
    backend: str,
    emulate: bool,
    gpu: str,
    names: tuple[str, ...],
    against: tuple[str, ...],
    threads: int | None,
    min_time: float,
    image: str | None,
    weights_file: str | None,
    output: str | None,
    json_file: TextIO | None,
    **options: Any,
) -> None:
    """Check every algorithm on a problem, then time them against each other.

    Each result is compared with a float64 oracle before it is timed. The exit status is 1 if an algorithm
    fails, or if none can run.

    With --emulate, nothing is timed: the CUDA kernels run on an emulator, by default on a small problem, and
    what can be known of them without a GPU is shown.
    """
    check_emulate(emulate, backend)
    sizes = {name: value for name in _SIZES if (value := options.pop(name)) is not None}
    if emulate and not descriptors and image is None:
        sizes = EMULATED | sizes
    if image is not None:
        cases = [of_picture(image, weights_file, output, descriptors, sizes, options)]
    elif weights_file is not None or output is not None:
        raise click.UsageError("--weights and --output go with --image")
    else:
        cases = of_sizes(descriptors, sizes, options)
    if emulate:
        _emulated(cases, gpu, names or None, json_file)
        return
    peers = _peers(against, backend)

    from ..harness import as_json, benchmark, render

    reports: list[Report] = []
    for case in cases:
        with _progress() as progress:
            report = benchmark(
                case.problem, case.weights, case.data, names or None, peers, threads, min_time, progress,
                backend=backend, source=case.source,
            )  # fmt: skip
        if reports:
            click.echo()
        render(report)
        reports.append(report)
        if output is not None and report.timed:
            _save(output, case, report)
    if json_file is not None:
        json.dump({"reports": [as_json(report) for report in reports]}, json_file, indent=2, allow_nan=False)
        json_file.write("\n")
    if any(report.failed or not report.timed for report in reports):
        sys.exit(1)


def _emulated(cases: Sequence[Case], gpu: str, names: Sequence[str] | None, json_file: TextIO | None) -> None:
    """The reports of --emulate."""
    from ..harness.emulated import as_json, emulate
    from ..harness.emulated_table import render_emulated
    from ..machinecode import GPUS

    if gpu not in GPUS:
        raise click.UsageError(f"--gpu {gpu}: unknown; valid are {', '.join(GPUS)}")
    reports: list[EmulatedReport] = []
    for case in cases:
        report = emulate(case.problem, gpu, names, case.weights, case.data, case.source)
        if reports:
            click.echo()
        render_emulated(report)
        reports.append(report)
    if json_file is not None:
        json.dump({"reports": [as_json(report) for report in reports]}, json_file, indent=2, allow_nan=False)
        json_file.write("\n")
    if any(report.of("failed") or not report.of("ok") for report in reports):
        sys.exit(1)


def _peers(asked: Sequence[str], backend: str) -> list[str]:
    """The peers asked for, "all" spelled out."""
    known = registry.peers(backend)
    if asked and not known:
        raise BackendError(f"--against: no {backend} peer is installed; pip install convlab-peers has some")
    for name in asked:
        if name != "all" and name not in known:
            registry.get_algorithm(name, backend)  # says what is near, if there is nothing of that name
            raise click.UsageError(f"--against {name}: that is no peer; valid are all, {', '.join(known)}")
    return list(dict.fromkeys(peer for name in asked for peer in (known if name == "all" else [name])))


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """A progress bar on stderr; none where nobody is looking at it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    # Drawn between the turns only: the thread that would refresh it otherwise would take time from what is timed.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, fraction: bar.update(task, description=what, completed=fraction, refresh=True)


def _save(output: str, case: Case, report: "Report") -> None:
    """The picture by the fastest algorithm that is right."""
    import numpy as np

    from ..harness import images
    from ..plan import make_plan

    fastest = report.timed[0].algorithm
    plan = make_plan(
        case.problem, case.weights, algorithm=fastest, backend=report.backend, accuracy="reduced",
        threads=report.threads,
    )  # fmt: skip
    result = plan(case.data)[0]
    images.save(output, result if case.problem.layout == "channels_first" else np.moveaxis(result, -1, 0))
    click.echo(f"\nwrote {output}, as {fastest} computed it")
