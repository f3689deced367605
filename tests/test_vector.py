"""The vector type in a user's @njit functions: every operation against NumPy, on vectors and on numbers."""

import math
import operator
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import njit, types

from convlab.kernels.cpu import memory, simd
from convlab.kernels.cpu.simd import vector

FLOATS = ("float32", "float64")
INTEGERS = ("int32", "uint32", "int64", "uint8")


def lanes_of(dtype):
    return simd.VECTOR_BYTES // np.dtype(dtype).itemsize


def sample(dtype, count, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(count).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, count, dtype, endpoint=True)


# -- arithmetic, written once for vectors and numbers


@njit
def float_formulas(i, like, x, y, z):
    a, b, c = vector.load(x, i, like), vector.load(y, i, like), vector.load(z, i, like)
    half, total = vector.broadcast(0.5, a), a
    total += b
    total -= c
    total *= half
    total /= vector.broadcast(3, a)
    return (
        a + b, a - b, a * b, a / b, -a, abs(a), math.sqrt(abs(a)), min(a, b), max(a, b), total,
        vector.select(a < b, a, b), vector.select((a >= b) | (c > b), a, c),
        vector.select((a <= b) & ~(c == b) ^ (a != b), b, vector.fma(a, b, c)),
    )  # fmt: skip


def float_results(a, b, c):
    half, three = a.dtype.type(0.5), a.dtype.type(3)
    fused = (a.astype("f8") * b + c).astype(a.dtype) if simd.HAS_FMA and a.dtype == "f4" else a * b + c
    return (
        a + b, a - b, a * b, a / b, -a, abs(a), np.sqrt(abs(a)), np.minimum(a, b), np.maximum(a, b),
        (a + b - c) * half / three, np.where(a < b, a, b), np.where((a >= b) | (c > b), a, c),
        np.where((a <= b) & ~(c == b) ^ (a != b), b, fused),
    )  # fmt: skip


@njit
def integer_formulas(i, like, x, y, z):
    a, b, c = vector.load(x, i, like), vector.load(y, i, like), vector.load(z, i, like)
    zero = vector.broadcast(0, a)
    return (
        vector.broadcast(a + b, a), vector.broadcast(a - c, a), vector.broadcast(a * b, a), vector.broadcast(-a, a),
        vector.broadcast(a ^ (b & ~c), a), vector.broadcast(a | b, a), min(a, b), max(a, b),
        vector.select(a < b, a, zero), vector.select(a >= b, b, c), vector.broadcast(vector.fma(a, b, c), a),
        vector.broadcast(abs(a), a),
    )  # fmt: skip


def integer_results(a, b, c):
    zero = np.zeros_like(a)
    return (
        a + b, a - c, a * b, zero - a, a ^ (b & ~c), a | b, np.minimum(a, b), np.maximum(a, b),
        np.where(a < b, a, zero), np.where(a >= b, b, c), a * b + c, abs(a),
    )  # fmt: skip


def on_vectors(formulas):
    @njit(error_model="numpy")
    def run(x, y, z, out):
        results = formulas(0, vector.load(x, 0), x, y, z)
        for k in range(len(results)):
            vector.store(results[k], out, k * vector.width(results[k]))

    return run


def on_numbers(formulas):
    @njit(error_model="numpy")
    def run(x, y, z, out):
        for i in range(len(x)):
            results = formulas(i, x[0], x, y, z)
            for k in range(len(results)):
                vector.store(results[k], out, k * len(x) + i)

    return run


@pytest.mark.parametrize("way", [on_vectors, on_numbers])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_arithmetic_is_numpys(dtype, way):
    floats = dtype in FLOATS
    operands = [sample(dtype, lanes_of(dtype), seed) for seed in range(3)]
    expected = (float_results if floats else integer_results)(*operands)
    found = np.empty((len(expected), lanes_of(dtype)), dtype)
    way(float_formulas if floats else integer_formulas)(*operands, found.reshape(-1))
    for k, (one, other) in enumerate(zip(found, expected, strict=True)):
        if floats and k == len(expected) - 1:  # float64's fma is not to be had from NumPy
            np.testing.assert_allclose(one, other, rtol=16 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)
        else:
            assert np.array_equal(one, other), k


