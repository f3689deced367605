"""convlab.kernels from outside: tables of taps, intrinsics in @njit functions, packed weights, shares of work."""

import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import types
from numba.extending import intrinsic

from convlab import ConvProblem
from convlab.kernels import taps
from convlab.kernels.cpu import half, memory, simd, tile, transpose, weights
from convlab.kernels.cpu.parallel import split
from convlab.kernels.cpu.tensor import storage, zero

# -- tables of taps: every output and tap of an axis against the definition


def reads(axis):
    """{(output, tap): what it reads}, out of an axis's tables."""
    return {
        (axis.first + n * axis.stride, r): int(axis.source[n * axis.step + offset])
        for n in range(axis.outputs)
        for r, offset in zip(axis.taps, axis.offsets, strict=True)
    }


axes = st.fixed_dictionaries(
    {"kernel": st.integers(1, 5), "stride": st.integers(1, 4), "dilation": st.integers(1, 3), "lo": st.integers(0, 4)}
)


@given(axes, st.integers(1, 12), st.integers(0, 4), st.sampled_from(("zeros", "reflect", "replicate", "circular")))
def test_forward_axis(axis, size, hi, mode):
    padded = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    lo, stride, dilation, kernel = axis["lo"], axis["stride"], axis["dilation"], axis["kernel"]
    longest = {"reflect": size - 1, "circular": size}.get(mode, 4)
    lo, hi = min(lo, longest), min(hi, longest)
    out = (size + lo + hi - (kernel - 1) * dilation - 1) // stride + 1
    if out < 1:
        return
    fill = {"constant_values": -1} if mode == "zeros" else {}
    at = np.pad(np.arange(size), (lo, hi), padded, **fill)
    expected = {(o, r): at[o * stride + r * dilation] for o in range(out) for r in range(kernel)}
    assert reads(taps.forward_axis(out, size, kernel, stride, dilation, lo, mode)) == expected


@given(axes, st.integers(1, 6), st.integers(0, 3))
def test_backward_axes(axis, out, extra):
    lo, stride, dilation, kernel = axis["lo"], axis["stride"], axis["dilation"], axis["kernel"]
    size = max((out - 1) * stride + (kernel - 1) * dilation + 1 - lo, 1) + extra
    phases = taps.backward_axes(size, out, kernel, stride, dilation, lo)
    expected = {}  # of those that read a gradient
    for o in range(out):
        for r in range(kernel):
            if 0 <= (i := o * stride + r * dilation - lo) < size:
                expected[i, r] = o
    found = [pair for phase in phases for pair in reads(phase).items()]
    assert len(found) == len(dict(found))
    assert {key: o for key, o in found if o >= 0} == expected
    outputs = [phase.first + n * phase.stride for phase in phases for n in range(phase.outputs)]
    assert sorted(outputs) == list(range(size))


def test_sweeps_are_all_combinations_and_name_their_weights():
    phases = [taps.backward_axes(size, 3, kernel, 2, 1, 1) for size, kernel in ((5, 3), (4, 2))]
    sweeps = list(taps.sweeps(phases, (3, 2)))
    assert [sweep.first for sweep in sweeps] == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]
    assert {sweep.stride for sweep in sweeps} == {(1, 2, 2)}
    used = np.concatenate([sweep.weights for sweep in sweeps])
    assert sorted(used) == list(range(6))
    for sweep in sweeps:
        h, w = phases[0][sweep.first[1]], phases[1][sweep.first[2]]
        assert sweep.weights.tolist() == [2 * r + s for r in h.taps for s in w.taps]


@pytest.mark.parametrize(
    ("source", "expected"),
    [([0, 1, 2], [3, 2, 1]), ([-1, -1, 0, 1, -1], [0, 0, 2, 1, 0]), ([2, 1, 0, 1, 2, 1], [1, 1, 3, 2, 1, 1]),
     ([3, 4, 0, 1], [2, 1, 2, 1]), ([-1, 0], [0, 1]), ([-1], [0]), ([0, 0], [1, 1])],
)  # fmt: skip
def test_runs(source, expected):
    assert taps.runs(np.array(source)).tolist() == expected


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
def test_tables_grow_with_the_signal_and_not_with_the_kernel(direction):
    from convlab.algorithms.lowering import sweeps

    problem = ConvProblem.forward((1, 1, 10**6), (1, 1, 1001), direction=direction)
    tracemalloc.start()
    (sweep,) = sweeps.__wrapped__(problem)  # uncached
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = sum(array.nbytes for array in (*sweep.taps, sweep.weights) if isinstance(array, np.ndarray))
    assert held < 17e6  # two integers a position; one a position and tap would be 8 GB
    assert peak < 64e6


