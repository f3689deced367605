"""Winograd's matrices, made exactly: F(m, r) gives m outputs of a filter of r taps for m + r − 1 products.

A tile of n = m + r − 1 inputs d and the taps g give y = Aᵀ[(G g) ∘ (Bᵀ d)]. The matrices are Toom and Cook's polynomial
product over n − 1 points and infinity, transposed: Winograd, "Arithmetic Complexity of Computations", 1980, chapter IV;
Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, whose F(2, 3) this gives to the letter.
Everything is a rational number, on CPU and CUDA alike.

`straight_line` turns a matrix into the few additions and multiplications that kernels are unrolled from.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

Matrix = tuple[tuple[Fraction, ...], ...]

# Points of least rounding error come first: with ½ and −2 in the place of ±2, F(4, 3) errs half as much (largest
# error over u·Σ|x||w|, uniform data, 64 channels: 6.6 against 15.8). Barabasz et al., "Error Analysis and Improving the
# Accuracy of Winograd Convolution for Deep Neural Networks", 2020, section 5, find the same pattern of reciprocals.
POINTS = tuple(Fraction(p) for p in ("0 1 -1 1/2 -2 2 -1/2 4 -1/4 -4 1/4 3/4 -4/3 -3/4 4/3".split()))


class Matrices(NamedTuple):
    """at: m × n, g: n × r, bt: n × n."""

    at: Matrix
    g: Matrix
    bt: Matrix


@functools.cache
def toom_cook(m: int, r: int, points: tuple[Fraction, ...] = POINTS) -> Matrices:
    """The matrices of F(m, r) over the first m + r − 2 of the points and infinity.

    Raises ValueError for sizes below one, too few points, or two that are equal.
    """
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}) has no output or no tap")
    finite = tuple(Fraction(p) for p in points[: m + r - 2])
    if len(finite) < m + r - 2 or len(set(finite)) < len(finite):
        raise ValueError(f"F({m}, {r}) takes {m + r - 2} different points")
    at = [[p**i for p in finite] for i in range(m)]
    g, bt = [], []
    for p in finite:
        others = [q for q in finite if q != p]
        scale = Fraction(1)
        for q in others:
            scale *= p - q
        # Lavin and Gray's signs: what divides the filter is positive.
        sign = 1 if scale > 0 else -1
        g.append([p**k / abs(scale) for k in range(r)])
        bt.append([sign * c for c in _polynomial(others)] + [Fraction(0)])
    last = _polynomial(finite)
    sign = 1 if next(c for c in last if c) > 0 else -1
    bt.append([sign * c for c in last])
    g.append([Fraction(k == r - 1) for k in range(r)])
    for i, row in enumerate(at):
        row.append(Fraction(sign * (i == m - 1)))
    return Matrices(_frozen(at), _frozen(g), _frozen(bt))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of Π (x − root), the constant first."""
    product = [Fraction(1)]
    for root in roots:
        product = [a - root * b for a, b in zip([Fraction(0), *product], [*product, Fraction(0)], strict=True)]
    return product


def _frozen(rows: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(row) for row in rows)


class Term(NamedTuple):
    """coefficient × value number `value`."""

    coefficient: Fraction | float
    value: int


class Program(NamedTuple):
    """Sums of terms, one after the other: values 0 … inputs − 1 are given, each step makes the next one.

    outputs: which values are the product of matrix and inputs; −1 is a zero.
    """

    inputs: int
    steps: tuple[tuple[Term, ...], ...]
    outputs: tuple[int, ...]

    @property
    def operations(self) -> int:
        """Additions, multiplications and fused multiply-adds."""
        return sum(len(terms) - any(abs(t.coefficient) == 1 for t in terms) for terms in self.steps)


class Writer:
    """Writes a program: steps over `inputs` given values. Values are known by their numbers."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.steps: list[tuple[Term, ...]] = []

    def sum(self, *terms: tuple[Fraction | float, int]) -> int:
        self.steps.append(tuple(Term(c, v) for c, v in terms))
        return self.inputs + len(self.steps) - 1

    def run(self, program: Program, values: Sequence[int]) -> list[int]:
        """The outputs of a program on values."""
        known = list(values)
        for terms in program.steps:
            known.append(self.sum(*((c, known[v]) for c, v in terms)))
        return [known[i] for i in program.outputs]

    def program(self, outputs: Sequence[int]) -> Program:
        return Program(self.inputs, tuple(self.steps), tuple(outputs))


@functools.cache
def straight_line(matrix: Matrix) -> Program:
    """A short program for matrix · vector.

    Points come in pairs ±p, so rows or columns come in pairs that differ in signs only: what agrees and
    what differs is summed once, and the pair is the sum and the difference of the two.
    """
    return min((_Builder(matrix, columns).program for columns in (False, True)), key=lambda p: p.operations)


class _Builder:
    """Writes a program, with or without pairing columns before it pairs rows."""

    def __init__(self, matrix: Matrix, columns: bool) -> None:
        self.steps: list[tuple[Term, ...]] = []
        self.inputs = len(matrix[0])
        rows = [{j: c for j, c in enumerate(row) if c} for row in matrix]
        if columns:
            for a, b in _pairs([{i: row[j] for i, row in enumerate(rows) if j in row} for j in range(self.inputs)]):
                self._join_columns(rows, a, b)
        outputs = [-2] * len(rows)
        for i, j in _pairs(rows):
            same = {v: c for v, c in rows[i].items() if rows[j][v] == c}
            other = {v: c for v, c in rows[i].items() if rows[j][v] != c}
            even, odd = self._sum(same), self._sum(other)
            outputs[i] = self._step((Term(Fraction(1), even), Term(Fraction(1), odd)))
            outputs[j] = self._step((Term(Fraction(1), even), Term(Fraction(-1), odd)))
        for i, row in enumerate(rows):
            if outputs[i] == -2:
                outputs[i] = self._sum(row) if row else -1
        self.program = Program(self.inputs, tuple(self.steps), tuple(outputs))

    def _step(self, terms: tuple[Term, ...]) -> int:
        self.steps.append(terms)
        return self.inputs + len(self.steps) - 1

    def _sum(self, row: dict[int, Fraction]) -> int:
        if list(row.values()) == [1]:
            return next(iter(row))
        return self._step(tuple(Term(c, v) for v, c in row.items()))

    def _join_columns(self, rows: list[dict[int, Fraction]], a: int, b: int) -> None:
        one = Fraction(1)
        total, difference = self._step((Term(one, a), Term(one, b))), self._step((Term(one, a), Term(-one, b)))
        for row in rows:
            if a in row:
                c, d = row.pop(a), row.pop(b)
                row[total if c == d else difference] = c


def _pairs(vectors: Sequence[dict[int, Fraction]]) -> list[tuple[int, int]]:
    """Pairs of vectors of two or more elements that agree in some and differ in the sign of the others."""
    pairs: list[tuple[int, int]] = []
    for i, v in enumerate(vectors):
        for j in range(i + 1, len(vectors)):
            w = vectors[j]
            free = not any(k in pair for pair in pairs for k in (i, j))
            if free and v.keys() == w.keys() and all(abs(v[k]) == abs(w[k]) for k in v):
                agree = sum(v[k] == w[k] for k in v)
                if 0 < agree < len(v):
                    pairs.append((i, j))
    return pairs
