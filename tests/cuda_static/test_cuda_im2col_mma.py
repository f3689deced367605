"""Implicit GEMM on tensor cores, on the emulator against the oracle; its machine code and its use of memory."""

import functools

import numpy as np
import pytest
from convolutions import GEOMETRIES, MODES, last, of, problem
from numba import from_dtype, int32, int64

import convlab
from convlab import UnsupportedError, arrays, reference, select
from convlab.algorithm import Context
from convlab.algorithms.cuda import lowering
from convlab.algorithms.cuda.im2col_mma import Im2colMma
from convlab.emulator import Device
from convlab.kernels.cpu.epilogue import GELU
from convlab.kernels.cuda import rows
from convlab.kernels.cuda.im2col_mma import PART, TOGETHER, WHOLE, height_for, im2col_mma, kernel
from convlab.kernels.cuda.mma import LARGE, SMALL, THREADS, WIDTH
from convlab.machinecode import GPUS, compiled, modelled
from convlab.testing import operands
from convlab.testing.judge import assert_within

DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32"])
HEIGHTS = pytest.mark.parametrize("height", [LARGE, SMALL])


def convolve(device, wanted, given, height=SMALL):
    x, w, bias = (None if a is None else device.array(a) for a in given)
    ctx = Context(device=device)
    out = device.empty(wanted.result_shape, wanted.dtype)
    state = lowering.prepare(wanted, w, ctx, height, rows.channels_of(wanted.dtype), rows)
    lowering.run(functools.partial(im2col_mma, height=height), wanted, (x, bias), state, out, ctx)
    return out.copy_to_host()


def check(device, wanted, height=SMALL, seed=1):
    given = operands(wanted, seed)
    bound = Im2colMma().error_model(wanted).bound(wanted, given)
    assert_within(convolve(device, wanted, given, height), reference.solve(wanted, *given), bound)


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", GEOMETRIES)
def test_geometries(device, kind, direction):
    check(device, of(kind, direction=direction, dtype="float16", has_bias=True, activation="relu"))


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("kind", ["2-D", "strided"])
def test_geometries_in_tf32(device, kind, direction):
    check(device, of(kind, direction=direction, has_bias=True))


@DTYPES
@pytest.mark.parametrize("kind", ["2-D", "grouped"])
def test_channels_last(device, kind, dtype):
    check(device, of(kind, layout="channels_last", dtype=dtype))


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(device, mode):
    check(device, of("strided", padding_mode=mode, dtype="float16"))


@HEIGHTS
@pytest.mark.parametrize(("dtype", "channels"), [("float16", 31), ("float16", 64), ("float32", 16), ("float32", 33)])
def test_channels(device, dtype, channels, height):
    """A part of a slice, whole ones, one channel more."""
    check(device, problem((2, channels, 5, 9), (5, channels, 2, 2), dtype, padding=1), height)


@pytest.mark.parametrize(("height", "filters"), [(SMALL, 63), (SMALL, 65), (LARGE, 95), (LARGE, 129)])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_filters_and_outputs_beyond_a_tile(device, height, filters, layout):
    shape = (3, 8, 7, 9)
    shape = last(shape) if layout == "channels_last" else shape
    dtype = "float16" if height == LARGE else "float32"
    check(device, problem(shape, (filters, 8, 2, 1), dtype, padding=1, layout=layout), height)


@pytest.mark.parametrize(("dtype", "height"), [("float16", LARGE), ("float32", SMALL)])
def test_channels_that_lie_together(device, dtype, height):
    """Two groups of them, 16 bytes at once; and not where a row of the image begins elsewhere."""
    channels = 3 * rows.channels_of(dtype)
    wanted = problem((2, 5, 6, 2 * channels), (6, channels, 3, 3), dtype, padding=1, groups=2, layout="channels_last")
    check(device, wanted, height)
    vectors = {i.opcode for i in device.launches[-1].code if i.opcode.startswith("ld.global")}
    assert any(".v4." in opcode for opcode in vectors)
    x, w, _ = operands(wanted, 3)
    wide = np.zeros((2, 5, 6, 2 * channels + 1), x.dtype)
    wide[..., 1:] = x
    with arrays.using(device):
        options = {"padding": 1, "groups": 2, "layout": "channels_last", "algorithm": "im2col-mma"}
        shifted = convlab.conv2d(device.array(wide)[..., 1:], w, **options).copy_to_host()
    assert (shifted == convolve(device, wanted, (x, w, None))).all()


