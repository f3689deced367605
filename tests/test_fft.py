"""fft's own claims: blocks do not show, nor do threads; what it reads, sums and refuses; FFTW by address."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data import close, normal

import convlab
from convlab import ConvProblem, reference, select
from convlab.algorithms import fft_calls, fftw, overlap, spectra
from convlab.algorithms.fft import Fft
from convlab.errors import BackendError
from convlab.kernels import pieces, taps
from convlab.kernels.cpu.frequencies import products
from convlab.kernels.cpu.simd import VECTOR_BYTES
from convlab.testing.judge import assert_within

FFT = Fft()


def solved(problem, threads=2, seed=0):
    """The operands in the oracle's order, and what fft makes of them."""
    shapes = {
        "forward": (problem.x_shape, problem.w_shape),
        "backward_data": (problem.y_shape, problem.w_shape),
        "backward_weights": (problem.x_shape, problem.y_shape),
    }[problem.direction]
    first, second = (normal(*shape, dtype=problem.dtype, seed=seed + i) for i, shape in enumerate(shapes))
    if problem.direction == "backward_weights":
        return (first, second, None), convlab.plan(problem, None, algorithm="fft", threads=threads)((first, second))
    return (first, second, None), convlab.plan(problem, second, algorithm="fft", threads=threads)(first)


def forget():
    """What is kept of problems."""
    for kept in (overlap.cut, spectra.workspace, spectra.prepared, fft_calls.setup, select._ranked):
        kept.cache_clear()


def force(monkeypatch, points):
    """Have `cut` offer blocks of these points only."""
    known = overlap._candidates
    sizes = iter(points * 100)

    def one(axis, ndim):
        size = next(sizes)
        return (np.array([size]), np.ones(1)) if axis.whole > 1 else known(axis, ndim)

    forget()
    monkeypatch.setattr(overlap, "_candidates", one)


@pytest.fixture
def forced(monkeypatch):
    yield lambda *points: force(monkeypatch, points)
    monkeypatch.undo()
    forget()


# -- which elements are read


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("size", "lo", "hi"), [(7, 0, 0), (7, 3, 5), (5, 4, 0), (3, 0, 2)])
def test_pieces_are_the_map_of_taps(size, lo, hi, mode):
    total = size + lo + hi
    found = np.full(total, -1)
    for position, count, source, step in pieces.padded(size, lo, total, mode):
        found[position : position + count] = source + step * np.arange(count)
    assert np.array_equal(found, taps.forward_axis(total - 1, size, 2, 1, 1, lo, mode).source)


def test_neighbouring_taps_are_one_piece():
    assert pieces.taps(5, 1, False).tolist() == [[0, 5, 0, 1]]
    assert pieces.taps(5, 1, True).tolist() == [[0, 5, 4, -1]]
    assert pieces.taps(3, 3, False).tolist() == [[0, 1, 0, 1], [3, 1, 1, 1], [6, 1, 2, 1]]
    assert pieces.taps(3, 3, True).tolist() == [[0, 1, 2, 1], [3, 1, 1, 1], [6, 1, 0, 1]]


def test_zeros_of_both_ends_may_be_the_same():
    same = ConvProblem.forward((1, 1, 64, 64), (1, 1, 31, 31), padding=15)
    assert [axis.whole for axis in overlap.axes(same)] == [1, 79, 79]
    full = ConvProblem.forward((1, 1, 50), (1, 1, 51), padding=50)
    assert overlap.axes(full)[2].whole == 100  # SciPy's n + m − 1
    assert overlap.axes(same.replace(padding_mode="reflect"))[2].whole == 94
    assert overlap.axes(ConvProblem.forward((1, 1, 50), (1, 1, 11)))[2].whole == 50


@pytest.mark.parametrize("longest", [1, 2, 5, 17, 145, 161, 1000, 10**6])
def test_there_is_a_good_size_for_every_length(longest):
    sizes = overlap._good(longest)[0]
    assert sizes[-1] >= longest
    assert (np.diff(sizes) > 0).all()
    assert longest < 16 or sizes[np.searchsorted(sizes, longest)] < 1.55 * longest


