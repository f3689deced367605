"""In which order, and which at once, a device makes the products of a bilinear scheme that is applied once or twice.

Products of one launch write different blocks of c, so nothing races, and sum equally many blocks with the same factors,
so one kernel does for them: Strassen's seven are four launches. Where the scheme is applied twice, sums of the outer
one are written to memory, sums of the inner one are made as they are loaded: four terms each time that an element is
loaded would be more than the L2 cache of a device delivers. Huang, Yu and van de Geijn, "Strassen's Algorithm Reloaded
on GPUs", ACM TOMS 46, 2020, has the kernel, and the workspace for two levels.
"""

import functools
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..bilinear import STRASSEN, Product, Scheme, Term, compose, scheme

# A line of the table, a product: two blocks of a and of b, (row, column) each, then four of c, (row, column, factor,
# whether it adds to what is there) each; a factor of 0 is none.
TERMS, INTO = 2, 4
OPERAND, TARGET = 2 * TERMS, 4
LINE = 2 * OPERAND + INTO * TARGET

Factors = tuple[int, ...]


class Sums(NamedTuple):
    """Sums to be written, `many` lines from `line` on, of blocks of a (side 0) or b (side 1)."""

    side: int
    line: int
    many: int
    factors: Factors


class Products(NamedTuple):
    """Products to be made at once, `many` lines from `line` on. factors: of a's blocks and b's; written: whether a's
    and b's are blocks of the sums written last."""

    line: int
    many: int
    factors: tuple[Factors, Factors]
    written: tuple[bool, bool]


class Schedule(NamedTuple):
    """scheme: what is done in all; steps: in this order; lines: the table; held: sums of each side, at most."""

    scheme: Scheme
    steps: tuple[Sums | Products, ...]
    lines: np.ndarray
    held: int


_ONCE = scheme(1, 1, 1, "a11 | b11 | c11")


@functools.cache
def strassen_schedule(levels: int) -> Schedule:
    """Strassen's scheme applied once or twice."""
    return scheduled(_ONCE if levels == 1 else STRASSEN, STRASSEN)


def scheduled(outer: Scheme, inner: Scheme) -> Schedule:
    """`inner` applied to the products of `outer`. Raises ValueError where a sum has more blocks than a kernel takes."""
    steps: list[Sums | Products] = []
    lines: list[list[int]] = []
    begun: set[tuple[int, int]] = set()
    held = 0
    for group in groups(outer):
        written = len(group[0].left) > 1, len(group[0].right) > 1
        for side in range(2):
            if written[side]:
                steps.append(Sums(side, len(lines), len(group), _factors(group[0][side])))
                held = max(held, len(group))
        if any(written):
            lines += [_line(Product(*product[:2], ())) for product in group]
        for products in groups(inner):
            start = len(lines)
            parts = [_within(product, i, part, inner) for i, product in enumerate(group) for part in products]
            for part in parts:
                lines.append(_line(part, begun))
                begun |= _blocks(part)
            factors = _factors(parts[0].left), _factors(parts[0].right)
            steps.append(Products(start, len(parts), factors, written))
    return Schedule(compose(outer, inner), tuple(steps), np.array(lines, np.int32), held)


def groups(scheme: Scheme) -> list[list[Product]]:
    """A scheme's products, those in a list that may be made at once by the same kernel."""
    found: list[list[Product]] = []
    for product in scheme.products:
        for group in found:
            alike = all(_factors(group[0][side]) == _factors(product[side]) for side in range(2))
            if alike and not any(_blocks(product) & _blocks(other) for other in group):
                group.append(product)
                break
        else:
            found.append([product])
    return found


def _blocks(product: Product) -> set[tuple[int, int]]:
    return {(term.row, term.column) for term in product.into}


def _factors(terms: tuple[Term, ...]) -> Factors:
    if any(term.coefficient.denominator != 1 for term in terms):
        raise ValueError("the table has no place for factors that are no integers")
    return tuple(int(term.coefficient) for term in terms)


def _within(outer: Product, index: int, inner: Product, scheme: Scheme) -> Product:
    """The inner product of an outer one whose sums of several blocks are the index-th that were written."""

    def blocks(terms: tuple[Term, ...], parts: tuple[Term, ...], rows: int, columns: int) -> tuple[Term, ...]:
        return tuple(
            Term(t.coefficient * p.coefficient, t.row * rows + p.row, t.column * columns + p.column)
            for t in terms
            for p in parts
        )

    written = (Term(Fraction(1), index, 0),)
    left, right = (terms if len(terms) == 1 else written for terms in outer[:2])
    return Product(
        blocks(left, inner.left, scheme.rows, scheme.depth),
        blocks(right, inner.right, scheme.depth, scheme.columns),
        blocks(outer.into, inner.into, scheme.rows, scheme.columns),
    )


def _line(product: Product, begun: set[tuple[int, int]] | frozenset[tuple[int, int]] = frozenset()) -> list[int]:
    """A product's line of the table. begun: blocks of c that something was written to before."""
    most = max(len(product.left), len(product.right)), len(product.into)
    if most[0] > TERMS or most[1] > INTO:
        raise ValueError(f"sums of {most[0]} blocks, or into {most[1]}: the kernel sums {TERMS} and adds to {INTO}")
    line = []
    for terms in product[:2]:
        line += [number for t in terms for number in (t.row, t.column)] + [0] * (OPERAND - 2 * len(terms))
    for t, factor in zip(product.into, _factors(product.into), strict=True):
        line += [t.row, t.column, factor, (t.row, t.column) in begun]
    return line + [0] * (LINE - len(line))