@pytest.mark.parametrize("x", [(0, 3, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_sum_is_the_bias(device, x):
    check(device, problem(x, (4, x[1], 3, 3), "float16", has_bias=True))


@DTYPES
@pytest.mark.parametrize("channels", [5, 32])
def test_padding_multiplies_and_what_fills_up_does_not(device, dtype, channels):
    """An infinite weight makes NaN of a padding zero; infinite inputs make no NaN of what is none."""
    wanted = problem((1, channels, 4, 6), (3, channels, 3, 3), dtype, padding=1)
    x, w, _ = operands(wanted, 3)
    w[2, 1, 0, 0], w[:2], x[0, 0] = np.inf, np.abs(w[:2]), np.inf
    result = convolve(device, wanted, (x, w, None))
    assert np.isnan(result[:, 2, 0]).all()
    assert not np.isnan(result[:, :2]).any()


def tf32(values):
    """Rounded to 11 bits, ties away from zero."""
    return ((values.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)


@pytest.mark.parametrize(("channels", "layout"), [(16, "channels_first"), (16, "channels_last"), (3, "channels_last")])
def test_operands_are_rounded_to_tf32(device, channels, layout):
    """To the nearest: one channel that is not zero gives the product of two rounded numbers, to the last bit."""
    x, w = np.zeros((1, channels, 5, 6), np.float32), np.zeros((4, channels, 1, 1), np.float32)
    rng = np.random.default_rng(2)
    x[:, 1], w[:, 1] = rng.standard_normal((5, 6)), rng.standard_normal((4, 1, 1))
    shape = x.shape if layout == "channels_first" else last(x.shape)
    given = x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, 1, -1))
    result = convolve(device, problem(shape, w.shape, layout=layout), (given, w, None))
    result = result if layout == "channels_first" else np.moveaxis(result, -1, 1)
    np.testing.assert_array_equal(result, tf32(x[:, 1:2]) * tf32(w[:, 1:2])[None, :, 0])


def test_kinds_of_error():
    """Products of float16 are exact, so "auto" may take it; TF32's are not, so it may for accuracy="reduced" only."""
    large = {"x": (32, 256, 28, 28), "w": (256, 256, 3, 3), "padding": 1}

    def picked(dtype, accuracy, **device):
        wanted = problem(**large, dtype=dtype)
        return select.pick(select.rank(wanted, "cuda", accuracy=accuracy, **device), wanted).name

    assert picked("float16", "componentwise") == picked("float32", "reduced") == "im2col-mma"
    assert picked("float32", "normwise") != "im2col-mma"
    assert picked("float16", "normwise", capability=(7, 5)) != "im2col-mma"
    few = problem((1, 3, 8, 8), (4, 3, 3, 3), "float16")  # 3 channels of 32, 4 filters of 64
    assert select.pick(select.rank(few, "cuda"), few).name != "im2col-mma"


def test_tiles_are_large_where_they_are_filled():
    assert height_for(32 * 56 * 56, 256) == LARGE
    assert height_for(32 * 56 * 56, 64) == height_for(56 * 56, 128) == SMALL


def test_what_it_cannot():
    gradient = of("2-D", direction="backward_weights")
    assert "the gradient of the weights" in Im2colMma().why_not(gradient)
    assert "not float64" in Im2colMma().why_not(of("2-D", dtype="float64"))
    x, w = np.ones((1, 2, 4, 4), np.float16), np.ones((2, 2, 3, 3), np.float16)
    with arrays.using(Device((7, 5))) as old:
        assert (convlab.conv2d(x, w, backend="cuda") == 18).all()  # "auto" takes another
        with pytest.raises(UnsupportedError, match="it needs compute capability 8.0, this device has 7.5"):
            convlab.conv2d(x, w, backend="cuda", algorithm="im2col-mma")
    with pytest.raises(UnsupportedError, match="it needs compute capability 8.0"):
        Im2colMma().prepare(of("2-D"), old.array(w), Context(device=old))


@functools.cache
def machine_code(dtype, height, reads, capability, activation=0):
    storage = from_dtype(np.dtype(dtype))
    types = (storage[::1],) * 3 + (int32[::1], storage[::1], *[int64] * 10, *[int32] * 17)
    return compiled(kernel(storage, height, activation, True, reads), types, capability, THREADS)


@pytest.mark.parametrize(
    ("dtype", "height", "reads", "share", "capabilities"),
    [
        ("float16", LARGE, TOGETHER, 0.44, [(8, 0), (9, 0)]),
        ("float16", LARGE, WHOLE, 0.29, [(8, 0), (9, 0)]),
        ("float16", LARGE, PART, 0.23, [(8, 0)]),
        ("float16", SMALL, WHOLE, 0.18, [(9, 0)]),
        ("float32", LARGE, TOGETHER, 0.33, [(8, 0)]),
        ("float32", LARGE, WHOLE, 0.29, [(8, 0), (9, 0)]),
        ("float32", SMALL, WHOLE, 0.18, [(9, 0)]),
    ],
)
def test_machine_code(dtype, height, reads, share, capabilities):
    """Products on tensor cores bound the loop, not what is around them."""
    for capability in capabilities:
        code = machine_code(dtype, height, reads, capability)
        assert code.misses(tensor=share, warps=8 if height == LARGE else 12) == []
        product = "HMMA.16816.F32" if dtype == "float16" else "HMMA.1688.F32.TF32"
        assert code.hot.names[product] == height // 2
        copies = [name for name in code.hot.names.elements() if name.startswith("LDGSTS.E.BYPASS.128")]
        assert len(copies) == height // 32
        assert code.hot.peak_fraction >= (0.99 if capability == (8, 0) or height == LARGE else 0.7)


def test_activations_do_not_spill():
    assert machine_code("float16", LARGE, WHOLE, (8, 0), GELU).misses(tensor=0.29, warps=8) == []


@pytest.mark.parametrize(
    ("dtype", "height", "layout"),
    [
        ("float16", LARGE, "channels_first"),
        ("float16", LARGE, "channels_last"),
        ("float16", SMALL, "channels_first"),
        ("float32", SMALL, "channels_first"),
        ("float32", LARGE, "channels_last"),
    ],
)
def test_memory_is_used_as_well_as_can_be(device, dtype, height, layout):
    """Shared memory: no bank is met twice in the loop, at most twice on the way out to channels that lie together.

    Global memory, where outputs lie together, but for each thread's own look into the tables: loads of an element a
    lane, whole sectors stored.
    """
    shape = (1, 64, 8, 32)
    wanted = problem(shape if layout == "channels_first" else last(shape), (height, 64, 1, 1), dtype, layout=layout)
    check(device, wanted, height)
    counters = device.launches[-1]
    kinds = {
        name: counters.accesses["shared"][[i for i, c in enumerate(counters.code) if c.opcode.startswith(name)]]
        for name in ("ldmatrix", "st.shared", "cp.async", "ld.shared")
    }
    for name in ("ldmatrix", "st.shared", "cp.async") + (("ld.shared",) if layout == "channels_first" else ()):
        _, found, ideal, _ = kinds[name].sum(0)
        assert 0 < found <= 1.1 * ideal, name
    if layout == "channels_first":
        assert counters.shared.excess <= 1.01
        for opcode in ("ld.global.u16" if dtype == "float16" else "ld.global.f32", "st.global", "cp.async"):
            own = [i for i, c in enumerate(counters.code) if c.opcode.startswith(opcode)]
            _, found, ideal, _ = counters.accesses["global"][own].sum(0)
            assert 0 < found <= 1.1 * ideal, opcode


@pytest.mark.parametrize(
    ("name", "dtype", "share"),
    [("A100", "float16", 0.9), ("A100", "float32", 0.9), ("H100", "float16", 0.55), ("H100", "float32", 0.6)],
)
def test_modelled_share_of_the_tensor_cores_peak(device, name, dtype, share):
    """VGG layers at batch 32: wavefronts as the emulator counts them in one block, scaled to all. An A100 lacks
    blocks in its last round; an H100 waits for shared memory."""
    gpu, images, slices, depth_of = GPUS[name], 32, 2, rows.channels_of(dtype)
    check(device, problem((1, slices * depth_of, 8, 16), (LARGE, slices * depth_of, 1, 1), dtype), LARGE)
    check(device, problem((1, 2 * slices * depth_of, 8, 16), (LARGE, 2 * slices * depth_of, 1, 1), dtype), LARGE)
    few, more = (counters.shared.transactions for counters in device.launches[1::2])
    code = machine_code(dtype, LARGE, WHOLE, gpu.capability)
    for channels, size in ((128, 112), (256, 56), (512, 28)):
        outputs, depth = images * size**2, 9 * channels
        blocks = -(-outputs // WIDTH) * (channels // LARGE)
        moved = np.dtype(dtype).itemsize * (2 * outputs * channels + channels * depth)
        wavefronts = (few + (depth / depth_of - slices) * (more - few) / slices) * blocks
        model = modelled(gpu, code.hot, 2 * outputs * channels * depth, wavefronts, moved, blocks)
        assert model.peak_fraction > share, (channels, model)