# -- blocks do not show


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "float16"])
@pytest.mark.parametrize("points", [(32, 32), (48, 80), (160, 160), (80, 36)])
def test_overlap_save_is_the_whole(forced, direction, dtype, points):
    forced(1, *points)
    problem = ConvProblem.forward((2, 2, 70, 61), (3, 2, 9, 12), padding=4, dtype=dtype, direction=direction)
    operands, result = solved(problem)
    assert overlap.cut(problem)[0].points == (1, *points)
    bound = FFT.error_model(problem).bound(problem, operands)
    assert_within(result, reference.solve(problem, *operands), bound)


@pytest.mark.parametrize("direction", ["forward", "backward_weights"])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_blocks_of_volumes_in_every_padding_mode(forced, mode, direction):
    forced(16, 32, 10)
    problem = ConvProblem.forward(
        (1, 2, 19, 40, 11), (2, 1, 5, 6, 3), padding=((2, 4), (5, 0), (2, 2)), groups=2, padding_mode=mode,
        layout="channels_first", direction=direction,
    )  # fmt: skip
    operands, result = solved(problem)
    assert_within(result, reference.solve(problem, *operands), FFT.error_model(problem).bound(problem, operands))


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("size", [(300,), (40, 33), (12, 15, 14)], ids=["signal", "image", "volume"])
def test_every_dimension_direction_and_dtype(size, dtype, direction):
    kernel = (31, 7, 5)[len(size) - 1]
    problem = ConvProblem.forward(
        (2, 4, *size), (6, 2, *(kernel,) * len(size)), padding=kernel // 2, groups=2, dtype=dtype, direction=direction
    )
    operands, result = solved(problem)
    bound = FFT.error_model(problem).bound(problem, operands)
    assert_within(result, reference.solve(problem, *operands), bound)


def test_taps_may_be_apart():
    problem = ConvProblem.forward((1, 1, 50, 60), (2, 1, 5, 7), padding=9, dilation=(3, 2))
    for given in (problem, problem.replace(direction="backward_data")):
        operands, result = solved(given)
        assert_within(result, reference.solve(given, *operands), FFT.error_model(given).bound(given, operands))


def test_not_finite_spreads_over_its_block_and_not_beyond(forced):
    forced(1, 32, 32)
    x, w = normal(1, 1, 64, 64), normal(1, 1, 9, 9)
    clean = convlab.conv2d(x, w, algorithm="fft", threads=1)
    x[0, 0, 0, 0] = np.nan
    result = convlab.conv2d(x, w, algorithm="fft", threads=1)
    assert np.isnan(result[0, 0, :24, :24]).all()
    assert np.array_equal(result[0, 0, 24:], clean[0, 0, 24:])
    assert np.array_equal(result[0, 0, :, 24:], clean[0, 0, :, 24:])


# -- threads do not show


@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
@pytest.mark.parametrize(
    ("x", "w", "groups"),
    [
        ((1, 1, 400, 300), (1, 1, 15, 15), 1),  # many blocks
        ((1, 9, 40, 40), (9, 9, 7, 7), 1),  # one block, many channels and filters
        ((1, 12, 40, 40), (24, 1, 11, 11), 12),  # many groups
        ((5, 2, 30000), (3, 2, 101), 1),
    ],
)
def test_threads_give_the_same_bits(x, w, groups, direction):
    problem = ConvProblem.forward(x, w, padding=3, groups=groups, direction=direction)
    _, expected = solved(problem, threads=1)
    for threads in (2, 3, 5):
        assert np.array_equal(solved(problem, threads=threads)[1], expected)


