"""Convolutions by tiles of given sizes on an emulated device, their kernels' machine code, and what a layer takes."""

import functools

import numpy as np
from numba import float32, int32, int64

from convlab import reference
from convlab.algorithm import Context
from convlab.algorithms import lowering
from convlab.algorithms.cuda.fft_tiled import FftTiled
from convlab.algorithms.cuda.tiled import product_tile
from convlab.algorithms.cuda.winograd import Winograd
from convlab.emulator import Device
from convlab.kernels.cuda import gemm, tile_inputs, tile_outputs
from convlab.kernels.cuda.tiles import Tiles
from convlab.machinecode import GPUS, compiled, modelled
from convlab.problem import ConvProblem
from convlab.testing import operands
from convlab.testing.judge import assert_within


def winograd(outputs, taps):
    return Tiles("winograd", outputs, taps)


def fourier(points, taps):
    rows, columns = taps
    return Tiles("fourier", (1 if rows == 1 else points - rows + 1, points - columns + 1), taps)


def algorithm(tiles):
    """The algorithm whose only choice these tiles are."""

    class Only(Winograd if tiles.family == "winograd" else FftTiled):
        def choices(self, problem):
            return [tiles]

    return Only()


def problem(x, w, dtype="float32", **options):
    return ConvProblem.forward(x, w, dtype=np.dtype(dtype), **options)


def run(device, algorithm, problem, arrays, out=None):
    """(result, Counters of the launches of a call)."""
    assert algorithm.why_not(problem) is None
    x, w, bias = (None if a is None else device.array(a) for a in arrays)
    ctx = Context(device=device)
    state = algorithm.prepare(problem, w, ctx)
    workspace = {name: device.empty(spec.shape, spec.dtype) for name, spec in algorithm.workspace(problem, ctx).items()}
    shape = problem.y_shape if problem.direction == "forward" else problem.x_shape
    y = device.empty(shape, problem.dtype) if out is None else out
    before = len(device.launches)
    algorithm.run(problem, (x, bias), state, workspace, y, ctx)
    return y.copy_to_host(), device.launches[before:]


def check(device, tiles, problem, seed=1, out=None):
    """Launches of a call whose result is within the algorithm's bound."""
    arrays, chosen = operands(problem, seed), algorithm(tiles)
    result, launches = run(device, chosen, problem, arrays, out)
    assert_within(result, reference.solve(problem, *arrays), chosen.error_model(problem).bound(problem, arrays))
    return launches


def sectors(counters, opcode):
    """Sectors of global memory that instructions of an opcode move, over the fewest that would do."""
    rows = [i for i, instruction in enumerate(counters.code) if opcode in instruction.opcode]
    _, moved, ideal, _ = counters.accesses["global"][rows].sum(axis=0)
    return moved / ideal


def code_of_inputs(of, capability, storage=float32, last=False):
    types = (storage[::1], int32[::1], float32[::1], *[int64] * 16)
    if of.shared:
        threads = tile_inputs.LANES[of.size[0]] * of.size[0] // 2
        return compiled(tile_inputs.shared_kernel(of, False, last), types, capability, threads)
    return compiled(tile_inputs.kernel(of, False, last), types, capability, tile_inputs.THREADS)


def code_of_outputs(of, capability, storage=float32, last=False, activation=0):
    types = (float32[::1], storage[::1], storage[::1], *[int64] * 12)
    if of.shared:
        threads = tile_inputs.LANES[of.size[0]] * of.size[0] // 2
        own = tile_outputs.shared_kernel(of, storage, activation, True, last)
        return compiled(own, types, capability, threads)
    return compiled(tile_outputs.kernel(of, storage, activation, True, last), types, capability, tile_inputs.THREADS)


@functools.cache
def _wavefronts(tile):
    """Wavefronts of shared memory of a tile of the products, a channel, as the emulator counts them."""
    device, depth = Device((8, 0)), 2 * gemm.DEPTH
    shapes = (tile.height, depth), (depth, tile.width), (tile.height, tile.width)
    gemm.gemm(*(device.array(np.ones(shape, np.float32)) for shape in shapes), tile)
    return device.launches[0].shared.transactions / depth


def modelled_speed(gpu, base, problem):
    """(tiles, seconds of direct products at the peak over modelled seconds, modelled seconds of each stage).

    The transforms take what their bytes take, or their instructions, as the emulator counts them, at four a clock and
    SM. The products are as test_cuda_gemm models them.
    """
    own, cut, work = GPUS[gpu], base().cut(problem), lowering.extent(problem)
    of, item = cut.tiles, problem.dtype.itemsize
    seconds = {"inputs": 0.0, "products": 0.0, "outputs": 0.0}
    sizes = {"inputs": work.channels, "outputs": work.filters}
    images = {"inputs": np.prod(problem.x_shape) * item, "outputs": np.prod(problem.y_shape) * item}
    instructions = _instructions(of)
    types, tile = (*[float32[::1]] * 3, *[int32] * 7, *[int64] * 3), product_tile(of, work, cut.room, False, own.sms)
    product = compiled(gemm.kernel(tile, True, True), types, own.capability, tile.threads)
    for grid in cut.grids:
        for stage, channels in sizes.items():
            clocks = channels * grid.room * instructions[stage] / 4 / own.sms
            moved = 4 * of.points * channels * grid.room + images[stage] * min(grid.room / grid.total, 1)
            seconds[stage] += max(clocks / (own.clock * 1e9), moved / (own.bandwidth * 1e9))
        blocks = -(-work.filters // tile.height) * -(-grid.room // tile.width) * of.points
        flops = 2 * blocks * tile.height * tile.width * work.channels
        wavefronts = blocks * work.channels * _wavefronts(tile)
        moved = 4 * of.points * ((work.channels + work.filters) * grid.room + work.channels * work.filters)
        seconds["products"] += modelled(own, product.hot, flops, wavefronts, moved, blocks).seconds
    return of, problem.flops / own.peak / sum(seconds.values()), seconds


@functools.cache
def _instructions(of):
    """Warp instructions of both transforms, a tile and channel."""
    (m_h, m_w), taps = (8 * m for m in of.outputs), of.taps
    wanted = problem((1, 1, m_h + taps[0] - 1, m_w + taps[1] - 1), (1, 1, *taps))
    inputs, _, outputs = run(Device((8, 0)), algorithm(of), wanted, operands(wanted, 1))[1]
    return {"inputs": inputs.instructions / 64, "outputs": outputs.instructions / 64}
