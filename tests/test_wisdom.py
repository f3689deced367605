"""FFTW's wisdom: estimates follow none, measured plans convlab's own, which is kept, and nobody's is lost."""

import ctypes

import numpy as np
import pytest
from data import normal

import convlab
from convlab import ConvProblem, reference
from convlab.algorithms import fft_calls, fftw, wisdom
from convlab.algorithms.fft_measured import FftMeasured
from convlab.testing.judge import assert_within

DOUBLE = np.dtype(np.float64)
# Blocks of 80 × 80 points, whose measured plans are other plans than the estimated ones.
PROBLEM = ConvProblem.forward((1, 2, 60, 60), (2, 2, 21, 21), padding=10, dtype="float64")
MEASURED = FftMeasured()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """A cache directory of this test's own, no plans yet, and no wisdom; afterwards again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget():
    """All plans and all wisdom, as in a new process."""
    for kept in (fft_calls.setup, fftw.real_lines, fftw.complex_lines):
        kept.cache_clear()
    fftw.precision(DOUBLE).replace(b"")


@pytest.fixture
def measured():
    convlab.register(MEASURED)
    yield
    convlab.unregister(MEASURED.name)


def described(address):
    """What a plan does, in FFTW's words."""
    describe = fftw._symbol(DOUBLE, "sprint_plan")
    describe.restype = ctypes.c_char_p
    return describe(ctypes.c_void_p(address))


def planned(measured):
    """The plans of columns, in words: of sizes among which measured plans are others than estimated ones."""
    plans = [fftw.complex_lines(DOUBLE, n, n // 2 + 1, n // 2 + 5, 1, measured=measured) for n in (80, 160, 192)]
    return [described(address) for lines in plans for address in lines[:2]]


def solved(algorithm, threads=1):
    x, w = normal(*PROBLEM.x_shape, dtype="float64"), normal(*PROBLEM.w_shape, dtype="float64", seed=1)
    return convlab.plan(PROBLEM, w, algorithm=algorithm, threads=threads)(x)


def test_an_estimate_follows_no_wisdom():
    before, result = planned(False), solved("fft")
    assert planned(True) != before
    learnt = wisdom.read(wisdom.path_of(fftw.precision(DOUBLE)))
    forget()
    fftw.precision(DOUBLE).replace(learnt)  # as pyfftw.import_wisdom
    assert planned(False) == before
    assert np.array_equal(solved("fft"), result)
    assert set(fftw.precision(DOUBLE).known().split()) == set(learnt.split())


def test_a_measured_plan_is_measured_once():
    before = planned(True)
    path = wisdom.path_of(fftw.precision(DOUBLE))
    text, stamp = path.read_bytes(), path.stat().st_mtime_ns
    assert len(text.splitlines()) > 3
    forget()
    assert planned(True) == before
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (text, stamp)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_the_user_taught_fftw_stays():
    pyfftw = pytest.importorskip("pyfftw")
    array = pyfftw.empty_aligned(77, "complex128")
    pyfftw.FFTW(array, array.copy(), flags=["FFTW_MEASURE"])
    before = pyfftw.export_wisdom()[0]
    assert len(before.splitlines()) > 2
    planned(False)
    planned(True)
    assert set(pyfftw.export_wisdom()[0].split()) == set(before.split())


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"#x", b"#y")),
        lambda path: path.write_bytes(b"\xff" * 1000),
        lambda path: wisdom.write(path, b"(no wisdom at all"),
    ],
)
def test_damage_is_as_good_as_nothing(damage):
    planned(True)
    path = wisdom.path_of(fftw.precision(DOUBLE))
    damage(path)
    forget()
    planned(True)
    assert len(wisdom.read(path).splitlines()) > 3


def test_where_nothing_can_be_written(monkeypatch, own_cache):
    (own_cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache / "file"))
    assert planned(True) == planned(True)
    assert not wisdom.path_of(fftw.precision(DOUBLE)).exists()


def test_another_fftw_has_another_file(monkeypatch):
    known = wisdom.path_of(fftw.precision(DOUBLE))
    assert known != wisdom.path_of(fftw.precision(np.dtype(np.float32)))
    monkeypatch.setattr(wisdom, "version", lambda package: "9.9")
    wisdom._name.cache_clear()
    assert wisdom.path_of(fftw.precision(DOUBLE)) != known
    monkeypatch.undo()
    wisdom._name.cache_clear()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_measured_is_right(direction, dtype):
    problem = ConvProblem.forward((2, 2, 50, 40), (3, 2, 9, 12), padding=4, dtype=dtype, direction=direction)
    first, second = (
        normal(*shape, dtype=dtype, seed=i)
        for i, shape in enumerate(
            {
                "forward": (problem.x_shape, problem.w_shape),
                "backward_data": (problem.y_shape, problem.w_shape),
                "backward_weights": (problem.x_shape, problem.y_shape),
            }[direction]
        )
    )
    gradient = direction == "backward_weights"
    plan = convlab.plan(problem, None if gradient else second, algorithm="fft-measured", threads=2)
    result = plan((first, second) if gradient else first)
    bound = MEASURED.error_model(problem).bound(problem, (first, second, None))
    assert_within(result, reference.solve(problem, first, second, None), bound)


@pytest.mark.usefixtures("measured")
def test_measured_gives_the_same_bits_again():
    expected = solved("fft-measured")
    for threads in (1, 2, 3):
        forget()
        assert np.array_equal(solved("fft-measured", threads), expected)


@pytest.mark.usefixtures("measured")
def test_auto_takes_it_where_it_would_take_fft_once_it_is_registered():
    w = normal(1, 1, 31, 31)
    assert convlab.plan((1, 1, 600, 600), w).algorithm == "fft-measured"
    assert convlab.plan((1, 1, 600, 600), w, accuracy="componentwise").algorithm == "direct"
    convlab.unregister("fft-measured")
    try:
        assert convlab.plan((1, 1, 600, 600), w).algorithm == "fft"
    finally:
        convlab.register(MEASURED)
