"""VGG's network E by fused Winograd and by implicit GEMM on GPUs that are not here: a model, and no measurement.

    python bench/modelled.py [--gpu H100 …] [--show]

The comparison of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, Tables 5 and 6: the 16
layers of Simonyan and Zisserman's network E at batches of 1 to 64, F(2x2, 3x3) against a matrix product, in float32 and
with images in float16; theirs measured against cuDNN on a Maxwell Titan X, here modelled. Each kernel is assembled for
the GPU and run on the emulator in one block, where its result is checked and its wavefronts of shared memory counted.
A layer takes the largest of three bounds: what the pipes take for the machine code, in the loop and once outside of it,
on the SM with most blocks; its wavefronts, one a clock; images, weights and results once over the memory's bandwidth.
Where blocks share the channels, adding up their parts comes on top.
Assumed are, beside that: the boost clock; latencies hidden and the three overlapping perfectly; what is read again
comes from caches of any bandwidth; launches that take no time. Writes bench/results/modelled.json; --show only prints
its tables.
"""

import functools
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from convlab import ConvProblem, arrays, reference, registry
from convlab.algorithm import Context
from convlab.algorithms.cuda import lowering
from convlab.bounds import componentwise
from convlab.emulator import Counters, Device
from convlab.kernels.cuda import im2col
from convlab.kernels.cuda.block_tiles import tile_for
from convlab.kernels.cuda.gemm import DEPTH, Tile
from convlab.kernels.cuda.weights import blocks
from convlab.kernels.cuda.winograd_block import THREADS, TILES
from convlab.kernels.cuda.winograd_filters import CHANNELS, FILTERS, POINTS
from convlab.kernels.cuda.winograd_fused import share_of, tiles_of
from convlab.machinecode import GPUS, Gpu, MachineCode, assembled
from convlab.machinecode.hardware import PARTITIONS
from convlab.machinecode.loops import Loop
from convlab.machinecode.model import balance
from convlab.machinecode.opcodes import WARP
from convlab.testing import operands
from convlab.testing.judge import assert_within

TARGET = Path(__file__).parent / "results" / "modelled.json"
# channels, filters, edge of the image
LAYERS = (
    (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), *[(256, 256, 56)] * 3,
    (256, 512, 28), *[(512, 512, 28)] * 3, *[(512, 512, 14)] * 4,
)  # fmt: skip
BATCHES = (1, 2, 4, 8, 16, 32, 64)
# Lavin and Gray's milliseconds by batch: cuDNN, F(2x2, 3x3).
MEASURED = {
    "float32": ((12.52, 5.55), (20.36, 9.89), (104.70, 17.72), (241.21, 33.11), (203.09, 65.79), (237.05, 132.36),
                (394.05, 266.48)),
    "float16": ((14.58, 5.53), (20.94, 9.83), (104.19, 17.50), (241.87, 32.61), (204.01, 62.93), (236.13, 123.12),
                (395.93, 242.98)),
}  # fmt: skip
FUSED, GEMM = "winograd-fused", "im2col"


class Kernel(NamedTuple):
    """What the model knows of a kernel: its machine code; wavefronts of shared memory of a block, and more of a slice
    of the depth; multiply-adds of a thread a slice."""

    code: MachineCode
    of_block: float
    of_slice: float
    products: int

    def bounds(self, gpu: Gpu, count: int, slices: int, moved: float) -> dict[str, float]:
        """Seconds by each bound of `count` blocks that each go through so many slices and together move bytes."""
        hot = self.code.hot
        assert hot is not None
        inside = {i.address for i in hot.code}
        outside = Loop(tuple(i for i in self.code.code if i.address not in inside), self.code.capability, 0)
        passes = max(slices * self.products - outside.kinds["ffma"], 0) / hot.kinds["ffma"]
        clocks = (outside.bound[1] + passes * hot.bound[1]) * self.code.threads / WARP / PARTITIONS
        each = count / gpu.sms / balance(count, gpu.sms) / (gpu.clock * 1e9)
        wavefronts = self.of_block + slices * self.of_slice
        return {"pipes": each * clocks, "shared memory": each * wavefronts, "memory": moved / (gpu.bandwidth * 1e9)}


