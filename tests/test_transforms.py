"""Winograd's matrices: exact, equal to the published ones, and computed by the shorter programs."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlab.kernels.transforms import POINTS, straight_line, toom_cook

SIZES = [(m, r) for m in range(1, 9) for r in range(1, 8) if m + r - 2 <= len(POINTS)]
fractions = st.fractions(-8, 8, max_denominator=16)


def product(matrix, vector):
    return [sum(c * v for c, v in zip(row, vector, strict=True)) for row in matrix]


def test_f23_is_lavin_and_grays_to_the_letter():
    half = Fraction(1, 2)
    at, g, bt = toom_cook(2, 3)
    assert bt == ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
    assert g == ((1, 0, 0), (half, half, half), (half, -half, half), (0, 0, 1))
    assert at == ((1, 1, 1, 0), (0, 1, -1, -1))


def test_f43_over_the_points_of_lavin_and_gray_is_theirs():
    points = tuple(map(Fraction, (0, 1, -1, 2, -2)))
    at, g, bt = toom_cook(4, 3, points)
    assert bt[0] == (4, 0, -5, 0, 1, 0)
    assert bt[5] == (0, 4, 0, -5, 0, 1)
    assert at == ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
    assert g[0] == (Fraction(1, 4), 0, 0)
    assert g[4] == (Fraction(1, 24), Fraction(-1, 12), Fraction(1, 6))


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_every_size_computes_its_convolution_exactly(m, r):
    d = [Fraction(i * i - 3 * i, i + 2) for i in range(m + r - 1)]
    g = [Fraction(2 * k + 1, k + 3) for k in range(r)]
    matrices = toom_cook(m, r)
    products = [a * b for a, b in zip(product(matrices.g, g), product(matrices.bt, d), strict=True)]
    assert product(matrices.at, products) == [sum(g[k] * d[i + k] for k in range(r)) for i in range(m)]


@given(st.lists(fractions, min_size=5, max_size=5, unique=True), st.lists(fractions, min_size=9, max_size=9))
def test_any_different_points_will_do(points, data):
    matrices = toom_cook(4, 3, tuple(points))
    d, g = data[:6], data[6:]
    products = [a * b for a, b in zip(product(matrices.g, g), product(matrices.bt, d), strict=True)]
    assert product(matrices.at, products) == [sum(g[k] * d[i + k] for k in range(3)) for i in range(4)]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_programs_compute_their_matrices_in_no_more_operations(m, r):
    for matrix in toom_cook(m, r):
        program = straight_line(matrix)
        values = [Fraction(i * i + 1, i + 2) for i in range(len(matrix[0]))]
        expected = product(matrix, values)
        for terms in program.steps:
            values.append(sum(t.coefficient * values[t.value] for t in terms))
        assert [0 if i < 0 else values[i] for i in program.outputs] == expected
        plain = sum(max(sum(map(bool, row)) - any(abs(c) == 1 for c in row), 0) for row in matrix)
        assert program.operations <= plain


def test_pairs_of_points_are_shared():
    assert straight_line(toom_cook(2, 3).bt).operations == 4
    assert straight_line(toom_cook(6, 3).at).operations == 20  # 29 row by row


@pytest.mark.parametrize(("m", "r", "points"), [(0, 3, POINTS), (2, 0, POINTS), (4, 3, POINTS[:4]), (2, 2, (1, 1))])
def test_impossible_sizes_are_refused(m, r, points):
    with pytest.raises(ValueError, match="F"):
        toom_cook(m, r, points)
