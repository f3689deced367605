"""Real Fourier transforms of 8, 16 and 32 points as straight-line programs, and the products between them.

A real sequence x has the spectrum X_k = C_k − i S_k, C_k = Σ x_j cos(2πjk/n), S_k = Σ x_j sin(2πjk/n): n numbers, in
the order C_0, C_{n/2}, C_1, S_1, C_2, S_2, …. The steps are those of the split into even and odd elements (Cooley and
Tukey, 1965), with a rotation by (c, s) as c·(x ± (s/c)·y), an FMA each (Linzer and Feig, "Implementation of efficient
FFT algorithms on fused multiply-add architectures", 1993). Two dimensions: columns first; where row j is a cosine and
row j + 1 the sine of the same frequency, the spectra of two such rows are sums and differences of theirs.

Cross-correlation by spectra, y = F⁻¹[X · conj(W)], is bilinear as Winograd's: y = Aᵀ[(G w) ∘ (Bᵀ x)], where a complex
product takes three real ones (Gauss): (x_r + x_s)·w_r, x_r·(w_r + w_s), x_s·(w_r − w_s). Fᵀ inverts F but for a scale,
which goes into the filters.
"""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction

from .transforms import Program, Writer


def _spectrum(w: Writer, x: Sequence[int]) -> list[int]:
    """Values of the spectrum of the values x."""
    n = len(x)
    if n == 1:
        return list(x)
    even, odd = _spectrum(w, x[::2]), _spectrum(w, x[1::2])
    out = [w.sum((1, even[0]), (1, odd[0])), w.sum((1, even[0]), (-1, odd[0]))] + [0] * (n - 2)
    for k in range(1, n // 4):
        (ec, es), (oc, os) = even[2 * k : 2 * k + 2], odd[2 * k : 2 * k + 2]
        c, s = math.cos(2 * math.pi * k / n), math.sin(2 * math.pi * k / n)
        if 8 * k <= n:
            scale, real, imaginary = c, w.sum((1, oc), (-s / c, os)), w.sum((1, os), (s / c, oc))
        else:
            scale, real, imaginary = s, w.sum((c / s, oc), (-1, os)), w.sum((1, oc), (c / s, os))
        out[2 * k], out[2 * k + 1] = w.sum((1, ec), (scale, real)), w.sum((1, es), (scale, imaginary))
        other = n // 2 - k
        out[2 * other], out[2 * other + 1] = w.sum((1, ec), (-scale, real)), w.sum((-1, es), (scale, imaginary))
    if n >= 4:
        out[n // 2], out[n // 2 + 1] = even[1], odd[1]
    return out


def points(n: int, rows: int) -> int:
    """Real products for the spectra of `rows` rows of n points: 1, or a pair of a cosine and a sine."""
    return 3 * n // 2 - 1 if rows == 1 else 3 * n


@functools.cache
def columns(n: int) -> Program:
    """n numbers to their spectrum."""
    w = Writer(n)
    return w.program(_spectrum(w, range(n)))


def _complex(w: Writer, n: int, rows: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Of one row the real and the complex points; of a pair of rows, whose points all are complex, those."""
    first = _spectrum(w, range(n))
    if rows == 1:
        return first[:2], [(first[i], first[i + 1]) for i in range(2, n, 2)]
    second = _spectrum(w, range(n, 2 * n))
    found = [(first[0], second[0]), (first[1], second[1])]
    for i in range(2, n, 2):
        (cc, cs), (sc, ss) = first[i : i + 2], second[i : i + 2]
        found.append((w.sum((1, cc), (-1, ss)), w.sum((1, sc), (1, cs))))
        found.append((w.sum((1, cc), (1, ss)), w.sum((1, cs), (-1, sc))))
    return [], found


@functools.cache
def inputs(n: int, rows: int) -> Program:
    """A row of n points, or a pair of rows, to the left factors of its products."""
    w = Writer(n * rows)
    real, pairs = _complex(w, n, rows)
    return w.program(real + [v for r, s in pairs for v in (w.sum((1, r), (1, s)), r, s)])


@functools.cache
def filters(n: int, rows: int) -> Program:
    """The same for filters: to the right factors, for the scale 1 over the number of points of the tile."""
    w = Writer(n * rows)
    real, pairs = _complex(w, n, rows)
    out = list(real)
    for r, s in pairs:
        out += [w.sum((2, r)), w.sum((2, r), (2, s)), w.sum((2, r), (-2, s))]
    return w.program(out)


@functools.cache
def outputs(n: int, rows: int) -> Program:
    """The products of a row, or of a pair of rows, to what `transposed(columns(n))` makes the outputs of."""
    w = Writer(n * rows)
    real, pairs = _complex(w, n, rows)
    back = transposed(w.program(real + [v for pair in pairs for v in pair]))
    w = Writer(points(n, rows))
    spectrum = list(range(len(real)))
    for first in range(len(real), w.inputs, 3):
        spectrum += [w.sum((1, first), (-1, first + 2)), w.sum((1, first), (-1, first + 1))]
    return w.program(w.run(back, spectrum))


@functools.cache
def transposed(program: Program) -> Program:
    """The program of the transposed matrix, of as many operations but for the numbers of inputs and outputs."""
    values = program.inputs + len(program.steps)
    into: list[list[tuple[Fraction | float, int]]] = [
        [] for _ in range(values)
    ]  # (coefficient, value) that each is summed from
    for i, output in enumerate(program.outputs):
        into[output].append((1, i))
    w = Writer(len(program.outputs))

    def total(value: int) -> int:
        terms = into[value]
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else w.sum(*terms)

    for value in range(values - 1, program.inputs - 1, -1):
        if into[value]:
            made = total(value)
            for coefficient, source in program.steps[value - program.inputs]:
                into[source].append((coefficient, made))
    return w.program([total(value) for value in range(program.inputs)])
