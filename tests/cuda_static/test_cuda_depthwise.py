"""Depthwise convolution on the emulator against the oracle, its machine code and its use of memory."""

import numpy as np
import pytest
from convolutions import MODES, assert_solves, numbers, problem
from numba import int32, int64

from convlab import registry, select
from convlab.algorithm import Context
from convlab.emulator import Device
from convlab.kernels.cuda import depthwise, depthwise_last
from convlab.machinecode import GPUS, assembled, compiled
from convlab.machinecode.hardware import PARTITIONS
from convlab.machinecode.model import balance
from convlab.testing import operands

GEOMETRIES = {
    "1-D": {"x": (9, 3, 29), "w": (3, 1, 4), "padding": 1},
    "causal": {"x": (2, 5, 40), "w": (5, 1, 4), "padding": ((3, 0),)},
    "2-D": {"x": (2, 5, 9, 7), "w": (5, 1, 3, 3), "padding": 1},
    "wide": {"x": (1, 2, 8, 67), "w": (2, 1, 3, 3), "padding": 1},
    "3-D": {"x": (1, 2, 4, 5, 6), "w": (2, 1, 2, 3, 2), "stride": (1, 2, 1), "padding": (1, 0, 1)},
    "halved": {"x": (2, 3, 11, 13), "w": (3, 1, 3, 3), "stride": 2, "padding": 1},
    "halved 5x5": {"x": (1, 3, 15, 20), "w": (3, 1, 5, 5), "stride": 2, "padding": 2},
    "strided": {"x": (1, 3, 17, 40), "w": (3, 1, 3, 2), "stride": (3, 4), "padding": (2, 1)},
    "sparse": {"x": (1, 2, 7, 9), "w": (2, 1, 1, 2), "stride": (3, 4)},
    "dilated": {"x": (1, 4, 12, 9), "w": (4, 1, 3, 3), "dilation": (3, 2), "padding": 2},
    "far apart": {"x": (1, 2, 6, 50), "w": (2, 1, 2, 3), "dilation": (1, 20), "padding": 4},
    "strided and dilated": {"x": (1, 2, 13, 15), "w": (2, 1, 3, 3), "stride": 2, "dilation": 2, "padding": 2},
    "large": {"x": (1, 2, 12, 40), "w": (2, 1, 9, 11), "padding": (4, 5)},
    "7x7": {"x": (1, 2, 10, 30), "w": (2, 1, 7, 7), "padding": 3},
    "multiplied": {"x": (2, 3, 6, 6), "w": (6, 1, 3, 3), "padding": 1},
    "uneven padding": {"x": (1, 3, 8, 8), "w": (3, 1, 4, 4), "padding": "same"},
}


def of(kind, **options):
    """channels_last with more channels, which then are what lanes are."""
    given = dict(GEOMETRIES[kind])
    (images, channels, *size), w = given.pop("x"), given.pop("w")
    x = (images, channels, *size)
    if options.get("layout") == "channels_last":
        multiplier, channels = w[0] // channels, 9
        x, w = (images, *size, channels), (multiplier * channels, *w[1:])
    return problem(x, w, groups=channels, **given, **options)


def solve(device, problem, operands, out=None):
    algorithm, ctx = registry.get_algorithm("depthwise", "cuda"), Context(device=device)
    assert algorithm.why_not(problem) is None
    x, w, bias = (None if a is None else device.array(a) for a in operands)
    y = device.empty(problem.result_shape, problem.dtype) if out is None else out
    algorithm.run(problem, (x, bias), algorithm.prepare(problem, w, ctx), {}, y, ctx)
    return y.copy_to_host()


def check(device, problem, seed=1):
    given = operands(problem, seed)
    assert_solves(problem, solve(device, problem, given), given)


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind):
    check(device, of(kind, has_bias=True, activation="relu"))


SOME = ("1-D", "3-D", "halved", "dilated", "multiplied")


