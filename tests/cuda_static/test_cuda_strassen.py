"""Strassen's scheme on the emulator against float64, its machine code, and from which size on it is modelled to pay."""

import functools

import numpy as np
import pytest
from convolutions import MODES, of
from numba import float32, int32, int64

import convlab
from convlab import arrays, select
from convlab.algorithms.cuda import strassen as algorithm
from convlab.algorithms.strassen import bound
from convlab.kernels.bilinear import LADERMAN, STRASSEN, WINOGRAD, scheme
from convlab.kernels.cuda import sums
from convlab.kernels.cuda.schedule import INTO, OPERAND, TARGET, Products, Sums, groups, scheduled, strassen_schedule
from convlab.kernels.cuda.strassen import ALIGNED, UNALIGNED, kernel, strassen, workspace
from convlab.kernels.cuda.unfold import unfolded
from convlab.machinecode import GPUS, compiled, modelled
from convlab.problem import ConvProblem
from convlab.testing import operands
from convlab.testing.judge import assert_within

LEVELS = pytest.mark.parametrize("levels", [1, 2])
# What differs in signs alone is not compiled again.
FACTORS = [((1, 1), (1, 1)), ((1, 1), (1,)), ((1,), (1, 1))]
MATRIX = float32[:, ::1]
TYPES = (MATRIX, MATRIX, MATRIX, int32[::1], *[int32] * 8)


def multiply(device, levels, a, b, c):
    """The product of device arrays; the workspace, which nothing was written to, is of just the size that it says."""
    schedule = strassen_schedule(levels)
    elements = workspace(schedule, a.shape[0], b.shape[1], a.shape[1])
    memory = tuple(device.empty(size, np.float32) for size in elements) if any(elements) else ()
    strassen(a, b, c, schedule, device.array(schedule.lines.reshape(-1)), memory)


def small_integers(rng, *shape):
    """Of which every sum is exact: no rounding hides a wrong factor."""
    return rng.integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("levels", "rows", "cols", "depth"),
    [
        (1, 2, 8, 16),
        (1, 20, 24, 32),
        (1, 3, 13, 25),  # something of each peeled off
        (1, 5, 12, 19),
        (1, 21, 20, 17),
        (1, 1, 50, 40),  # all of it
        (1, 5, 4, 40),
        (1, 8, 64, 7),
        (2, 40, 48, 64),
        (2, 7, 33, 66),
        (2, 3, 50, 40),
    ],
)
def test_product(device, levels, rows, cols, depth):
    rng = np.random.default_rng(rows + cols + depth)
    a, b = small_integers(rng, rows, depth), small_integers(rng, depth, cols)
    c = device.empty((rows, cols), np.float32)
    multiply(device, levels, device.array(a), device.array(b), c)
    assert np.array_equal(c.copy_to_host(), a @ b)


@pytest.mark.parametrize("cols", [296, 301], ids=["aligned", "unaligned"])
def test_several_tiles(device, cols):
    """Incomplete ones at the edges; and the same bits every time."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((282, 48), (48, cols)))
    results = []
    for _ in range(2):
        c = device.empty((282, cols), np.float32)
        multiply(device, 1, device.array(a), device.array(b), c)
        results.append(c.copy_to_host())
    a, b = a.astype(np.float64), b.astype(np.float64)
    # Higham, "Accuracy and Stability", section 23.2.2: one level.
    assert np.abs(results[0] - a @ b).max() <= 40 * 2.0**-24 * 12 * 24 * np.abs(a).max() * np.abs(b).max()
    assert np.array_equal(*results)


@pytest.mark.parametrize(("pitch", "cols"), [(100, 52), (97, 52), (100, 51)], ids=["aligned", "odd pitch", "odd width"])
def test_pieces_of_larger_matrices(device, pitch, cols):
    """Rows further apart than they are long; what lies between and around them is NaN, and stays what it is."""
    rng = np.random.default_rng(pitch + cols)
    a, b = small_integers(rng, 37, 70), small_integers(rng, 70, cols)
    whole = {"a": np.full((40, pitch), np.nan, "f4"), "b": np.full((72, pitch), np.nan, "f4")}
    whole["c"] = np.full((40, pitch), 7, "f4")
    whole["a"][1:38, 4:74], whole["b"][1:71, 4 : 4 + cols] = a, b
    on = {name: device.array(values) for name, values in whole.items()}
    multiply(device, 1, on["a"][1:38, 4:74], on["b"][1:71, 4 : 4 + cols], on["c"][1:38, 4 : 4 + cols])
    found = on["c"].copy_to_host()
    assert np.array_equal(found[1:38, 4 : 4 + cols], a @ b)
    found[1:38, 4 : 4 + cols] = 7
    assert (found == 7).all()


def test_columns_of_a_matrix_are_refused(device):
    a, b, c = (device.empty((32, 32), np.float32) for _ in range(3))
    with pytest.raises(ValueError, match="must lie together"):
        multiply(device, 1, a.transpose(), b, c)


@LEVELS
def test_products_made_at_once_write_different_blocks(levels):
    steps = [step for step in strassen_schedule(levels).steps if isinstance(step, Products)]
    assert len(steps) == 4**levels
    assert sum(step.many for step in steps) == 7**levels
    for step in steps:
        lines = strassen_schedule(levels).lines[step.line : step.line + step.many, 2 * OPERAND :]
        blocks = [(row, column) for row, column, factor, _ in lines.reshape(-1, TARGET).tolist() if factor]
        assert len(blocks) == len(set(blocks))


def test_products_of_one_block_are_not_made_at_once():
    """Though one kernel would do for them: Strassen's have no such."""
    sum_of_two = scheme(1, 2, 1, "a11 | b11 | c11\na12 | b21 | c11")
    assert [len(group) for group in groups(sum_of_two)] == [1, 1]


