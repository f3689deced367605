"""backward_weights by implicit GEMM on the emulator against the oracle, its machine code and its use of memory."""

import numpy as np
import pytest
from convolutions import MODES, assert_solves, last, numbers, of, problem
from numba import float32, int32, int64

from convlab.algorithms import lowering
from convlab.kernels.cuda import offsets, splits, thin_gradient, weight_gradient
from convlab.kernels.cuda.gemm import DEPTH
from convlab.kernels.cuda.geometry import tables
from convlab.kernels.cuda.tensor import tensor
from convlab.kernels.cuda.thin_gradient import Thin
from convlab.kernels.cuda.weight_gradient import LARGE, NARROW, SHARES, SMALL, Cut, cut, kernel
from convlab.machinecode import GPUS, compiled, modelled
from convlab.testing import operands


def solve(device, wanted, x, g):
    """With workspace that nothing has written."""
    (sweep,), is_last = lowering.sweeps(wanted), wanted.layout == "channels_last"
    extent, zero = lowering.extent(wanted), lowering.example(wanted)
    w, taps = device.empty(wanted.w_shape, wanted.dtype), tables(sweep.taps, device.array)
    outputs = extent.images * taps.outputs
    pieces = weight_gradient.cut(
        extent.groups, extent.filters, extent.channels * taps.taps, outputs, zero.itemsize
    ).splits
    places = device.empty(offsets.size(taps.taps, taps.outputs), np.int32)
    partials = device.empty(splits.partials(pieces, w.size), zero.dtype)
    images, gradients = (tensor(device.array(array), is_last) for array in (x, g))
    weight_gradient.weight_gradient(images, gradients, taps, extent, zero, places, partials, tensor(w))
    return w.copy_to_host()


def check(device, wanted, seed=1):
    arrays = operands(wanted, seed)
    assert_solves(wanted, solve(device, wanted, *arrays), arrays)