@pytest.mark.parametrize(("kind", "direction", "layout"), [
    *((kind, "backward_data", "channels_first") for kind in SOME),
    *((kind, "forward", "channels_last") for kind in SOME),
    ("halved", "backward_data", "channels_last"), ("multiplied", "backward_data", "channels_last"),
])  # fmt: skip
def test_directions_and_layouts(device, kind, direction, layout):
    check(device, of(kind, direction=direction, layout=layout))


@pytest.mark.parametrize(("kind", "layout"), [
    ("1-D", "channels_first"), ("halved", "channels_first"), ("halved", "channels_last"),
])  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(device, kind, mode, layout):
    check(device, of(kind, padding_mode=mode, layout=layout))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(device, dtype, layout):
    check(device, of("2-D", dtype=dtype, layout=layout, has_bias=True, activation="silu"))


def test_images_beside_each_other_in_a_warp(device):
    """Seven images of three to a warp, the last alone."""
    check(device, problem((7, 3, 7, 7), (3, 1, 3, 3), groups=3, padding=1))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_padding_multiplies(device, layout):
    """An infinite weight makes NaN of a padding zero, of nothing else and in no other channel."""
    wanted = of("2-D", layout=layout)
    x, w, _ = operands(wanted, 3)
    w[:], x = np.abs(w) + 1, np.abs(x) + 1
    w[1, 0, 0, 0] = np.inf
    result = solve(device, wanted, (x, w, None))
    found = np.isnan(result if layout == "channels_first" else np.moveaxis(result, -1, 1))
    assert found[:, 1, 0].all()
    assert found[:, 1, :, 0].all()
    assert not found[:, 1, 1:, 1:].any()
    assert not np.delete(found, 1, axis=1).any()


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_results_between_others(device, layout):
    """A view of a larger array is written, and nothing beside it."""
    wanted = of("2-D", layout=layout)
    whole = device.array(np.full([n + 2 for n in wanted.y_shape], 7, np.float32))
    given = operands(wanted, 5)
    assert_solves(wanted, solve(device, wanted, given, whole[1:-1, 1:-1, 1:-1, 1:-1]), given)
    found = whole.copy_to_host()
    found[1:-1, 1:-1, 1:-1, 1:-1] = 7
    assert (found == 7).all()


def test_refusals():
    refused = registry.get_algorithm("depthwise", "cuda").why_not
    assert "gradient of the weights" in refused(of("2-D", direction="backward_weights"))
    assert "not int32" in refused(of("2-D", dtype="int32"))
    assert "one input channel, not 6 in 3" in refused(problem((1, 6, 5, 5), (3, 2, 3, 3), groups=3))
    assert "65535 groups" in refused(problem((1, 70000, 3, 3), (70000, 1, 3, 3), groups=70000))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kernel", [3, 7])
def test_auto_takes_it(kernel, layout):
    wanted = of("2-D" if kernel == 3 else "7x7", layout=layout)
    assert select.pick(select.rank(wanted, "cuda"), wanted).name == "depthwise"


def arguments(storage, total, integers):
    return (storage[::1], total[::1], storage[::1], int32[::1], storage[::1], *[int64] * 10, *[int32] * integers)


# What a thread takes together, and its outputs.
FIRST = [((3, 3, 1), 14), ((3, 3, 2), 7), ((5, 5, 1), 14), ((5, 5, 2), 7), ((7, 7, 1), 14)]
LAST = [((3, 3, 1, 1), (7, 4)), ((5, 5, 2, 2), (4, 2)), ((7, 7, 1, 1), (4, 2))]
STRAIGHT = (False,) * 3


