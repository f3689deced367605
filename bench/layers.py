"""Time convlab against other libraries on the layers of a file, and keep the results.

    python bench/layers.py bench/problems/vgg.txt [--algorithm direct …] [--direction gradients] [--batch 16] …

Every layer is one interleaved run of convlab's harness, each result checked against the oracle before it is timed. Each
number of threads has a process of its own, as NNPACK's pool cannot change its size. Every library gets the layout that
it likes best: torch-channels-last reads channels_last arrays, whatever convlab reads. Each layer's figures go to
bench/results/ as soon as they are there; layers measured again (--only) replace what the file has of them. Prints a
table of at most 80 columns for each number of threads.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from keep import RESULTS, Entry, merge

from convlab import ConvProblem
from convlab.harness import as_json, compare
from convlab.units import in_bytes, plural, short

# SciPy, which takes hundreds of times as long as the others, only if it is asked for.
PEERS = ("torch", "torch-channels-last", "nnpack", "onnxruntime", "openvino", "opencv")
LAYOUTS = {"torch-channels-last": "channels_last"}
GRADIENTS = ("backward_data", "backward_weights")
SHORT = {"torch-channels-last": "torch-cl"}


def problems(path: Path, **options: str) -> list[ConvProblem]:
    """The problems of a file of descriptors, one a line, # for comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [ConvProblem.from_descriptor(line, **options) for line in lines if line]


def key(entry: Entry) -> tuple[str, int]:
    """What tells the reports of a file apart."""
    return entry["problem"]["descriptor"], entry["threads"]


def label(entry: Entry) -> str:
    """A layer as C,H,K RxS/stride; "dw" for depthwise."""
    p = ConvProblem.from_descriptor(entry["problem"]["descriptor"])
    sizes = [p.in_channels, p.in_size[0]] if p.groups > 1 else [p.in_channels, p.in_size[0], p.out_channels]
    text = f"{','.join(map(str, sizes))} {'x'.join(map(str, p.kernel))}"
    stride = f"/{p.stride[0]}" if p.stride[0] > 1 else ""
    kind = "" if p.groups == 1 else "dw " if p.groups == p.in_channels else f"g{p.groups} "
    return f"{kind}{text}{stride}"


def best(entry: Entry, peer: bool) -> Entry | None:
    """The fastest peer, or the fastest algorithm that is none."""
    rows = [row for row in entry["rows"] if row["status"] == "ok" and row["peer"] == peer]
    return min(rows, key=lambda row: row["timing"]["median"], default=None)


def named(entry: Entry | None, name: str) -> Entry | None:
    rows = [] if entry is None else entry["rows"]
    return next((row for row in rows if row["status"] == "ok" and row["algorithm"] == name), None)


def table(entries: list[Entry], threads: int) -> str:
    """One line a layer for that number of threads, and what they come to."""
    alone = {entry["problem"]["descriptor"]: entry for entry in entries if entry["threads"] == 1}
    chosen = [entry for entry in entries if entry["threads"] == threads]
    lines = [
        plural(threads, "thread"),
        line("layer", "convlab", "ms", "% peak", "best peer", "ms", "ratio", f"1→{threads}"),
    ]
    ratios, quartiles, scalings, regrets = [], [], [], []
    for entry in chosen:
        ours, peer = best(entry, peer=False), best(entry, peer=True)
        cells = [label(entry), *["-"] * 7]
        if ours is not None:
            cells[1:4] = ours["algorithm"], milliseconds(ours), f"{100 * ours['peak_fraction']:.0f}"
        if peer is not None:
            cells[4:6] = SHORT.get(peer["algorithm"], peer["algorithm"]), milliseconds(peer)
        if ours is not None and peer is not None:
            ratios.append((peer["timing"]["median"] / ours["timing"]["median"], cells[0]))
            quartiles.append(peer["timing"]["low"] / ours["timing"]["low"])
            cells[6] = f"{ratios[-1][0]:.2f}"
        if ours is not None and (single := named(alone.get(entry["problem"]["descriptor"]), ours["algorithm"])):
            scalings.append(single["timing"]["median"] / ours["timing"]["median"])
            cells[7] = f"{scalings[-1]:.2f}"
        if ours is not None and (auto := named(entry, entry["auto"])):
            regrets.append(auto["timing"]["median"] / ours["timing"]["median"])
        lines.append(line(*cells))
    if ratios:
        mean, low, (least, where) = geomean(r for r, _ in ratios), geomean(quartiles), min(ratios)
        lines.append(f"ratio: geomean {mean:.2f}, by lower quartiles {low:.2f}; least {least:.2f} ({where})")
    if scalings and threads > 1:
        lines.append(f"{threads} threads against 1: geomean {geomean(scalings):.2f}, least {min(scalings):.2f}")
    if regrets and max(regrets) > 1:
        lines.append(f'"auto" against the best: geomean {geomean(regrets):.2f}, most {max(regrets):.2f}')
    lines.append(conditions(chosen, threads))
    for entry in chosen:
        failed = [row for row in entry["rows"] if row["status"] == "failed"]
        lines += [f"failed: {label(entry)} {row['algorithm']}: {row['reason']}" for row in failed]
    return "\n".join(lines)


