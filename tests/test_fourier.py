"""kernels.fourier: programs that are Fourier's transforms, whose products are correlations; fft-tiled's own claims."""

import numpy as np
import pytest

import convlab
from convlab import ConvProblem
from convlab.algorithm import Context
from convlab.algorithms.fft_tiled import FftTiled
from convlab.algorithms.fft_tiled_gradient import FftTiledGradient
from convlab.kernels import fourier
from convlab.kernels.cpu.fourier_transform import Fourier
from convlab.testing.properties import PROPERTIES

SIZES = [8, 16, 32]


def evaluate(program, values):
    known = list(values)
    for terms in program.steps:
        known.append(sum(c * known[v] for c, v in terms))
    return np.array([known[i] for i in program.outputs])


def by_rows(make, n, columns):
    """The programs for single rows and for pairs on what the columns' transform gave."""
    rows = [columns[:1], columns[1:2], *(columns[i : i + 2] for i in range(2, n, 2))]
    return [evaluate(make(n, len(pair)), pair.ravel()) for pair in rows]


@pytest.mark.parametrize("n", SIZES)
def test_columns_are_numpys_spectrum(n):
    x = np.random.default_rng(n).standard_normal(n)
    spectrum = np.fft.rfft(x)
    inner = [part for value in spectrum[1:-1] for part in (value.real, -value.imag)]
    assert evaluate(fourier.columns(n), x) == pytest.approx([spectrum[0].real, spectrum[-1].real, *inner])


@pytest.mark.parametrize("n", SIZES)
def test_transposed_is_the_transposed_matrix(n):
    program = fourier.columns(n)
    matrix = np.transpose([evaluate(program, row) for row in np.eye(n)])
    back = np.transpose([evaluate(fourier.transposed(program), row) for row in np.eye(n)])
    np.testing.assert_allclose(back, matrix.T, atol=1e-15)


@pytest.mark.parametrize("n", SIZES)
def test_products_of_a_row_are_a_correlation(n):
    rng = np.random.default_rng(n)
    x, w = rng.standard_normal(n), rng.standard_normal(5)
    left, right = evaluate(fourier.inputs(n, 1), x), evaluate(fourier.filters(n, 1), np.pad(w, (0, n - 5)) / n)
    assert len(left) == len(right) == fourier.points(n, 1)
    y = evaluate(fourier.outputs(n, 1), left * right)
    assert y[: n - 4] == pytest.approx(np.correlate(x, w, "valid"))


@pytest.mark.parametrize("n", SIZES)
def test_products_of_a_tile_are_a_correlation(n):
    rng = np.random.default_rng(n)
    x, w = rng.standard_normal((n, n)), rng.standard_normal((3, 6))
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape)
    padded = np.pad(w, ((0, n - 3), (0, n - 6))) / n**2
    left = by_rows(fourier.inputs, n, evaluate(fourier.columns(n), x))
    right = by_rows(fourier.filters, n, evaluate(fourier.columns(n), padded))
    assert sum(map(len, left)) == Fourier().points((1, n - 2, n - 5), (1, 3, 6))
    together = [1, 1] + [2] * (n // 2 - 1)
    products = zip(together, left, right, strict=True)
    rows = np.concatenate([evaluate(fourier.outputs(n, k), a * b).reshape(k, n) for k, a, b in products])
    y = evaluate(fourier.transposed(fourier.columns(n)), rows)
    np.testing.assert_allclose(y[: n - 2, : n - 5], np.einsum("abij,ij->ab", windows, w), atol=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_a_real_spectrum_takes_no_more_than_the_split_radix_count_and_a_rotation(n):
    """Additions and multiplications of the split radix transform of n real points: 2·n·log₂n − 3n + 4, and as FMAs."""
    assert fourier.columns(n).operations <= 2 * n * np.log2(n) - 3 * n + 4


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kernel", [(5,), (1, 4), (7, 7), (3, 2), (6, 5)])
def test_every_size_of_tile(n, kernel):
    if max(kernel) >= n:
        kernel = tuple(min(r, n - 1) for r in kernel)
    shape = (40, 37)[: len(kernel)]
    problem = ConvProblem.forward((2, 5, *shape), (18, 5, *kernel), padding=1)
    PROPERTIES["equivalence"].holds(FftTiled(Fourier((n,))), problem, 0)
    problem = problem.replace(direction="backward_weights")
    PROPERTIES["equivalence"].holds(FftTiledGradient(Fourier((n,))), problem, 0)


def test_gradient_in_several_blocks_and_goes():
    """More channels, filters and tiles than a task takes at once."""
    problem = ConvProblem.forward((3, 70, 40, 37), (83, 70, 7, 5), padding=2, direction="backward_weights")
    algorithm = FftTiledGradient()
    work = algorithm.scheme(problem, 2)
    assert work.block.filters < 83
    assert work.block.channels < 70
    assert work.block.tiles < 3 * work.region.tiles_h * work.region.tiles_w
    for name in ("equivalence", "threads"):
        PROPERTIES[name].holds(algorithm, problem, 0)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("name", ["fft-tiled", "fft-tiled-gradient"])
def test_workspace_does_not_grow_with_the_image(size, name):
    direction = "forward" if name == "fft-tiled" else "backward_weights"
    problem = ConvProblem.forward((1, 64, size, size), (64, 64, 7, 7), padding=3, direction=direction)
    (spec,) = convlab.get_algorithm(name).workspace(problem, Context(threads=2)).values()
    assert spec.nbytes() <= 4 * 2**20


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ConvProblem.forward((1, 1, 50, 50), (1, 1, 5, 32)), "up to 32 points"),
        (ConvProblem.forward((1, 1, 50, 50), (1, 1, 5, 1)), "two columns"),
        (ConvProblem.forward((1, 1, 9, 9, 9), (1, 1, 3, 3, 3)), "not planes"),
        (ConvProblem.forward((1, 1, 9, 9), (1, 1, 3, 3), stride=2, dilation=2), "under a stride"),
    ],
)
def test_says_why_not(problem, reason):
    assert reason in convlab.get_algorithm("fft-tiled").why_not(problem)
