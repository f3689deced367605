"""convolve and correlate give what scipy.signal gives."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data import close, normal
from stubs import Honest

import convlab
from convlab import ConvProblem, select
from convlab import signal as signal_module
from convlab.arrays.host import Arena


@pytest.fixture
def signal():
    return pytest.importorskip("scipy.signal")


@pytest.mark.peers
def test_convolve_as_documented(signal):
    sig, win = np.repeat([0.0, 1.0, 0.0], 100), signal.windows.hann(50)
    close(convlab.convolve(sig, win, mode="same") / sum(win), signal.convolve(sig, win, mode="same") / sum(win))


@pytest.mark.peers
def test_correlate_as_documented(signal):
    sig = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0], 128)
    noisy = sig + np.random.default_rng(0).standard_normal(len(sig))
    close(convlab.correlate(noisy, np.ones(128), mode="same"), signal.correlate(noisy, np.ones(128), mode="same"))
    x, y = normal(1000, dtype="f8"), normal(1000, dtype="f8", seed=1)
    close(convlab.correlate(x, y), signal.correlate(x, y))


@pytest.mark.peers
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("call", ["convolve", "correlate"])
@pytest.mark.parametrize(
    ("shape1", "shape2"),
    [((7,), (3,)), ((3,), (7,)), ((4,), (4,)), ((5, 6), (2, 3)), ((2, 3), (5, 6)), ((4, 5, 6), (3, 2, 1)),
     ((3, 3, 3, 3), (2, 1, 2, 3)), ((), ())],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "complex128", "int64", "float32"])
def test_n_dimensional_as_scipy(signal, call, mode, shape1, shape2, dtype):
    in1, in2 = (10 * normal(*shape, dtype="c16", seed=i) for i, shape in enumerate((shape1, shape2)))
    in1, in2 = (a.astype(dtype) if dtype == "complex128" else a.real.astype(dtype) for a in (in1, in2))
    expected = getattr(signal, call)(in1, in2, mode, "direct")
    result = getattr(convlab, call)(in1, in2, mode)
    assert result.dtype == np.asarray(expected).dtype
    close(result, expected)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["longdouble", "object", "bool"])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_dtypes_without_kernels_as_scipy(signal, dtype, mode):
    in1, in2 = np.array([1, 0, 2, 1]).astype(dtype), np.array([1, 1, 0]).astype(dtype)
    for call in ("convolve", "correlate"):
        expected = getattr(signal, call)(in1, in2, mode, "direct")
        result = getattr(convlab, call)(in1, in2, mode)
        assert result.dtype == expected.dtype
        assert np.array_equal(result, expected)


def test_convolve_without_scipy():
    for mode in ("full", "same", "valid"):
        in1, in2 = np.arange(1, 8), np.array([1, -1, 2])
        assert np.array_equal(convlab.convolve(in1, in2, mode), np.convolve(in1, in2, mode))
        assert np.array_equal(convlab.correlate(in1, in2, mode), np.correlate(in1, in2, mode))
    assert np.array_equal(convlab.correlate([1j, 2], [1j, 1]), np.correlate([1j, 2], [1j, 1], "full"))


def test_convolve_of_nothing():
    assert convlab.convolve([], [1.0]).shape == (0,)
    assert convlab.correlate(np.ones((3, 0)), np.ones((2, 2))).size == 0


# -- small sums at once, others by plans: nobody can tell which


def by_definition(in1, in2, mode):
    """Σ in NumPy's longdouble, of the convolution."""
    wide = np.clongdouble if np.result_type(in1, in2).kind == "c" else np.longdouble
    full = np.zeros([a + b - 1 for a, b in zip(in1.shape, in2.shape, strict=True)], wide)
    for j in np.ndindex(in2.shape):
        full[tuple(slice(i, i + n) for i, n in zip(j, in1.shape, strict=True))] += in1.astype(wide) * wide(in2[j])
    first, size = {
        "full": ([0] * in1.ndim, full.shape),
        "same": ([(n - 1) // 2 for n in in2.shape], in1.shape),
        "valid": (
            [min(pair) - 1 for pair in zip(in1.shape, in2.shape, strict=True)],
            [abs(a - b) + 1 for a, b in zip(in1.shape, in2.shape, strict=True)],
        ),
    }[mode]
    return full[tuple(slice(f, f + n) for f, n in zip(first, size, strict=True))]


SHAPES = [
    ((1,), (1,)), ((2,), (7,)), ((40,), (40,)), ((1000,), (17,)), ((3,), (1200,)), ((500,), (450,)),
    ((5, 9), (9, 5)), ((60, 50), (7, 8)), ((2, 400), (2, 30)), ((30, 1), (4, 1)),
    ((4, 9, 10), (3, 2, 5)), ((6, 1, 300), (2, 1, 40)), ((2, 3, 4), (5, 6, 7)),
]  # fmt: skip


@pytest.mark.parametrize("planned", [False, True], ids=["at-once", "planned"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128", "int16", "uint8"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolve_and_correlate_by_their_definition(monkeypatch, mode, dtype, planned):
    if planned:
        monkeypatch.setattr(signal_module, "_SHORT", 0)
    signal_module._case.cache_clear()
    for shapes in SHAPES:
        in1, in2 = ((3 * normal(*shape, dtype="c16", seed=i)) for i, shape in enumerate(shapes))
        in1, in2 = (a.astype(dtype) if dtype[0] == "c" else abs(a.real).astype(dtype) for a in (in1, in2))
        if mode == "valid" and len({a > b for a, b in zip(*shapes, strict=True) if a != b}) > 1:
            continue
        assert (signal_module._case(*shapes, in1.dtype, in2.dtype, mode).small is None) == planned
        expected = by_definition(in1, in2, mode)
        if dtype in ("int16", "uint8"):
            expected = expected.astype(np.int64).astype(dtype)
        close(convlab.convolve(in1, in2, mode), expected)
        turned = np.ascontiguousarray(in2[(slice(None, None, -1),) * in2.ndim])
        close(convlab.correlate(in1, turned.conj(), mode), expected)
    signal_module._case.cache_clear()


@pytest.mark.parametrize("planned", [False, True], ids=["at-once", "planned"])
@pytest.mark.parametrize(("n", "m"), [(1000, 9), (300, 300), (60, 200)])
def test_what_is_not_finite_harms_what_touches_it(monkeypatch, n, m, planned):
    if planned:
        monkeypatch.setattr(signal_module, "_SHORT", 0)
    signal_module._case.cache_clear()
    in1, in2, long, at = normal(n), normal(m, seed=1), max(n, m), min(n, m) // 3
    sliding, still = (in2, in1) if m <= n else (in1, in2)
    still[long // 2] = np.nan
    nan = np.isnan(convlab.convolve(in1, in2, method="direct"))
    assert np.array_equal(np.flatnonzero(nan), long // 2 + np.arange(min(n, m)))
    still[long // 2], sliding[at] = 1, np.inf
    # An infinite weight times the zeros of the padding is NaN.
    nan = np.isnan(convlab.convolve(in1, in2, method="direct"))
    signal_module._case.cache_clear()
    assert np.array_equal(np.flatnonzero(~nan), at + np.arange(long))


def test_any_memory_and_none_of_it_kept():
    in1, in2 = normal(90, 80), normal(7, 6, seed=1)
    expected = convlab.convolve(in1, in2)
    locked = in1.copy()
    locked.flags.writeable = False
    odd = np.frombuffer(b"x" + in1.tobytes(), np.uint8)[1:].view(np.float32).reshape(in1.shape)
    wide = np.zeros((180, 240), np.float32)
    wide[::2, ::3] = in1
    for same in (locked, odd, wide[::2, ::3], in1.astype(">f4"), np.asfortranarray(in1)):
        close(convlab.convolve(same, in2), expected)
    in1[:] = 0
    in2[:] = 0
    assert expected.any()
    assert not convlab.convolve(in1, in2).any()


def test_threads_may_call_at_once():
    pairs = [(normal(n, seed=n), normal(m, seed=m)) for n, m in ((500, 9), (500, 500), (4000, 3000), (20000, 700))]
    expected = [convlab.convolve(*pair) for pair in pairs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pair: convlab.convolve(*pair), pairs * 25))
    for i, result in enumerate(found):
        assert np.array_equal(result, expected[i % len(pairs)])


def test_memory_is_kept_up_to_a_bound():
    arena, specs = Arena(10_000), {"a": convlab.ArraySpec((100,), np.dtype("f8")), "b": convlab.ArraySpec((7,), "u1")}
    first, again = arena.arrays(specs, 1), arena.arrays(specs, 1)
    assert all(array.ctypes.data % 64 == 0 for array in first.values())
    assert {name: array.ctypes.data for name, array in first.items()} == {
        name: array.ctypes.data for name, array in again.items()
    }
    assert not np.shares_memory(first["a"], first["b"])
    large = arena.arrays({"a": convlab.ArraySpec((5000,), np.dtype("f8"))}, 1)["a"]
    assert not np.shares_memory(large, first["a"])
    assert arena._raw.size < 10_000
    a, b = normal(3000), normal(2500)
    expected = convlab.convolve(a, b)
    kept = signal_module._own.arena
    assert 0 < kept._raw.size <= signal_module._ARENA
    kept._raw[...] = 255  # NaN, and nobody reads it
    assert np.array_equal(convlab.convolve(a, b), expected)
    assert signal_module._own.arena is kept


def test_what_is_kept_of_shapes_is_bounded():
    for kept in (signal_module._case, select._ranked):
        assert kept.cache_info().maxsize == 256
    a, b = np.ones(500), np.ones(20)
    convlab.convolve(a, b)
    case = signal_module._case(a.shape, b.shape, a.dtype, b.dtype, "full")
    assert sum(array.nbytes for array in case.small if isinstance(array, np.ndarray)) < 500


def test_an_algorithm_registered_since_is_found(registered):
    def make(seconds):
        class Stub(Honest):
            name = "stub"

            def cost(self, problem):
                return convlab.Cost((convlab.Stage("multiply", seconds * 1e11, 0),))

        return Stub()

    problem = ConvProblem.forward((1, 1, 3000), (1, 1, 3000), padding=2999)
    before = [c.name for c in select.rank(problem)]
    assert "stub" not in before
    registered(make(1e-12))
    assert select.rank(problem)[0].name == "stub"
    registered(make(1e3))
    assert select.rank(problem)[0].name == before[0]
    convlab.unregister("stub")
    assert [c.name for c in select.rank(problem)] == before