@pytest.fixture
def cuts(monkeypatch):
    """As given, whatever the problem: cuts(tile, length)."""

    def given(tile, length):
        def made(groups, filters, pairs, outputs, item):
            rows, columns = -(-filters // tile.height), -(-pairs // tile.width)
            return Cut(tile, rows, columns, max(-(-outputs // length), 1), length)

        monkeypatch.setattr(weight_gradient, "cut", made)

    return given


LAYOUTS = pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
TILES = pytest.mark.parametrize("tile", [LARGE, SMALL, NARROW], ids=["large", "small", "narrow"])


def gradient_of(x, w, layout="channels_first", **options):
    return problem(
        last(x) if layout == "channels_last" else x, w, layout=layout, direction="backward_weights", **options
    )


@LAYOUTS
@pytest.mark.parametrize("kind", ["1-D", "2-D", "3-D", "strided", "grouped", "uneven padding"])
def test_geometries(device, kind, layout):
    check(device, of(kind, direction="backward_weights", layout=layout))


@pytest.mark.parametrize("kind", ["pointwise", "sparse", "dilated", "depthwise", "multiplied"])
def test_other_geometries(device, kind):
    check(device, of(kind, direction="backward_weights"))


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(device, mode):
    check(device, of("strided", direction="backward_weights", padding_mode=mode))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(device, dtype, cuts):
    """Split and whole: halves are added up in float32 and rounded once."""
    for tile, length in ((SMALL, 1 << 10), (SMALL, 2 * DEPTH), (Thin(4, 4), 2 * DEPTH)):
        cuts(tile, length)
        check(device, of("strided", direction="backward_weights", dtype=dtype))


@LAYOUTS
@TILES
def test_tiles(device, tile, layout, cuts):
    """More than one tile each way, groups, splits of which the last is not full, images smaller than a slice."""
    cuts(tile, 3 * DEPTH)
    x, w = (11, 2 * 17, 3, 4), (2 * (tile.height + 3), 17, 2, 4)
    check(device, gradient_of(x, w, layout, groups=2, padding=((1, 0), (1, 1)), stride=2))


@LAYOUTS
@pytest.mark.parametrize("tile", [Thin(8, 5), Thin(1, 9)], ids=str)
def test_thin_blocks(device, tile, layout, cuts):
    """More than one each way, groups, splits that threads go through twice, images smaller than a block's threads."""
    cuts(tile, 20 * DEPTH)
    x, w = (11, 2 * 3, 3, 9), (2 * (tile.height + 3), 3, 2, 4)
    check(device, gradient_of(x, w, layout, groups=2, padding=((1, 0), (1, 1))))


@pytest.mark.parametrize("outputs", [1, 7, 8, 9, 16, 17])
def test_outputs_of_a_slice(device, outputs, cuts):
    cuts(NARROW, 1 << 10)
    check(device, gradient_of((1, 3, outputs), (5, 3, 1)))


def test_no_images_give_zeros(device):
    wanted = gradient_of((0, 3, 5, 5), (4, 3, 3, 3))
    assert not solve(device, wanted, *operands(wanted, 1)).any()


def test_more_splits_than_warps_add_up(device, cuts):
    cuts(NARROW, DEPTH)
    wanted = gradient_of((2, 2, 9, 9), (3, 2, 3, 3))
    check(device, wanted)
    arrays = operands(wanted, 4)
    assert (solve(device, wanted, *arrays) == solve(device, wanted, *arrays)).all()


@pytest.mark.parametrize("tile", [SMALL, Thin(4, 4)], ids=str)
def test_padding_multiplies_and_what_fills_up_does_not(device, tile, cuts):
    """An infinite gradient makes NaN of a padding zero, but not of outputs, filters or pairs that are none, in whose
    place of a slice or a tile others lie."""
    cuts(tile, 2 * DEPTH)
    wanted = gradient_of((1, 2, 5, 5), (3, 2, 3, 3), padding=1)
    x, g = operands(wanted, 2)
    x, g = np.abs(x) + 1, np.abs(g) + 1
    g[0, 1, 0, 2] = np.inf
    found = solve(device, wanted, x, g)
    assert np.isnan(found[1, :, 0]).all()
    assert (found[1, :, 1:] == np.inf).all()
    assert np.isfinite(np.delete(found, 1, axis=0)).all()
    x, g = np.abs(operands(gradient_of((1, 2, 5), (3, 2, 1)), 2)[0]) + 1, np.full((1, 3, 5), 1, np.float32)
    x[0, :, 0], g[0, 0, 0] = np.inf, np.inf
    assert (solve(device, gradient_of((1, 2, 5), (3, 2, 1)), x, g) == np.inf).all()


def test_cuts_fill_a_device_and_no_more():
    """ResNet layers at batch 32, and one image."""
    outputs = 32 * 56 * 56
    for filters, pairs, tile in ((64, 64 * 9, SMALL), (256, 256 * 9, LARGE), (64, 27, NARROW)):
        made = cut(1, filters, pairs, outputs, 4)
        assert made.tile == tile
        assert 0.9 * splits.BLOCKS < made.rows * made.columns * made.splits < 1.2 * splits.BLOCKS
        assert made.length * (made.splits - 1) < outputs <= made.length * made.splits
    assert cut(1, 4096, 4096, 10**6, 4).splits == 1  # enough blocks without
    assert cut(1, 64, 64, 200, 4).splits == 1  # too few outputs
    assert cut(1, 256, 256 * 9, outputs, 8).tile == SMALL
    assert cut(64, 1, 9, outputs, 4).tile == Thin(1, 9)  # depthwise
    assert cut(32, 4, 36, outputs, 4).tile == Thin(4, 12)
    assert cut(1, 8, 50, outputs, 4).tile == Thin(8, 8)


def signature(storage, written):
    return (storage[::1], storage[::1], int32[::1], written[::1], *[int64] * 10, *[int32] * 11)


@pytest.mark.parametrize(("layout", "capability"), [("channels_first", (8, 0)), ("channels_last", (9, 0))])
@TILES
def test_machine_code(tile, layout, capability):
    made = kernel(float32, float32, float32, tile, layout == "channels_last")
    code = compiled(made, signature(float32, float32), capability, tile.threads)
    assert code.misses(ffma=SHARES[tile], warps=16) == []


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_machine_code_of_other_dtypes(dtype):
    storage, total = numbers(dtype)
    tile = LARGE if dtype == "float16" else SMALL
    code = compiled(kernel(storage, total, total, tile, False), signature(storage, total), (8, 0), tile.threads)
    if dtype == "float64":
        assert code.misses(double=True, warps=8) == []
    else:
        assert code.misses(ffma=0.76, warps=16) == []


@pytest.mark.parametrize(
    ("tile", "dtype", "warps"),
    [
        (Thin(8, 8), "float32", 12), (Thin(4, 12), "float32", 12), (Thin(1, 9), "float32", 24),
        (Thin(2, 16), "float32", 12), (Thin(1, 16), "float16", 24),
        (Thin(8, 4), "float64", 8), (Thin(1, 8), "float64", 16),
    ],
    ids=str,
)  # fmt: skip
def test_machine_code_of_thin_blocks(tile, dtype, warps):
    storage, total = numbers(dtype)
    made = thin_gradient.kernel(storage, total, total, tile, False)
    code = compiled(made, signature(storage, total), (9, 0) if dtype == "float32" else (8, 0), tile.threads)
    share = 0.9 * tile.share if dtype == "float32" else None
    assert code.misses(ffma=share, warps=warps, double=dtype == "float64") == []


@LAYOUTS
def test_memory_is_used_as_well_as_can_be(device, layout, cuts):
    """Whole tiles, 1x1, because a shifted row meets a sector more: shared memory, and what is read of global memory."""
    cuts(LARGE, 8 * DEPTH)
    check(device, gradient_of((1, 128, 8, 16), (128, 128, 1, 1), layout))
    (counters,) = (c for c in device.launches if c.function == "weight_gradient")
    assert counters.shared.excess <= 1.1
    rows = [i for i, instruction in enumerate(counters.code) if "ld." in instruction.opcode]
    _, transactions, ideal = counters.accesses["global"][rows].sum(0)[:3]
    assert transactions <= 1.1 * ideal


@pytest.mark.parametrize("name", ["A100", "H100"])
def test_modelled_share_of_the_peak(device, name, cuts):
    """VGG layers at batch 32, partial sums included: wavefronts as the emulator counts them in one block."""
    gpu, images, slices = GPUS[name], 32, 4
    cuts(LARGE, slices * DEPTH)
    check(device, gradient_of((1, 128, slices, DEPTH), (128, 128, 1, 1)))
    (counters,) = (c for c in device.launches if c.function == "weight_gradient")
    of_slice = counters.shared.transactions / slices
    code = compiled(kernel(float32, float32, float32, LARGE, False), signature(float32, float32), gpu.capability, 256)
    for channels, size in ((128, 112), (256, 56), (512, 28)):
        outputs, weights = images * size**2, 9 * channels * channels
        made = cut(1, channels, 9 * channels, outputs, 4)
        blocks = made.rows * made.columns * made.splits
        moved = 4 * (2 * outputs * channels + weights * (1 + 2 * made.splits))
        flops, wavefronts = 2 * outputs * weights, of_slice * blocks * made.length / DEPTH
        assert modelled(gpu, code.hot, flops, wavefronts, moved, blocks).peak_fraction > 0.7