@pytest.mark.parametrize(("outer", "inner"), [(STRASSEN, WINOGRAD), (LADERMAN, STRASSEN)])
def test_sums_of_too_many_blocks_are_refused(outer, inner):
    with pytest.raises(ValueError, match="the kernel sums 2"):
        scheduled(outer, inner)


def problem(direction, layout, images=2, channels=(38, 42), size=(8, 9)):
    x = (images, 2 * channels[0], *size) if layout == "channels_first" else (images, *size, 2 * channels[0])
    w = (2 * channels[1], channels[0], 1, 1)
    return ConvProblem.forward(x, w, groups=2, layout=layout, direction=direction)


@pytest.mark.parametrize(
    ("layout", "direction", "levels"),
    [
        ("channels_first", "forward", 1),
        ("channels_first", "backward_data", 1),
        ("channels_last", "forward", 1),
        ("channels_last", "backward_data", 1),
        ("channels_first", "forward", 2),
    ],
)
def test_convolution(device, monkeypatch, layout, direction, levels):
    """Groups and images of which each has another size of values; the plan holds the workspace that is needed."""
    monkeypatch.setattr(algorithm, "levels", lambda *sizes: levels)
    wanted = problem(direction, layout)
    x, w, _ = operands(wanted, 1)
    x[0] *= 1000
    expected = convlab.reference.solve(wanted, x, w, None)
    with arrays.using(device):
        plan = convlab.plan(wanted, w, algorithm="strassen", backend="cuda", accuracy="reduced")
        result = plan(x)
    together = layout == "channels_last"
    assert_within(
        result, expected, bound(strassen_schedule(levels).scheme, wanted, (x, w, None), images_together=together)
    )
    assert (plan.workspace_bytes > 0) == (levels == 2)


def test_it_is_named_but_never_picked_where_a_bound_for_each_filter_was_promised(device):
    large = ConvProblem.forward((1, 8192, 96, 96), (8192, 8192, 1, 1))
    ranked = select.rank(large, backend="cuda", accuracy="reduced", capability=(7, 5))  # where TF32 is not
    assert select.pick(ranked, large).name == "strassen"
    for accuracy in ("normwise", "componentwise"):
        ranked = select.rank(large, backend="cuda", accuracy=accuracy)
        assert "strassen" not in [c.name for c in ranked if c.eligible]