@njit
def extremes(i, like, x, y, z):
    a, b = vector.load(x, i, like), vector.load(y, i, like)
    zero = vector.broadcast(0, a)
    return min(a, b), max(a, b), max(a, zero), max(zero, a), abs(a), -a


def test_nan_and_signed_zero_are_the_same_on_vectors_and_numbers():
    special = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, 1, -1, 1e-45], "f4")
    x, y = (each.reshape(-1) for each in np.meshgrid(special, special))
    lanes = lanes_of("f4")
    for start in range(0, len(x), lanes):
        a, b = x[start : start + lanes].copy(), y[start : start + lanes].copy()
        vectors, numbers = np.empty((6, lanes), "f4"), np.empty((6, lanes), "f4")
        on_vectors(extremes)(a, b, b, vectors.reshape(-1)), on_numbers(extremes)(a, b, b, numbers.reshape(-1))
        assert np.array_equal(vectors.view("u4"), numbers.view("u4"))
        assert np.array_equal(vectors[0], np.where(b < a, b, a), equal_nan=True)  # as the docstring has it
        assert np.isnan(vectors[2, np.isnan(a)]).all()
        assert not np.isnan(vectors[3]).any()


@njit
def fused(x, out):
    a = vector.load(x, 0)
    vector.store(vector.fma(a, a, -(1 + 2**-11)), out, 0)
    out[-1] = vector.fma(x[0], x[0], np.float32(-(1 + 2**-11)))


def test_fma_rounds_once_where_the_machine_can():
    x, out = np.full(lanes_of("f4"), 1 + 2**-12, "f4"), np.zeros(lanes_of("f4") + 1, "f4")
    fused(x, out)
    assert (out == (2.0**-24 if simd.HAS_FMA else 0)).all()


@njit
def mixed(x, out):
    a = vector.load(x, 0)
    total, product = 0, 1.0
    for _ in range(3):
        total += a
        product = 2 * product * a / 4
    vector.store(total + product, out, 0)
    vector.store(vector.select(a > 0, a, 0.5) + min(a, 0.25) + max(0, a), out, len(x))
    vector.store(vector.select(x[0] > 0, a, 1) * vector.select(x[0] > 0, 1, a), out, 2 * len(x))


def test_a_number_becomes_a_vector_where_one_is_needed():
    x, out = sample("f4", lanes_of("f4")), np.empty((3, lanes_of("f4")), "f4")
    mixed(x, out)
    np.testing.assert_allclose(out[0], 3 * x + x**3 / 8, rtol=1e-6)
    np.testing.assert_allclose(out[1], np.where(x > 0, x, 0.5) + np.minimum(x, 0.25) + np.maximum(0, x), rtol=1e-6)
    assert np.array_equal(out[2], x)


@njit
def some_and_all(x, limit):
    mask = vector.load(x, 0) > limit
    return (vector.any_lane(mask), vector.all_lanes(mask)), (vector.any_lane(x[1] > limit), mask[1])


def test_masks_as_one_boolean():
    x = np.arange(lanes_of("f4"), dtype="f4")
    assert some_and_all(x, -1) == ((True, True), (True, True))
    assert some_and_all(x, x[-2]) == ((True, False), (False, False))
    assert some_and_all(x, x[-1]) == ((False, False), (False, False))


# -- memory


@njit
def moved(source, target, like):
    a = vector.broadcast(like)
    vector.store(vector.load(source, 3, a), target, 1)
    here, there = memory.address(source), memory.address(target) + (3 + vector.width(a)) * target.itemsize
    vector.store_at(vector.load_at(source, here, a), target, there)
    vector.store(vector.load(source, 1, like), target, 0)
    return simd.lanes(like), vector.width(a), vector.width(like)