# -- intrinsics: storage and accumulators of every kind

KINDS = ("float32", "float64", "float16", "uint8", "int16")


def sample(dtype, *shape, low=-3):
    """Small whole numbers, exact in every dtype."""
    values = np.random.default_rng(0).integers(0 if dtype == "uint8" else low, 4, shape)
    return values.astype(dtype)


@numba.njit
def widened(source, zero, target):
    for i in range(len(source)):
        target[i] = memory.load_at(source, zero, memory.address(source) + i * source.itemsize)


@numba.njit
def narrowed(source, target):
    for i in range(len(source)):
        memory.store_at(target, memory.address(target) + i * target.itemsize, source[i])


@numba.njit
def repeated(source, target):
    for i in range(len(source)):
        target[i] = memory.raw_at(source, memory.address(source) + i * source.itemsize)


@pytest.mark.parametrize("dtype", KINDS)
def test_an_element_is_loaded_and_stored(dtype):
    values = sample(dtype, 9)
    wide = np.empty(9, type(zero(values.dtype)))
    widened(storage(values), zero(values.dtype), wide)
    assert np.array_equal(wide.astype(dtype), values)
    back = np.zeros(9, dtype)
    narrowed(wide, storage(back))
    assert np.array_equal(back, values)
    back[:] = 0
    repeated(storage(values), storage(back))
    assert np.array_equal(back, values)


def test_halves_round_as_numpys_do():
    ties, ends = [1 + 2**-11, 1 + 3 * 2**-11, 2**-25], [65519, 65520, -1e9, 1.1 * 2**-25, 1e-30, np.inf, np.nan]
    values = np.array(ties + ends, np.float32)
    halves, back = np.zeros(len(values), "f2"), np.zeros(len(values), "f4")
    narrowed(values, storage(halves))
    with np.errstate(over="ignore"):
        expected = values.astype("f2")
    assert np.array_equal(halves, expected, equal_nan=True)
    widened(storage(halves), np.float32(0), back)
    assert np.array_equal(back, expected.astype("f4"), equal_nan=True)


@intrinsic
def widen(typingctx, bits):
    def codegen(context, builder, signature, args):
        return half.widen(builder, args[0], instructions=False)

    return types.float32(types.uint16), codegen


@intrinsic
def narrow(typingctx, value):
    def codegen(context, builder, signature, args):
        return half.narrow(builder, args[0], instructions=False)

    return types.uint16(types.float32), codegen


@numba.njit
def by_arithmetic(bits, wide, values, narrowed):
    for i in range(len(bits)):
        wide[i] = widen(bits[i])
    for i in range(len(values)):
        narrowed[i] = narrow(values[i])


def test_halves_without_instructions():
    bits = np.arange(2**16, dtype=np.uint16)
    halves = bits.view(np.float16).astype(np.float32)
    finite = np.unique(halves[np.isfinite(halves)])
    ties = ((finite[1:].astype(np.float64) + finite[:-1]) / 2).astype(np.float32)
    near = [np.nextafter(ties, np.float32(to)) for to in (-np.inf, np.inf)]
    beyond = np.array([65520, 1e30, 1e-30, np.inf, -np.inf, np.nan], np.float32)
    values = np.concatenate([finite, ties, *near, beyond])
    wide, narrowed = np.empty_like(halves), np.empty(len(values), np.uint16)
    by_arithmetic(bits, wide, values, narrowed)
    assert np.array_equal(wide, halves, equal_nan=True)
    with np.errstate(over="ignore", under="ignore"):
        assert np.array_equal(narrowed.view(np.float16), values.astype(np.float16), equal_nan=True)
    assert np.array_equal(np.signbit(wide), np.signbit(halves))


@numba.njit
def stored(buffer, target, zero):
    lanes = simd.lanes(zero)
    memory.store_vector(target, memory.address(target) + target.itemsize, buffer, 2)  # from element 2 to element 1
    return lanes


@numba.njit
def copied(source, target, zero):
    memory.copy_vector(source, memory.address(source) + 3 * source.itemsize, target, memory.address(target), zero)


@pytest.mark.parametrize("dtype", KINDS)
def test_a_vector_is_stored_and_copied(dtype):
    example = zero(np.dtype(dtype))
    values, target = sample(dtype, 200), np.full(200, 9, dtype)
    lanes = stored(values.astype(type(example)), storage(target), example)
    assert lanes == simd.VECTOR_BYTES // example.itemsize
    assert np.array_equal(target[1 : lanes + 1], values[2 : lanes + 2])
    assert (target[lanes + 1 :] == 9).all()
    assert target[0] == 9
    target[:] = 9
    copied(storage(values), storage(target), example)
    assert np.array_equal(target[:lanes], values[3 : lanes + 3])
    assert (target[lanes:] == 9).all()


