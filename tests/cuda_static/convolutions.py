"""Convolutions by the CUDA kernels on an emulated device, as an algorithm would run them, and what they are held to."""

import numpy as np
from numba import from_dtype, int32, int64

from convlab import reference
from convlab.algorithms import lowering
from convlab.bounds import componentwise
from convlab.kernels.cpu.epilogue import activation_code
from convlab.kernels.cuda import weights
from convlab.kernels.cuda.geometry import tables
from convlab.kernels.cuda.tensor import tensor
from convlab.problem import ConvProblem
from convlab.testing.judge import assert_within


def problem(x, w, dtype="float32", **options):
    return ConvProblem.forward(x, w, dtype=np.dtype(dtype), **options)


def last(shape):
    return (shape[0], *shape[2:], shape[1])


def convolve(device, launcher, block, channel_block, problem, arrays, out=None):
    """The result of a forward or backward_data problem. launcher: as direct's; block, channel_block: of the panels."""
    x, w, bias = arrays
    extent, zero = lowering.extent(problem), lowering.example(problem)
    shape = problem.y_shape if problem.direction == "forward" else problem.x_shape
    y = device.empty(shape, problem.dtype) if out is None else out
    kernel, depth = int(np.prod(problem.kernel)), problem.in_channels // problem.groups
    steps = (depth * kernel, kernel) if problem.direction == "forward" else (kernel, depth * kernel)
    group = problem.out_channels // problem.groups * depth * kernel
    images, flat = device.array(x), device.array(w.reshape(-1))
    values = device.array(np.empty(0, problem.dtype) if bias is None else bias)
    code, is_last = activation_code(problem.activation, "f"), problem.layout == "channels_last"
    for sweep in lowering.sweeps(problem):
        size = weights.size(extent.groups, extent.filters, extent.channels, len(sweep.weights), block, channel_block)
        panels = device.empty(size, zero.dtype)
        taps = device.array(sweep.weights.astype(np.int32))
        weights.pack(
            flat, extent.groups, extent.filters, extent.channels, (group, *steps), taps, block, channel_block, panels
        )
        target = tensor(lowering.part_of(sweep, y, problem), is_last)
        geometry = tables(sweep.taps, device.array)
        launcher(tensor(images, is_last), panels, values, geometry, extent, code, zero, target)
    return y.copy_to_host()


def assert_solves(problem, result, arrays):
    """Within the bound of any order of summation, element by element."""
    expected = reference.solve(problem, *arrays)
    assert_within(result, expected, componentwise(problem).bound(problem, arrays))


GEOMETRIES = {
    "1-D": {"x": (2, 3, 29), "w": (5, 3, 4), "stride": 2, "padding": 1},
    "2-D": {"x": (2, 5, 9, 7), "w": (9, 5, 3, 3), "padding": 1},
    "3-D": {"x": (1, 2, 4, 5, 6), "w": (3, 2, 2, 3, 2), "stride": (1, 2, 1), "padding": (1, 0, 1)},
    "pointwise": {"x": (1, 13, 7, 5), "w": (17, 13, 1, 1)},
    "strided": {"x": (1, 3, 11, 13), "w": (6, 3, 3, 2), "stride": (3, 2), "padding": (2, 1)},
    "sparse": {"x": (1, 2, 7, 9), "w": (3, 2, 1, 2), "stride": (3, 4)},
    "dilated": {"x": (1, 4, 12, 9), "w": (2, 4, 3, 3), "dilation": (3, 2), "padding": 2},
    "grouped": {"x": (2, 6, 6, 7), "w": (9, 2, 3, 3), "groups": 3, "padding": 1},
    "depthwise": {"x": (2, 7, 9, 6), "w": (7, 1, 3, 3), "groups": 7, "padding": 1},
    "multiplied": {"x": (1, 3, 6, 6), "w": (6, 1, 3, 3), "groups": 3, "stride": 2},
    "uneven padding": {"x": (1, 3, 8, 8), "w": (4, 3, 4, 4), "padding": "same"},
}
MODES = ("reflect", "replicate", "circular")


def of(kind, **options):
    given = dict(GEOMETRIES[kind])
    x = given.pop("x")
    if options.get("layout") == "channels_last":
        x = last(x)
    return problem(x, given.pop("w"), **given, **options)


def arguments(storage, total):
    """Numba types of direct's and im2col's kernels."""
    return (storage[::1], total[::1], storage[::1], int32[::1], storage[::1], *[int64] * 10, *[int32] * 17)


def numbers(dtype):
    """(numba type of the images, of the sums)"""
    total = np.float32 if dtype == "float16" else dtype
    return from_dtype(np.dtype(dtype)), from_dtype(np.dtype(total))


def innermost(code):
    """The innermost loop with most products, float32 or float64: the one that goes through the channels."""
    spans = [set(loop.code) for loop in code.loops]
    loops = [loop for loop, own in zip(code.loops, spans, strict=True) if not any(other < own for other in spans)]
    return max(loops, key=lambda loop: loop.kinds["ffma"] + loop.kinds["fp64"])