@pytest.mark.parametrize("dtype", ["float16", *FLOATS, *INTEGERS])
def test_elements_are_loaded_and_stored_in_place_and_no_others(dtype):
    like = np.float32(0) if dtype == "float16" else np.dtype(dtype).type(0)
    storage = "u2" if dtype == "float16" else dtype
    lanes = simd.VECTOR_BYTES // like.itemsize
    source, target = np.arange(2 * lanes + 4).astype(dtype), np.full(2 * lanes + 4, 9, dtype)
    expected = target.copy()
    expected[0], expected[1 : 1 + lanes], expected[3 + lanes : 3 + 2 * lanes] = 1, source[3 : 3 + lanes], source[:lanes]
    assert moved(source.view(storage), target.view(storage), like) == (lanes, lanes, 1)
    assert np.array_equal(target, expected)


EIGHT = 8


@njit
def of_eight_lanes(x, out):
    a = vector.load(x, 0, lanes=EIGHT)
    vector.store(a + vector.broadcast(np.float32(0.5), lanes=EIGHT), out, 0)
    vector.store(vector.broadcast(2, vector.broadcast(a)) + vector.load(x[1], 0, a), out, 8)  # flat, in two dimensions
    return vector.width(a), a[0], a[vector.width(a) - 1]


def test_lanes_can_be_said_whatever_the_machine_has():
    x, out = sample("f4", 24).reshape(2, 12), np.zeros(16, "f4")
    assert of_eight_lanes(x, out) == (8, x[0, 0], x[0, 7])
    assert np.array_equal(out[:8], x[0, :8] + np.float32(0.5))
    assert np.array_equal(out[8:], x[1, :8] + np.float32(2))


# -- lanes


@njit
def lanes_moved(x, out):
    a, b = vector.load(x, 0), vector.load(x, vector.width(vector.load(x, 0)))
    results = (
        vector.reverse(a), vector.window(a, b, 0), vector.window(a, b, 1), vector.window(a, b, vector_size), b,
        vector.window(a, 7, 1), vector.rotate(a, 1), vector.rotate(a, -1),
    )  # fmt: skip
    for k in range(len(results)):
        vector.store(results[k], out[k], 0)


vector_size = 2  # the least that any type has


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_lanes_move_within_a_vector_and_between_two(dtype):
    lanes = lanes_of(dtype)
    x = sample(dtype, 2 * lanes)
    a, out = x[:lanes], np.empty((8, lanes), dtype)
    lanes_moved(x, out)
    expected = a[::-1], a, x[1 : 1 + lanes], x[2 : 2 + lanes], x[lanes:], [*a[1:], 7], np.roll(a, -1), np.roll(a, 1)
    assert np.array_equal(out, expected)