@functools.cache
def code(capability, tile, aligned, left, right):
    return compiled(kernel(tile, aligned, left, right), TYPES, capability, tile.threads)


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("factors", FACTORS)
def test_large_tiles_are_multiply_adds(factors, capability):
    """As gemm's are; and no sum waits for a load that was only just begun."""
    made = code(capability, ALIGNED, True, *factors)
    assert made.misses(ffma=0.86, warps=16) == []
    opcodes = [instruction.head for instruction in made.hot.code] * 2
    sums_at = [i for i, opcode in enumerate(opcodes) if opcode == "FADD" and i >= len(opcodes) // 2]
    assert sums_at
    assert all("LDG" not in opcodes[i - 128 : i] for i in sums_at)


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_small_tiles_are_mostly_multiply_adds(capability):
    assert code(capability, UNALIGNED, False, *FACTORS[0]).misses(ffma=0.72, warps=16) == []


def test_written_sums_leave_room_for_many_warps():
    types = (MATRIX, int32[::1], *[int32] * 4, MATRIX)
    assert compiled(sums.kernel(True, (1, 1)), types, (8, 0), 256).misses(warps=64) == []


def test_memory_is_used_as_well_as_can_be(device):
    """Blocks of a tile each, one level and two: no bank conflict, no sector too many."""
    for levels in (1, 2):
        size = ALIGNED.height << levels
        a, b = (device.array(np.ones(shape, np.float32)) for shape in ((size, 32), (32, size)))
        multiply(device, levels, a, b, device.empty((size, size), np.float32))
    assert all(counters.shared.excess == counters.device.excess == 1 for counters in device.launches)


def seconds(gpu, levels, size, wavefronts):
    """Modelled, of a square product; 0 levels are gemm: the same kernel, one product of one block and one."""
    if levels == 0:
        steps, lines, blocks = [Products(0, 1, ((1,), (1,)), (False, False))], np.array([[0] * 8 + [0, 0, 1, 0]]), 1
        lines = np.pad(lines, [(0, 0), (0, 12)])
    else:
        steps, lines, blocks = *strassen_schedule(levels)[1:3], 2**levels
    n, total = size // blocks, 0.0
    for step in steps:
        if isinstance(step, Sums):
            total += step.many * 3 * 4 * (2 * n) ** 2 / (gpu.bandwidth * 1e9)
            continue
        targets = lines[step.line : step.line + step.many, 2 * OPERAND :].reshape(-1, INTO, TARGET)
        moved = int(((targets[..., 2] != 0) * (1 + targets[..., 3])).sum())
        moved += step.many * sum(len(factors) for factors in step.factors)
        tiles = step.many * (-(-n // ALIGNED.height)) ** 2
        left, right = (tuple(abs(factor) for factor in side) for side in step.factors)
        hot = code(gpu.capability, ALIGNED, True, left, right).hot
        shared = wavefronts * tiles * n
        total += modelled(gpu, hot, 2 * n**3 * step.many, shared, 4 * moved * n**2, tiles).seconds
    return total


@pytest.mark.parametrize(("name", "first", "second"), [("A100", 3072, 6144), ("H100", 4096, 8192)])
def test_modelled_size_from_which_it_pays(device, name, first, second):
    """Against gemm; wavefronts of a tile as the emulator counts them, over the steps of the depth."""
    gpu, tile, depth = GPUS[name], ALIGNED.height, 32
    a, b = (device.array(np.ones(shape, np.float32)) for shape in ((2 * tile, depth), (depth, 2 * tile)))
    multiply(device, 1, a, b, device.empty((2 * tile, 2 * tile), np.float32))
    wavefronts = device.launches[0].shared.transactions / (depth // 2)
    times = {
        n: [seconds(gpu, levels, n, wavefronts) for levels in range(3)]
        for n in (2048, 4096, 8192, 16384, first, second)
    }
    for n, (plain, once, twice) in times.items():
        assert (once < plain) == (n >= first)
        assert twice < once or n < second
    plain, once, twice = times[16384]
    assert plain / once > 1.1
    assert plain / twice > 1.2


def test_levels_are_chosen_by_cost():
    assert [algorithm.levels(n, n, n) for n in (64, 2048, 4096, 8192, 16384)] == [1, 1, 1, 2, 2]
    assert algorithm.levels(16384, 16384, 256) == 1
    assert algorithm.levels(32, 196, 16) == 1  # two would find nothing to do


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kind", ["1-D", "2-D", "3-D", "strided", "dilated", "grouped", "uneven padding"])
def test_patches(device, kind, layout):
    wanted = of(kind, layout=layout)
    x, w, _ = operands(wanted, 1)
    with arrays.using(device):
        plan = convlab.plan(wanted, w, algorithm="strassen", backend="cuda")
        found = plan(x)
    limit = convlab.get_algorithm("strassen", "cuda").error_model(wanted).bound(wanted, (x, w, None))
    assert_within(found, convlab.reference.solve(wanted, x, w, None), limit)
    (counters,) = {c.function: c for c in device.launches if c.function == "unfolded"}.values()
    assert counters.device.excess <= 1.6  # small images: rows of a few elements
    assert compiled_unfold((9, 0)).misses() == []


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(device, mode):
    wanted = of("2-D", padding_mode=mode)
    x, w, _ = operands(wanted, 1)
    with arrays.using(device):
        found = convlab.plan(wanted, w, algorithm="strassen", backend="cuda")(x)
    limit = convlab.get_algorithm("strassen", "cuda").error_model(wanted).bound(wanted, (x, w, None))
    assert_within(found, convlab.reference.solve(wanted, x, w, None), limit)


@functools.cache
def compiled_unfold(capability):
    types = (float32[::1], int32[::1], float32[::1], *[int64] * 6, *[int32] * 14)
    return compiled(unfolded, types, capability, 256)