def layer(channels: int, filters: int, edge: int, batch: int = 1, dtype: str = "float32", rows: int = 0) -> ConvProblem:
    return ConvProblem.forward(
        (batch, channels, rows or edge, edge), (filters, channels, 3, 3), padding=1, dtype=np.dtype(dtype)
    )


def fused(problem: ConvProblem, capability: tuple[int, int]) -> Counters:
    """A launch of the fused kernel, of a result that is checked."""
    given = operands(problem, 1)
    with arrays.using(Device(capability)) as device:
        algorithm, ctx = registry.get_algorithm(FUSED, "cuda"), Context(device=device)
        y, state = device.empty(problem.y_shape, problem.dtype), algorithm.prepare(problem, device.array(given[1]), ctx)
        algorithm.run(problem, (device.array(given[0]), None), state, {}, y, ctx)
    bound = algorithm.error_model(problem).bound(problem, given)
    assert_within(y.copy_to_host(), reference.solve(problem, *given), bound)
    return device.launches[-1]


def gemm(problem: ConvProblem, capability: tuple[int, int], tile: Tile) -> Counters:
    """A launch of the implicit GEMM, of a result that is checked."""
    given, device = operands(problem, 1), Device(capability)
    y, ctx = device.empty(problem.y_shape, problem.dtype), Context(device=device)
    state = lowering.prepare(problem, device.array(given[1]), ctx, im2col.PANEL, DEPTH)
    launcher = functools.partial(im2col.im2col, tile=tile)
    lowering.run(launcher, problem, (device.array(given[0]), None), state, y, ctx)
    assert_within(y.copy_to_host(), reference.solve(problem, *given), componentwise(problem).bound(problem, given))
    return device.launches[-1]