def on_rows(function, count):
    @njit
    def run(x, out):
        lanes = x.shape[1]
        vector.store_rows(function(vector.load_rows(x, 0, lanes, count)), out, 0, lanes)

    return run


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("share", [1, 2, 4, 8])
def test_stride_becomes_vectors_and_back(dtype, share):
    lanes = lanes_of(dtype)
    count = max(2, lanes // share)
    x, out = sample(dtype, count * lanes).reshape(count, lanes), np.empty((count, lanes), dtype)
    on_rows(vector.interleave, count)(x, out)
    assert np.array_equal(out, x.T.reshape(count, lanes))
    on_rows(vector.deinterleave, count)(x, out)
    assert np.array_equal(out, x.reshape(lanes, count).T)
    if count == lanes:
        on_rows(vector.transpose, count)(x, out)
        assert np.array_equal(out, x.T)


@njit
def quarter_turned(x, out):
    like = vector.broadcast(x[0, 0], lanes=4)
    vector.store_rows(vector.transpose(vector.load_rows(x, 1, x.shape[1], 4, like)), out, 2, 7)


def test_rows_lie_at_any_step():
    x, out = sample("f4", 4 * 9).reshape(4, 9), np.zeros(28, "f4")
    quarter_turned(x, out)
    expected = np.zeros((4, 7), "f4")
    expected[:, 2:6] = x[:, 1:5].T
    assert np.array_equal(out, expected.reshape(-1))


@njit
def sums(x):
    return vector.horizontal_sum(vector.load(x, 0)), vector.horizontal_sum(x[0])


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_sum_is_added_in_the_order_it_says(dtype):
    x = sample(dtype, lanes_of(dtype))
    halves = x.copy()
    while len(halves) > 1:
        halves = halves[: len(halves) // 2] + halves[len(halves) // 2 :]
    assert sums(x) == (halves[0], x[0])


# -- what is refused, in words


def refused(body):
    scope = {"vector": vector, "np": np, "operator": operator, "flags": np.zeros(64, bool)}
    exec(f"def function(x, i):\n    a = vector.load(x, 0)\n    return {body}\n", scope)
    x = types.Array(types.float32, 1, "C", readonly="store_read_only" in body)
    arguments = (types.Array(types.float32, 1, "A") if "apart" in body else x, types.intp)
    with pytest.raises(numba.core.errors.TypingError) as caught:
        njit(scope["function"]).compile(arguments)
    return re.sub(r"\x1b\[\d*m", "", str(caught.value))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("a + vector.load(x, 0, lanes=2)", "vectors of one type only"),
        ("a & a", "no and_ of Vector(float32"),
        ("-(a > 0)", "no neg of Vector(bool"),
        ("(a > 0) + 1", "vectors and numbers only"),
        ("vector.load(x, 0, lanes=3)", "2, 4, 8, … lanes, not 3"),
        ("vector.load(x, 0, lanes=i)", "must be a literal"),
        ("vector.load(x, 0, a, 4)", "like= or lanes=, not both"),
        ("vector.load(x, 0, 1.0)", "float32 in memory is not float64"),
        ("vector.load(flags, 0, a > 0)", "no bool in memory"),
        ("vector.load(flags, 0)", "no vectors of bool"),
        ("vector.broadcast(1j, a)", "cannot make a Vector(float32"),
        ("a + 1j", "vectors and numbers only"),
        ("vector.load(i, 0)", "vectors are in arrays, not in int64"),
        ("vector.load(x, 0)  # apart", "is not C-contiguous"),
        ("vector.store(a, x, 0)  # store_read_only", "is read-only"),
        ("vector.broadcast(a, 1.0)", "cannot make a float64 of a Vector"),
        ("vector.fma(a, a, a > 0)", "vectors of one type only"),
        ("vector.select(a, a, a)", "a mask or a boolean chooses"),
        ("vector.select(vector.load(x, 0, lanes=2) > 0, vector.load(x, 0, lanes=4), 0)", "cannot choose lanes of"),
        ("vector.window(a, a, i)", "start must be a literal"),
        ("vector.window(a, a, 65)", "start is 65, not one of 0"),
        ("vector.rotate(i, 1)", "a vector has lanes to move"),
        ("vector.interleave((a, a, a))", "2, 4, 8, … vectors"),
        ("vector.transpose((vector.load(x, 0, lanes=4), vector.load(x, 0, lanes=4)))", "takes a square: 4 vectors"),
        ("vector.interleave(a)", "takes a tuple of vectors"),
        ("vector.horizontal_sum(a > 0)", "no sum of"),
        ("vector.load_rows(x, 0, 16, i)", "count must be a literal"),
        ("vector.store_rows(a, x, 0, 16)", "a tuple of vectors is stored"),
    ],
)
def test_mistakes_are_told_in_words(body, words):
    assert words in refused(body)


# -- as others use it

USER = """
import numpy as np
from numba import njit

from convlab.kernels.cpu.simd import vector


@njit(cache=True)
def inner(a, b):
    return vector.fma(a, b, max(a, 0)) + 1


@njit(cache=True)
def outer(x):
    vector.store(inner(vector.load(x, 0), vector.load(x, 0)), x, 0)


x = np.full(64, 2, np.float32)
outer(x)
print(x[0], sum(outer.stats.cache_hits.values()), sum(outer.stats.cache_misses.values()))
"""


def test_a_users_module_is_compiled_once_for_all_its_processes(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    seen = [
        subprocess.run([sys.executable, "user.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert [line.split() for line in seen] == [["7.0", "0", "1"], ["7.0", "1", "0"]]


DOCS = (Path(__file__).parent.parent / "docs" / "simd.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL))
def test_example_of_the_docs_runs(code, tmp_path):
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_function_is_in_the_docs():
    assert {name for name in vector.__all__ if f"`{name}" not in DOCS and f"`vector.{name}" not in DOCS} == set()
