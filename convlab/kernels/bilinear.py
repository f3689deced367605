"""Bilinear schemes: fewer products than rows · steps · columns for a product of matrices cut into blocks.

A scheme for m × k blocks of a times k × n blocks of b is a list of products, each of a sum of blocks of a and a sum of
blocks of b, that goes into some blocks of c. It is right if Brent's equations hold (`brent_residual` is empty), over
any ring: blocks may be blocks of schemes in turn (`compose`). A new scheme is one entry of SCHEMES.
Brent, "Algorithms for matrix multiplication", 1970. Everything is a rational number, on CPU and CUDA alike.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple


class Term(NamedTuple):
    """coefficient × the block in that row and column."""

    coefficient: Fraction
    row: int
    column: int


class Product(NamedTuple):
    """(Σ left) · (Σ right), which each term of `into` adds a multiple of to a block of c."""

    left: tuple[Term, ...]
    right: tuple[Term, ...]
    into: tuple[Term, ...]


class Scheme(NamedTuple):
    """a has rows × depth blocks, b depth × columns, c rows × columns."""

    rows: int
    depth: int
    columns: int
    products: tuple[Product, ...]


def scheme(rows: int, depth: int, columns: int, text: str) -> Scheme:
    """Read a scheme as papers print it: a product a line, "a11 + a22 | b11 + b22 | c11 + c22", numbered from 1.

    A coefficient other than ±1 stands before its block: "1/2 a11".
    """
    lines = [line.split("|") for line in text.strip().splitlines()]
    return Scheme(rows, depth, columns, tuple(Product(*(tuple(_terms(side)) for side in line)) for line in lines))


def _terms(text: str) -> Iterator[Term]:
    for sign, coefficient, row, column in re.findall(r"([+-]?)\s*([\d/]*)\s*[abc](\d)(\d)", text):
        yield Term(Fraction(coefficient or 1) * (-1 if sign == "-" else 1), int(row) - 1, int(column) - 1)


def compose(outer: Scheme, inner: Scheme) -> Scheme:
    """The scheme that multiplies the blocks of `outer` by `inner`: blocks of blocks, products of products."""

    def blocks(terms: tuple[Term, ...], parts: tuple[Term, ...], rows: int, columns: int) -> tuple[Term, ...]:
        return tuple(
            Term(t.coefficient * p.coefficient, t.row * rows + p.row, t.column * columns + p.column)
            for t in terms
            for p in parts
        )

    m, k, n = inner.rows, inner.depth, inner.columns
    products = tuple(
        Product(blocks(p.left, q.left, m, k), blocks(p.right, q.right, k, n), blocks(p.into, q.into, m, n))
        for p in outer.products
        for q in inner.products
    )
    return Scheme(outer.rows * m, outer.depth * k, outer.columns * n, products)


def brent_residual(scheme: Scheme) -> dict[tuple[int, ...], Fraction]:
    """What is wrong with a scheme: {(i, j, k, l, r, s): by how much the coefficient of a_ij · b_kl in c_rs is off}."""
    off: dict[tuple[int, ...], Fraction] = defaultdict(Fraction)
    for product in scheme.products:
        for a in product.left:
            for b in product.right:
                for c in product.into:
                    where = a.row, a.column, b.row, b.column, c.row, c.column
                    off[where] += a.coefficient * b.coefficient * c.coefficient
    for i in range(scheme.rows):
        for j in range(scheme.depth):
            for s in range(scheme.columns):
                off[i, j, j, s, i, s] -= 1
    return {where: value for where, value in off.items() if value}


# Strassen, "Gaussian elimination is not optimal", 1969. Of the schemes of 7 products it has the fewest terms, 36.
STRASSEN = scheme(2, 2, 2, """
    a11 + a22 | b11 + b22 |  c11 + c22
    a21 + a22 | b11       |  c21 - c22
    a11       | b12 - b22 |  c12 + c22
    a22       | b21 - b11 |  c11 + c21
    a11 + a12 | b22       | -c11 + c12
    a21 - a11 | b11 + b12 |  c22
    a12 - a22 | b21 + b22 |  c11
""")  # fmt: skip

# Winograd, "On multiplication of 2 × 2 matrices", 1971: 15 additions where sums are kept and used again. Written out
# they are 42 terms, and more than Strassen's where each product sums its own operands.
WINOGRAD = scheme(2, 2, 2, """
    a11                   | b11                   |  c11 + c12 + c21 + c22
    a12                   | b21                   |  c11
    a11 + a12 - a21 - a22 | b22                   |  c12
    a22                   | b11 - b12 - b21 + b22 | -c21
    a21 + a22             | b12 - b11             |  c12 + c22
    a21 + a22 - a11       | b11 - b12 + b22       |  c12 + c21 + c22
    a11 - a21             | b22 - b12             |  c21 + c22
""")  # fmt: skip

# Laderman, "A noncommutative algorithm for multiplying 3 × 3 matrices using 23 multiplications", 1976.
LADERMAN = scheme(3, 3, 3, """
    a11 + a12 + a13 - a21 - a22 - a32 - a33 | b22                                      | c12
    a11 - a21                               | b22 - b12                                | c21 + c22
    a22                                     | -b11 + b12 + b21 - b22 - b23 - b31 + b33 | c21
    -a11 + a21 + a22                        | b11 - b12 + b22                          | c12 + c21 + c22
    a21 + a22                               | b12 - b11                                | c12 + c22
    a11                                     | b11              | c11 + c12 + c13 + c21 + c22 + c31 + c33
    -a11 + a31 + a32                        | b11 - b13 + b23                          | c13 + c31 + c33
    a31 - a11                               | b13 - b23                                | c31 + c33
    a31 + a32                               | b13 - b11                                | c13 + c33
    a11 + a12 + a13 - a22 - a23 - a31 - a32 | b23                                      | c13
    a32                                     | -b11 + b13 + b21 - b22 - b23 - b31 + b32 | c31
    -a13 + a32 + a33                        | b22 + b31 - b32                          | c12 + c31 + c32
    a13 - a33                               | b22 - b32                                | c31 + c32
    a13                                     | b31              | c11 + c12 + c13 + c21 + c23 + c31 + c32
    a32 + a33                               | b32 - b31                                | c12 + c32
    -a13 + a22 + a23                        | b23 + b31 - b33                          | c13 + c21 + c23
    a13 - a23                               | b23 - b33                                | c21 + c23
    a22 + a23                               | b33 - b31                                | c13 + c23
    a12                                     | b21                                      | c11
    a23                                     | b32                                      | c22
    a21                                     | b13                                      | c23
    a31                                     | b12                                      | c32
    a33                                     | b33                                      | c33
""")  # fmt: skip

SCHEMES = {
    "strassen": STRASSEN,
    "winograd": WINOGRAD,
    "laderman": LADERMAN,
    "strassen-2": compose(STRASSEN, STRASSEN),
}