@functools.cache
def kernel(capability: tuple[int, int], dtype: str, tile: Tile | None, whole: bool) -> Kernel:
    """The fused kernel, or (tile) that of the implicit GEMM; whole: for channels that fill slices."""
    if tile is None:
        one, two = (fused(layer(c, FILTERS, 16, 1, dtype, 8), capability) for c in (CHANNELS, 2 * CHANNELS))
        slices, products = 1, POINTS * CHANNELS * FILTERS * TILES // THREADS
    else:
        channels = (2 * DEPTH, 4 * DEPTH) if whole else (3, DEPTH + 3)
        shapes = [(c, tile.height, 16, 1, dtype, tile.width // 16) for c in channels]
        one, two = (gemm(layer(*shape), capability, tile) for shape in shapes)
        slices, products = 9 * -(-channels[0] // DEPTH), DEPTH * tile.height * tile.width // tile.threads
    of_slice = (two.shared.transactions - one.shared.transactions) / slices
    code = assembled(one.ptx, capability, one.threads)
    return Kernel(code, one.shared.transactions - slices * of_slice, of_slice, products)


def modelled(gpu: Gpu, problem: ConvProblem, name: str) -> dict[str, float]:
    """Seconds of a layer by each bound."""
    channels, filters, outputs = problem.in_channels, problem.out_channels, problem.batch * math.prod(problem.out_size)
    if name == FUSED:
        shares, slices = share_of(problem.batch, problem.out_size, 1, filters, channels)
        count = blocks(problem.batch * tiles_of(problem.out_size), TILES) * blocks(filters, FILTERS) * shares
        tile, whole = None, True
    else:
        tile, whole = tile_for(outputs, filters, 4, gpu.sms), channels % DEPTH == 0
        count = blocks(outputs, tile.width) * blocks(filters, tile.height)
        slices = 9 * -(-channels // DEPTH)
    algorithm = registry.get_algorithm(name, "cuda")
    more = sum(spec.nbytes() for spec in algorithm.prepared(problem).values())
    parts = sum(spec.nbytes() for spec in algorithm.workspace(problem, Context()).values())
    found = kernel(gpu.capability, problem.dtype.name, tile, whole)
    bounds = found.bounds(gpu, count, slices, problem.min_bytes + more + parts)
    # Parts of sums are read by a kernel of their own, which can but wait for them.
    return {name: seconds + parts / (gpu.bandwidth * 1e9) for name, seconds in bounds.items()}


def network(gpu: Gpu, dtype: str, batch: int, name: str) -> dict[str, Any]:
    """All layers: seconds, effective operations a second, which bound makes up most of the time."""
    layers = [modelled(gpu, layer(*shape, batch, dtype), name) for shape in LAYERS]
    seconds = [max(bounds.values()) for bounds in layers]
    flops = sum(layer(*shape, batch, dtype).flops for shape in LAYERS)
    shares: dict[str, float] = {}
    for bounds, own in zip(layers, seconds, strict=True):
        longest = max(bounds, key=lambda bound: bounds[bound])
        shares[longest] = shares.get(longest, 0) + own / sum(seconds)
    return {
        "gpu": gpu.name, "dtype": dtype, "batch": batch, "algorithm": name, "seconds": sum(seconds),
        "flops_per_second": flops / sum(seconds), "of_direct_limit": flops / sum(seconds) / gpu.peak,
        "bound_by": shares, "layers": seconds,
    }  # fmt: skip


def table(rows: list[dict[str, Any]], gpu: str, dtype: str) -> str:
    """A line a batch: Lavin and Gray's figures, and the model's."""
    found = {(row["batch"], row["algorithm"]): row for row in rows if (row["gpu"], row["dtype"]) == (gpu, dtype)}
    operations = sum(layer(*shape).flops for shape in LAYERS)
    lines = [
        f"VGG E, 16 layers, {dtype}: measured on a Titan X in 2015, modelled for the {gpu}",
        f"{'':5}{'Lavin and Gray 2015, measured':32}  {'convlab, MODELLED, no measurement'}",
        f"{'':5}{'cuDNN':13} {'F(2x2,3x3)':13} {'':4}  {'im2col':12} {'winograd-fused'}",
        line("N", *["ms", "TF/s"] * 2, "x", *["ms", "TF/s"] * 2, "limit", "x"),
    ]
    for batch, times in zip(BATCHES, MEASURED[dtype], strict=True):
        theirs = [f"{value:.2f}" for ms in times for value in (ms, batch * operations / ms / 1e9)]
        matrix, tiles = (found[batch, name] for name in (GEMM, FUSED))
        ours = [
            figure
            for row in (matrix, tiles)
            for figure in (f"{1e3 * row['seconds']:.2f}", f"{row['flops_per_second'] / 1e12:.1f}")
        ]
        faster = times[0] / times[1], matrix["seconds"] / tiles["seconds"]
        limit = f"{tiles['of_direct_limit']:.2f}"
        lines.append(line(str(batch), *theirs, f"{faster[0]:.2f}", *ours, limit, f"{faster[1]:.2f}"))
    bounds = found[BATCHES[-1], FUSED]["bound_by"]
    lines.append("bound at N = 64: " + ", ".join(f"{100 * share:.0f} % by {name}" for name, share in bounds.items()))
    return "\n".join(lines)


def line(n: str, *cells: str) -> str:
    """A line of the table, at most 80 columns wide."""
    widths = (7, 5, 7, 5, 4, 7, 5, 6, 5, 5, 4)
    return f"{n:>3}  " + " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


NOTE = """TF/s: TFLOP/s of the definition, whatever an algorithm does. x: how many times
faster. limit: over what the definition could reach at the GPU's float32 peak.
The model takes the boost clock, and knows neither latencies nor launches nor
what the caches can bring."""


@click.command()
@click.option("--gpu", multiple=True, default=("H100", "A100", "T4"), show_default=True, help="May be repeated.")
@click.option("--show", is_flag=True, help="Model nothing: print the tables of what the file of results has.")
def main(gpu: tuple[str, ...], show: bool) -> None:
    if not show:
        rows = [
            network(GPUS[name], dtype, batch, algorithm)
            for name in gpu for dtype in MEASURED for batch in BATCHES for algorithm in (GEMM, FUSED)
        ]  # fmt: skip
        note = "a model, no measurement; see bench/modelled.py for what it assumes"
        TARGET.write_text(json.dumps({"kind": note, "networks": rows}, indent=1) + "\n")
    rows = json.loads(TARGET.read_text())["networks"]
    for name in gpu:
        for dtype in MEASURED:
            click.echo(table(rows, name, dtype) + "\n")
    click.echo(NOTE)


if __name__ == "__main__":
    main()