def test_plans_run_side_by_side():
    shapes = [(64 + 10 * i, 9 + 2 * (i % 3)) for i in range(6)]
    problems = [ConvProblem.forward((1, 2, n, n), (2, 2, r, r), padding=r // 2) for n, r in shapes]
    expected = [solved(problem)[1] for problem in problems]
    fftw.real_lines.cache_clear()  # so that they are planned side by side, too
    fftw.complex_lines.cache_clear()
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            for result, right in zip(pool.map(solved, problems), expected, strict=True):
                assert np.array_equal(result[1], right)


def test_two_ways_to_share_are_both_taken():
    image = ConvProblem.forward((1, 1, 2000, 2000), (1, 1, 31, 31))
    layer = ConvProblem.forward((1, 16, 40, 40), (16, 16, 11, 11))
    assert not spectra.share(image, overlap.cut(image)[0].blocks, 2)
    assert spectra.share(layer, overlap.cut(layer)[0].blocks, 2)
    assert not spectra.share(layer, overlap.cut(layer)[0].blocks, 1)


# -- products


@pytest.mark.parametrize("filters", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_products_of_spectra(filters, dtype):
    real = np.dtype(dtype).type(0).real.dtype
    size = 5 * VECTOR_BYTES * 2  # a number of vectors that four do not divide
    n = size // np.dtype(dtype).itemsize
    x, w, y = normal(3, n, dtype=dtype), normal(filters, 3, n, dtype=dtype, seed=1), normal(filters, n, dtype=dtype)
    once = np.einsum("in,fin->fn", x, w)
    start = y.copy()
    for more, expected in ((False, once), (True, 2 * once)):
        products(
            3, x.ctypes.data, size, w.ctypes.data, size, filters, 3 * size, y.ctypes.data, size, size, more,
            y.view(real).reshape(-1), real.type(0),
        )  # fmt: skip
        close(y, expected)
    assert not np.array_equal(start, y)


# -- what it refuses, and when it is chosen


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": "int32"}, "fractions of the data"),
        ({"stride": 2, "dilation": 2}, "under a stride its taps must be neighbours"),
        ({"dilation": 2, "direction": "backward_weights"}, "dilation is"),
    ],
)
def test_refuses_in_words(changes, reason):
    problem = ConvProblem.forward((1, 1, 40, 40), (1, 1, 7, 7), **changes)
    with pytest.raises(convlab.UnsupportedError, match=reason):
        convlab.plan(problem, None if "direction" in changes else np.ones((1, 1, 7, 7), problem.dtype), algorithm="fft")


def test_auto_takes_it_for_large_kernels_but_not_for_componentwise():
    w = normal(1, 1, 31, 31)
    assert convlab.plan((1, 1, 600, 600), w).algorithm == "fft"
    assert convlab.plan((1, 1, 600, 600), w[..., :3, :3]).algorithm != "fft"
    assert convlab.plan((1, 1, 600, 600), w, accuracy="componentwise").algorithm != "fft"
    assert convlab.plan((1, 1, 600, 600), w, workspace_limit=0).algorithm != "fft"
    with pytest.raises(convlab.UnsupportedError, match="workspace_limit"):
        convlab.plan((1, 1, 600, 600), w, algorithm="fft", workspace_limit="100KiB")


def test_holds_what_it_says():
    plan = convlab.plan((1, 3, 90, 90), normal(8, 3, 11, 11), algorithm="fft", threads=2)
    assert plan.prepared_bytes == plan._state.spectra.nbytes
    assert plan.workspace_bytes == sum(array.nbytes for array in plan._workspace.values())


def test_no_images_no_gradient():
    problem = ConvProblem.forward((0, 2, 20, 20), (3, 2, 5, 5), direction="backward_weights")
    assert not solved(problem)[1].any()


# -- FFTW


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda patch: patch.setattr(fftw, "find_spec", lambda name: None), "not installed"),
        (lambda patch: patch.setattr(fftw.ctypes, "CDLL", lambda path: object()), "cannot be used"),
    ],
)
def test_without_fftw_others_answer(monkeypatch, break_it, reason):
    fftw._library.cache_clear()
    fftw.missing.cache_clear()
    forget()
    break_it(monkeypatch)
    try:
        with pytest.raises(BackendError, match=reason):
            fftw._library()
        with pytest.raises(convlab.UnsupportedError, match=reason):
            convlab.plan((1, 1, 600, 600), normal(1, 1, 31, 31), algorithm="fft")
        assert convlab.plan((1, 1, 600, 600), normal(1, 1, 31, 31)).algorithm != "fft"
    finally:
        monkeypatch.undo()
        fftw._library.cache_clear()
        fftw.missing.cache_clear()
        forget()


def test_pyfftw_itself_stays_outside():
    code = (
        "import sys, numpy, convlab\n"
        "convlab.conv1d(numpy.ones((1, 1, 900)), numpy.ones((1, 1, 99)), algorithm='fft')\n"
        "print('pyfftw' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