def line(layer: str, ours: str, ms: str, peak: str, peer: str, peer_ms: str, ratio: str, scaling: str) -> str:
    """A line of the table, 80 columns wide."""
    return f"{layer:18} {ours:15} {ms:>6} {peak:>6}  {peer:11} {peer_ms:>6} {ratio:>5}  {scaling:>4}"


def conditions(entries: list[Entry], threads: int) -> str:
    """The peak, what else ran, and the most memory that an algorithm of convlab took."""
    own = [row for entry in entries if (row := best(entry, peer=False)) is not None]
    peaks = [entry["peak_flops"] / 1e9 for entry in entries if entry["peak_flops"]]
    others = [entry["others"] for entry in entries if entry.get("others") is not None]
    parts = [f"FMA peak {min(peaks):.0f}-{max(peaks):.0f} GFLOP/s"] if peaks else []
    if others:
        parts.append(f"others kept at most {max(others):.2f} processors")
    text = ", ".join(parts)
    if own:
        workspace = in_bytes(max(row["workspace_bytes"] for row in own) // threads)
        prepared = in_bytes(max(row["prepared_bytes"] for row in own))
        text += f"\nworkspace at most {workspace} a thread, prepared weights {prepared}"
    return text


def milliseconds(row: Entry) -> str:
    return f"{short(1e3 * row['timing']['median']):>6}"


def geomean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


def part(text: str | None) -> slice:
    """START:STOP, or one index, as a slice."""
    if text is None:
        return slice(None)
    start, colon, stop = text.partition(":")
    return slice(int(start or 0), (int(stop) if stop else None) if colon else int(start) + 1)


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--algorithm", multiple=True, default=("auto",), show_default=True, help="May be repeated.")
@click.option("--against", multiple=True, default=PEERS, show_default=True, help="A peer; may be repeated.")
@click.option("--layout", default="channels_first", show_default=True, help="What convlab reads and writes.")
@click.option("--direction", default="forward", show_default=True, help='Or "gradients", for both of them.')
@click.option("--dtype", default="float32", show_default=True)
@click.option("--batch", type=int, default=1, show_default=True)
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--min-time", type=float, default=0.5, show_default=True, help="Seconds of timed calls each.")
@click.option("--unprepared", is_flag=True, help="convlab prepares the weights in each call; its peers keep theirs.")
@click.option("--only", help="Layers START:STOP of the file, counted from 0.")
@click.option("--show", is_flag=True, help="Measure nothing: print the tables of what the file of results has.")
@click.option("--child", type=int, hidden=True, help="Measure this number of threads in this process, print nothing.")
def main(
    path: Path, algorithm: tuple[str, ...], against: tuple[str, ...], layout: str, direction: str, dtype: str,
    batch: int, threads: tuple[int, ...], min_time: float, unprepared: bool, only: str | None, show: bool,
    child: int | None,
) -> None:  # fmt: skip
    rerun = f"python {shlex.join(sys.argv)}"
    if child is None and not show:
        for count in threads:
            subprocess.run([sys.executable, *sys.argv, "--child", str(count)], check=True)
    for one in GRADIENTS if direction == "gradients" else (direction,):
        words = [path.stem, layout, one]
        words += [dtype] * (dtype != "float32") + [f"batch{batch}"] * (batch != 1) + ["unprepared"] * unprepared
        target = RESULTS / f"{'-'.join(words)}.json"
        found = problems(path, layout=layout, direction=one, dtype=dtype)[part(only)]
        layers = [problem.replace(batch=batch) for problem in found]
        if child is not None:
            for layer in layers:
                (report,) = compare(
                    layer, names=algorithm, peers=against, threads=[child], min_time=min_time, layouts=LAYOUTS,
                    prepared=not unprepared,
                )  # fmt: skip
                merge(target, [as_json(report) | {"rerun": rerun.partition(" --child")[0]}], key)
            continue
        wanted = {layer.descriptor for layer in layers}
        entries = [entry for entry in merge(target, [], key) if entry["problem"]["descriptor"] in wanted]
        click.echo(f"{path.stem}: {', '.join(words[1:])}")
        for count in threads:
            click.echo(table(entries, count) + "\n")
    if child is None:
        click.echo(rerun)


if __name__ == "__main__":
    main()