@pytest.mark.parametrize(("block", "rows", "capability"), [
    *((*each, (9, 0)) for each in FIRST), *((*each, (8, 0)) for each in FIRST[:2]),
])  # fmt: skip
def test_machine_code(block, rows, capability):
    """No spills, no float64. A loop over more than three columns of taps stays one."""
    storage, total = numbers("float32")
    types, (lines, points, _) = arguments(storage, total, 30), block
    code = compiled(depthwise.kernel(storage, total, block, rows, STRAIGHT, 0, True), types, capability, 128)
    assert code.misses(warps=20) == []
    assert code.kinds["ffma"] >= lines * min(points, 2) * rows


@pytest.mark.parametrize(("block", "tile"), LAST)
def test_machine_code_of_channels_last(block, tile):
    storage, total = numbers("float32")
    types = arguments(storage, total, 28)
    code = compiled(depthwise_last.kernel(storage, total, block, tile, STRAIGHT, 0, True), types, (9, 0), 128)
    assert code.misses(warps=16) == []
    assert code.kinds["ffma"] == block[0] * block[1] * tile[0] * tile[1]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_machine_code_of_other_dtypes(dtype):
    storage, total = numbers(dtype)
    types = arguments(storage, total, 30)
    code = compiled(depthwise.kernel(storage, total, (3, 3, 1), 14, STRAIGHT, 0, True), types, (8, 0), 128)
    assert code.misses(double=dtype == "float64", warps=12) == []


def layer(channels, size, kernel, stride, images=1, layout="channels_first"):
    """A depthwise layer of MobileNet's kind."""
    x = (images, channels, size, size) if layout == "channels_first" else (images, size, size, channels)
    w = (channels, 1, kernel, kernel)
    return problem(x, w, groups=channels, stride=stride, padding=kernel // 2, layout=layout)


@pytest.mark.parametrize(
    ("layout", "channels", "size", "kernel", "stride", "requested"),
    [
        ("channels_first", 2, 112, 3, 1, 1.15),
        ("channels_first", 2, 112, 3, 2, 1.15),
        ("channels_first", 2, 28, 5, 1, 1.15),
        ("channels_last", 32, 14, 3, 1, 1.5),
        ("channels_last", 32, 14, 5, 1, 3.1),
    ],
)
def test_inputs_are_read_about_once(device, layout, channels, size, kernel, stride, requested):
    """Bytes asked of global memory over those that must be, and sectors over the ideal."""
    check(device, layer(channels, size, kernel, stride, layout=layout))
    counters = device.launches[-1]
    assert counters.device.bytes <= requested * (counters.read + counters.written)
    assert counters.device.excess <= 1.1


@pytest.mark.parametrize("name", ["A100", "H100"])
def test_memory_is_the_bound(name):
    """MobileNet's layers at batch 32: to issue all instructions takes at most 1.3 times as long as to move the bytes
    that must be moved, where images are large 0.7. Of the kernel as it is launched, for some images and channels,
    scaled to all."""
    gpu = GPUS[name]
    device = Device(gpu.capability)
    for channels, size, kernel, stride, images, most in (
        (32, 112, 3, 1, 1, 0.7), (144, 56, 3, 2, 2, 0.9), (512, 14, 3, 1, 8, 0.7), (1024, 7, 3, 1, 12, 1.3),
        (120, 28, 5, 1, 2, 1.2),
    ):  # fmt: skip
        check(device, layer(2, size, kernel, stride, images))
        counters, whole = device.launches[-1], layer(channels, size, kernel, stride, 32)
        code = assembled(counters.ptx, gpu.capability, counters.threads)
        scale = channels / 2 * 32 / images
        loop = min((loop for loop in code.loops if loop.kinds["ffma"]), key=lambda loop: len(loop.code))
        columns = kernel - 2 if loop.kinds["ffma"] < code.kinds["ffma"] else 0  # of taps, that it goes through again
        executed = len(code.code) + columns * len(loop.code)
        issued = executed * counters.warps * scale / (PARTITIONS * gpu.sms * gpu.clock * 1e9)
        even = balance(int(counters.blocks * scale), gpu.sms)
        assert issued / even < most * whole.min_bytes / (gpu.bandwidth * 1e9), (channels, size)