@numba.njit
def on_the_stack(like, start):
    one, many = memory.stack(like, 5), memory.stack_vectors(like, 2)
    starts = memory.address(one) % simd.CACHE_LINE + memory.address(many) % simd.CACHE_LINE
    one[0] = start
    for i in range(1, len(one)):
        one[i] = one[i - 1] + one[0]
    for i in range(len(many)):
        many[i] = one[i % 5]
    total = one[0]
    for i in range(1, len(many)):
        total += many[i]
    return starts, len(many), total


def test_stack_arrays_are_aligned_and_hold_what_is_written():
    starts, lanes, total = on_the_stack(np.float64(0), 1.0)
    assert (starts, lanes) == (0, 2 * simd.VECTOR_BYTES // 8)
    assert total == sum(1 + i % 5 for i in range(lanes))


@numba.njit
def transposed(buffer, target, columns, count, zero):
    lanes = simd.lanes(zero)
    if transpose.transposes(zero):
        transpose.store_columns(
            target, memory.address(target), columns * target.itemsize, buffer, 1, lanes + 3, count, 7
        )


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint32"])
def test_columns_of_vectors_become_rows_in_memory(dtype):
    example = zero(np.dtype(dtype))
    lanes = simd.VECTOR_BYTES // example.itemsize
    values = sample(dtype, 1 + lanes * (lanes + 3))
    vectors = values[1:].reshape(lanes, lanes + 3)[:, :lanes]
    for count in range(1, lanes + 1):
        target = np.full((lanes, lanes + 2), 9, dtype)
        transposed(values.astype(type(example)), storage(target.reshape(-1)), lanes + 2, count, example)
        assert np.array_equal(target[:, :count], vectors[:count].T)
        assert (target[:, count:] == 9).all(), f"{count} columns, and more was written"


@numba.njit
def can_transpose(zero):
    return transpose.transposes(zero)


def test_transposes_are_for_up_to_16_lanes():
    assert can_transpose(np.float64(0))
    assert can_transpose(np.uint8(0)) == (simd.VECTOR_BYTES <= 16)


@numba.njit
def below_zero(number):
    return simd.is_negative(number)


@numba.njit
def as_type_of(number, like):
    return simd.cast_like(number, like)


def test_signs_and_casts():
    assert [below_zero(np.uint8(n)) for n in (0, 127, 128, 255)] == [False, False, True, True]
    assert as_type_of(3.0, np.float32(0)) == 3
    assert as_type_of(300, np.uint8(0)) == 44


# -- register tiles


@numba.njit
def product(a, b, depth, zero, sums):
    """sums += aᵀ · b in a tile of 3 rows and 2 vectors: a (depth, 3), b (depth, 2 vectors), sums (3, 2 vectors)."""
    total = tile.load(tile.zeros(zero, 3, 2), sums, 0)
    p, q = memory.address(a), memory.address(b)
    for _ in range(depth):
        total = tile.outer_strided(total, a, p, a.itemsize, b, q)
        p += 3 * a.itemsize
        q += 2 * simd.lanes(zero) * b.itemsize
    tile.store(total, sums, 0)


@numba.njit
def gathered_product(a, places, depth, zero, b, sums):
    """The same, with row i of a at byte places[i] of it, once step by step and once by a growing shift."""
    first = tile.zeros(zero, 3, 2)
    second = tile.zeros(zero, 3, 2)
    for i in range(3):
        places[i] += memory.address(a)
    rows, step, q = tile.addresses(places, 0, 3), tile.addresses(places, 3, 3), memory.address(b)
    moving = rows
    for d in range(depth):
        first = tile.outer_at(first, a, moving, b, q)
        moving = tile.advance(moving, step)
        second = tile.outer_shifted(second, a, rows, d * a.itemsize, b, q)
        q += 2 * simd.lanes(zero) * b.itemsize
    tile.store(first, sums, 0)
    tile.store(second, sums, 6 * simd.lanes(zero))


@pytest.mark.parametrize("dtype", KINDS)
def test_tile_sums_outer_products(dtype):
    example, depth = zero(np.dtype(dtype)), 5
    width = 2 * simd.VECTOR_BYTES // example.itemsize
    a, b, start = sample(dtype, depth, 3), sample(dtype, depth, width), sample(dtype, 3, width)
    accumulator = type(example)
    sums = start.astype(accumulator)
    expected = (sums + a.astype(accumulator).T @ b.astype(accumulator)).astype(dtype)
    product(storage(a.reshape(-1)), storage(b.reshape(-1)), depth, example, sums.reshape(-1))
    assert np.array_equal(sums.astype(dtype), expected)


@pytest.mark.parametrize("dtype", KINDS)
def test_tile_reads_rows_wherever_they_are(dtype):
    example, depth = zero(np.dtype(dtype)), 4
    width, item = 2 * simd.VECTOR_BYTES // example.itemsize, np.dtype(dtype).itemsize
    a, b = sample(dtype, 3, depth + 2), sample(dtype, depth, width)
    accumulator = type(example)
    places = np.array([(depth + 2) * item * i for i in (2, 0, 1)] + [item] * 3, np.intp)
    sums = np.zeros((2, 3, width), accumulator)
    gathered_product(storage(a.reshape(-1)), places, depth, example, storage(b.reshape(-1)), sums.reshape(-1))
    expected = (a[[2, 0, 1], :depth].astype(accumulator) @ b.astype(accumulator)).astype(dtype)
    assert np.array_equal(sums[0].astype(dtype), expected)
    assert np.array_equal(sums[1].astype(dtype), expected)


def test_products_are_fused_where_the_machine_can():
    example = np.float32(0)
    width = 2 * simd.VECTOR_BYTES // 4
    a = np.full((1, 3), 1 + 2**-12, np.float32)
    b, sums = np.full((1, width), 1 + 2**-12, np.float32), np.full((3, width), -(1 + 2**-11), np.float32)
    product(a.reshape(-1), b.reshape(-1), 1, example, sums.reshape(-1))
    assert (sums == (2.0**-24 if simd.HAS_FMA else 0)).all()


# -- weights in panels


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "complex64", "complex128"])
@pytest.mark.parametrize(
    ("groups", "filters", "channels", "kernel", "wide", "narrow"),
    [(1, 13, 2, 3, 8, 4), (2, 4, 3, 1, 8, 4), (3, 1, 1, 5, 4, 4), (1, 8, 1, 2, 4, 2), (2, 5, 0, 3, 4, 2)],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_panels_hold_every_weight_in_its_place(dtype, groups, filters, channels, kernel, wide, narrow, threads):
    w = sample("complex128", groups * filters, channels, kernel) * (1 + 2j)
    w = (w if dtype.startswith("c") else w.real).astype(dtype)
    parts = 2 if w.dtype.kind == "c" else 1
    order = np.arange(kernel)[::-1].copy()
    panels = weights.empty_panels(groups * filters, channels * kernel * parts, w.dtype)
    weights.pack(
        storage(w.reshape(-1)), groups, filters, channels, parts, filters * channels * kernel, channels * kernel,
        kernel, order, wide, narrow, threads, panels,
    )  # fmt: skip

    # y = Σ m[lane, tap, part, channel] · x: the product with w of parts that are real numbers.
    taken = w[:, :, order].transpose(0, 2, 1)
    if parts == 2:
        real = np.stack([taken.real, -taken.imag], 2)
        imaginary = np.stack([taken.imag, taken.real], 2)
        m = np.stack([real, imaginary], 1).reshape(groups, 2 * filters, kernel, 2, channels)
    else:
        m = taken.reshape(groups, filters, kernel, 1, channels)
    expected = []
    for group in m:
        lane = 0
        while lane < len(group):
            left = len(group) - lane
            count = wide if left >= wide else min(narrow, left)
            expected.append(np.moveaxis(group[lane : lane + count], 0, -1).reshape(-1))
            lane += count
    flat = storage(np.concatenate(expected).astype(w.real.dtype))
    assert np.array_equal(panels[: len(flat)], flat)
    assert (panels.size - len(flat)) * panels.itemsize >= tile.VECTORS * simd.VECTOR_BYTES


# -- shares of work


@numba.njit(nogil=True)
def count_tasks(start, stop, counts, share):
    for task in range(start, stop):
        counts[task] += 1
        share[task] = start


@numba.njit(nogil=True)
def share_out(total, threads, counts, share):
    split(count_tasks, total, threads, (counts, share))


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("total", [0, 1, 2, 3, 7])
def test_every_task_is_done_once_in_even_shares(total, threads):
    counts, share = np.zeros(8, int), np.full(8, -1)
    share_out(total, threads, counts, share)
    assert counts.tolist() == [1] * total + [0] * (8 - total)
    if total:
        sizes = np.unique(share[:total], return_counts=True)[1]
        assert len(sizes) == min(total, threads)
        assert sizes.max() - sizes.min() <= 1
