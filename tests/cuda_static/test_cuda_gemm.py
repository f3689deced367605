"""C = A · B on the emulator against float64, and its machine code."""

import functools

import numpy as np
import pytest
from numba import float32, int32, int64

from convlab.kernels.cuda import gemm as module
from convlab.kernels.cuda.gemm import FINE, LARGE, SMALL, TALL, WIDE, gemm, kernel
from convlab.machinecode import GPUS, compiled, modelled

TILES = pytest.mark.parametrize("tile", [LARGE, FINE], ids=["large", "fine"])
TYPES = (*[float32[::1]] * 3, *[int32] * 7, *[int64] * 3)


@functools.cache
def machine_code(tile, aligned_a, aligned_b, capability):
    return compiled(kernel(tile, aligned_a, aligned_b), TYPES, capability, tile.threads)


def random(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def assert_product(got, a, b):
    """Within the bound of a sum of products in float32: γ(n) · |A|·|B| (Higham, "Accuracy and Stability", 3.5)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    n = a.shape[1] * 2.0**-24
    np.testing.assert_array_less(np.abs(got - a @ b), n / (1 - n) * (np.abs(a) @ np.abs(b)) + 1e-30)


@TILES
@pytest.mark.parametrize(
    ("rows", "cols", "depth"),
    [
        (1, 1, 1),
        (3, 5, 7),
        (128, 128, 8),
        (64, 64, 16),
        (129, 4, 24),
        (5, 132, 41),
        (131, 67, 19),
        (130, 260, 36),
        (257, 129, 9),
    ],
)
def test_product(device, tile, rows, cols, depth):
    rng = np.random.default_rng(rows + cols + depth)
    a, b = random(rng, rows, depth), random(rng, depth, cols)
    c = device.empty((rows, cols), np.float32)
    gemm(device.array(a), device.array(b), c, tile)
    assert_product(c.copy_to_host(), a, b)


@pytest.mark.parametrize(
    ("tile", "rows", "cols", "depth"),
    [(TALL, 130, 67, 19), (TALL, 67, 132, 20), (WIDE, 67, 132, 20), (SMALL, 67, 132, 20), (SMALL, 131, 67, 24)],
)
def test_other_tiles(device, tile, rows, cols, depth):
    test_product(device, tile, rows, cols, depth)


@pytest.mark.parametrize("tile", [FINE])
@pytest.mark.parametrize(("pitch", "cols"), [(48, 36), (43, 36), (48, 35)], ids=["aligned", "odd pitch", "odd width"])
def test_pieces_of_larger_matrices(device, tile, pitch, cols):
    """Rows further apart than they are long; what lies between and around them is NaN, and stays what it is."""
    rng = np.random.default_rng(pitch + cols)
    a, b = random(rng, 70, 20), random(rng, 20, cols)
    whole = {"a": np.full((72, pitch), np.nan, "f4"), "b": np.full((22, pitch), np.nan, "f4")}
    whole["c"] = np.full((72, pitch), 7, "f4")
    whole["a"][1:71, 4:24], whole["b"][1:21, 4 : 4 + cols] = a, b
    arrays = {name: device.array(values) for name, values in whole.items()}
    gemm(arrays["a"][1:71, 4:24], arrays["b"][1:21, 4 : 4 + cols], arrays["c"][1:71, 4 : 4 + cols], tile)
    found = arrays["c"].copy_to_host()
    assert_product(found[1:71, 4 : 4 + cols], a, b)
    found[1:71, 4 : 4 + cols] = 7
    assert (found == 7).all()


@pytest.mark.parametrize("sizes", [(3, 70, 8, 20), (5, 9, 67, 11)], ids=["aligned", "odd"])
@pytest.mark.parametrize("shared", ["", "a", "b"])
def test_batches(device, sizes, shared):
    count, rows, cols, depth = sizes
    rng = np.random.default_rng(count)
    a = random(rng, *(() if shared == "a" else (count,)), rows, depth)
    b = random(rng, *(() if shared == "b" else (count,)), depth, cols)
    c = device.empty((count, rows, cols), np.float32)
    gemm(device.array(a), device.array(b), c, SMALL)
    for index, found in enumerate(c.copy_to_host()):
        assert_product(found, a if shared == "a" else a[index], b if shared == "b" else b[index])
    assert len(device.launches) == 1


def test_batches_of_pieces(device):
    """Matrices further apart than they are long, in another order than they lie."""
    rng = np.random.default_rng(4)
    a, b, whole = random(rng, 3, 6, 9, 5), random(rng, 6, 5, 8), device.array(np.full((9, 6, 11), 7, np.float32))
    gemm(device.array(a)[1], device.array(b), whole[:, :, 1:9].transpose(1, 0, 2), SMALL)
    found = whole.copy_to_host()
    for index in range(6):
        assert_product(found[:, index, 1:9], a[1, index], b[index])
    assert (found[:, :, [0, 9, 10]] == 7).all()


def test_more_products_than_a_grid_has_blocks(device, monkeypatch):
    monkeypatch.setattr(module, "_GRID_Z", 2)
    a, b = (random(np.random.default_rng(5), *shape) for shape in ((5, 3, 4), (4, 2)))
    c = device.empty((5, 3, 2), np.float32)
    gemm(device.array(a), device.array(b), c, SMALL)
    for found, own in zip(c.copy_to_host(), a, strict=True):
        assert_product(found, own, b)
    assert [counters.blocks for counters in device.launches] == [2, 2, 1]


def test_batches_that_are_not_the_same_are_refused(device):
    with pytest.raises(ValueError, match="are not the same"):
        gemm(*(device.empty((n, 8, 8), np.float32) for n in (2, 3, 2)))


@pytest.mark.parametrize("of_a", [True, False])
def test_infinity_is_not_multiplied_by_what_fills_up_a_slice(device, of_a):
    a, b = np.ones((3, 9), np.float32), np.ones((9, 5), np.float32)
    (a[:, -1] if of_a else b[-1])[:] = np.inf
    c = device.empty((3, 5), np.float32)
    gemm(device.array(a), device.array(b), c, FINE)
    assert (c.copy_to_host() == np.inf).all()


def test_no_depth_is_zero(device):
    c = device.empty((5, 6), np.float32)
    gemm(device.empty((5, 0), np.float32), device.empty((0, 6), np.float32), c)
    assert not c.copy_to_host().any()


def test_no_rows_or_columns_launch_nothing(device):
    for rows, cols in ((0, 6), (5, 0)):
        arrays = (device.empty(shape, np.float32) for shape in ((rows, 3), (3, cols), (rows, cols)))
        gemm(*arrays)
    gemm(*(device.empty((0, 8, 8), np.float32) for _ in range(3)))
    assert device.launches == []


def test_columns_of_a_matrix_are_refused(device):
    a, b, c = (device.empty((8, 8), np.float32) for _ in range(3))
    with pytest.raises(ValueError, match="must lie together"):
        gemm(a.transpose(), b, c)


@pytest.mark.parametrize(
    ("capability", "tile", "aligned", "share", "warps"),
    [
        ((8, 0), LARGE, (True, True), 0.89, 16),
        ((9, 0), LARGE, (True, True), 0.89, 16),
        ((8, 0), LARGE, (False, False), 0.86, 16),
        ((9, 0), LARGE, (True, False), 0.88, 16),
        ((9, 0), TALL, (True, False), 0.87, 12),
        ((8, 0), WIDE, (True, True), 0.88, 12),
        ((8, 0), SMALL, (True, True), 0.88, 12),
        ((9, 0), SMALL, (False, False), 0.83, 12),
        ((8, 0), FINE, (False, False), 0.79, 16),
        ((9, 0), FINE, (True, True), 0.83, 16),
    ],
)
def test_hot_loop_is_multiply_adds(capability, tile, aligned, share, warps):
    """64 products for 4 loads from shared memory, 32 for 3 in fine tiles; a small tile takes twice as many elements a
    product as a large one."""
    assert machine_code(tile, *aligned, capability).misses(ffma=share, warps=warps) == []


@pytest.mark.parametrize("tile", [LARGE, TALL, WIDE, SMALL, FINE])
def test_memory_is_used_as_well_as_can_be(device, tile):
    a, b, c = (device.array(np.ones((256, 256), np.float32)) for _ in range(3))
    gemm(a, b, c, tile)
    (counters,) = device.launches
    assert counters.shared.excess == counters.device.excess == 1
    assert (counters.read, counters.written) == (2 * 4 * 256**2, 4 * 256**2)
    assert counters.device.bytes == 4 * 256**2 * (256 // tile.width + 256 // tile.height + 1)


@pytest.mark.parametrize(("name", "peak"), [("A100", 0.94), ("H100", 0.85)])
def test_modelled_share_of_the_peak(device, name, peak):
    """4096³: wavefronts as the emulator counts them in one block, scaled to all."""
    gpu, size, depth = GPUS[name], 4096, 256
    a, b, c = (device.array(np.ones(s, np.float32)) for s in ((128, depth), (depth, 128), (128, 128)))
    gemm(a, b, c)
    wavefronts = device.launches[0].shared.transactions * (size / 128) ** 2 * size / depth
    model = modelled(
        gpu,
        machine_code(LARGE, True, True, gpu.capability).hot,
        2 * size**3,
        wavefronts,
        3 * 4 * size**2,
        (size // 128) ** 2,
    )
    assert model.peak_fraction > peak
