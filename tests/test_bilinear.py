"""Bilinear schemes: right in exact arithmetic, or not."""

from fractions import Fraction

import numpy as np
import pytest

from convlab.kernels.bilinear import LADERMAN, SCHEMES, STRASSEN, brent_residual, compose, scheme


@pytest.mark.parametrize("name", SCHEMES)
def test_brent_equations_hold(name):
    assert brent_residual(SCHEMES[name]) == {}


def test_products_of_the_known_schemes():
    sizes = {name: (*s[:3], len(s.products)) for name, s in SCHEMES.items()}
    assert sizes == {
        "strassen": (2, 2, 2, 7),
        "winograd": (2, 2, 2, 7),
        "laderman": (3, 3, 3, 23),
        "strassen-2": (4, 4, 4, 49),
    }


def test_schemes_compose_to_any_size():
    mixed = compose(STRASSEN, LADERMAN)
    assert (*mixed[:3], len(mixed.products)) == (6, 6, 6, 161)
    assert brent_residual(mixed) == {}


def test_a_wrong_sign_is_found():
    first, *rest = STRASSEN.products
    sign = first.left[0]._replace(coefficient=Fraction(-1))
    wrong = STRASSEN._replace(products=(first._replace(left=(sign, first.left[1])), *rest))
    assert set(brent_residual(wrong).values()) == {Fraction(-2)}
    assert len(brent_residual(wrong)) == 4


def test_coefficients_are_read_exactly():
    halves = scheme(1, 1, 1, "1/2 a11 | -3 b11 | -2/3 c11")
    assert [side[0].coefficient for side in halves.products[0]] == [Fraction(1, 2), -3, Fraction(-2, 3)]
    assert brent_residual(halves) == {}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_multiplies_integers(name):
    """By the definition: what brent_residual proves, seen on numbers."""
    s, rng = SCHEMES[name], np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (s.rows, s.depth)), rng.integers(-9, 9, (s.depth, s.columns))
    c = np.zeros((s.rows, s.columns), object)
    for left, right, into in s.products:
        value = sum(t.coefficient * a[t[1:]] for t in left) * sum(t.coefficient * b[t[1:]] for t in right)
        for t in into:
            c[t[1:]] += t.coefficient * value
    assert (c == a @ b).all()
