"""Tiles of a plane and their transforms as programs: Winograd's and Fourier's, y = Aᵀ[(G w) ∘ (Bᵀ x)] both.

A tile of m outputs reads a window of n = m + r − 1 inputs along each axis. Its transform goes down the columns, then
along the rows: of Winograd's each by itself, of Fourier's the first two so and the others in pairs (kernels.fourier).
A tile of one row is transformed along that only.
"""

import functools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .. import fourier
from ..transforms import Program, Writer, straight_line, toom_cook

Family = Literal["winograd", "fourier"]
Pair = tuple[int, int]


class Passes(NamedTuple):
    """A transform. down: along the columns; across: along the rows, each of the programs taking one or two of them.

    Inputs go down first, products across.
    """

    down: Program
    across: tuple[Program, ...]


class Tiles(NamedTuple):
    """outputs: m, taps: r, along columns and rows."""

    family: Family
    outputs: Pair
    taps: Pair

    @property
    def size(self) -> Pair:
        """The window's rows and columns."""
        (m_h, m_w), (r_h, r_w) = self.outputs, self.taps
        return m_h + r_h - 1, m_w + r_w - 1

    @property
    def filter_size(self) -> Pair:
        """Of the window that the transform of the filters reads."""
        return self.taps if self.family == "winograd" else self.size

    @property
    def points(self) -> int:
        """Products of a tile for each channel and filter."""
        rows, columns = self.size
        return rows * columns if self.family == "winograd" else sum(fourier.points(columns, k) for k in _rows(rows))

    @property
    def shared(self) -> bool:
        """Whether several threads make a tile: it has too many points for one."""
        return self.family == "fourier" and self.size[0] > 1

    @property
    def operations(self) -> Pair:
        """Additions and multiplications to transform a window of inputs, and products back."""
        forth, back = inputs(self), products(self)
        return (
            self.size[1] * forth.down.operations + sum(p.operations for p in forth.across),
            self.outputs[1] * back.down.operations + sum(p.operations for p in back.across),
        )


def _rows(count: int) -> list[int]:
    """How many rows each of Fourier's programs takes."""
    return [1] if count == 1 else [1, 1] + [2] * (count // 2 - 1)


_ONE = Program(1, (), (0,))


@functools.cache
def inputs(tiles: Tiles) -> Passes:
    """Bᵀ."""
    rows, columns = tiles.size
    if tiles.family == "winograd":
        down, along = (straight_line(toom_cook(m, r).bt) for m, r in zip(tiles.outputs, tiles.taps, strict=True))
        return Passes(down, (along,) * rows)
    down = fourier.columns(rows) if rows > 1 else _ONE
    return Passes(down, tuple(fourier.inputs(columns, k) for k in _rows(rows)))


@functools.cache
def filters(tiles: Tiles) -> Passes:
    """G, of a window of the taps; Fourier's window has zeros behind them."""
    rows, columns = tiles.size
    if tiles.family == "winograd":
        down, along = (straight_line(toom_cook(m, r).g) for m, r in zip(tiles.outputs, tiles.taps, strict=True))
        return Passes(down, (along,) * rows)
    down = fourier.columns(rows) if rows > 1 else _ONE
    scaled = Writer(rows)
    spectrum = scaled.run(down, range(rows))
    scale = 1 / (rows * columns)
    down = scaled.program([scaled.sum((scale, value)) for value in spectrum])
    return Passes(down, tuple(fourier.filters(columns, k) for k in _rows(rows)))


@functools.cache
def products(tiles: Tiles) -> Passes:
    """Aᵀ; Fourier's makes more outputs than the tile has, its own first."""
    rows, columns = tiles.size
    if tiles.family == "winograd":
        down, along = (straight_line(toom_cook(m, r).at) for m, r in zip(tiles.outputs, tiles.taps, strict=True))
        return Passes(down, (along,) * rows)
    down = fourier.transposed(fourier.columns(rows)) if rows > 1 else _ONE
    return Passes(down, tuple(fourier.outputs(columns, k) for k in _rows(rows)))


def forth(passes: Passes, columns: int) -> Program:
    """A window of that many columns, row by row, to its points."""
    rows = passes.down.inputs
    w = Writer(rows * columns)
    lines = [w.run(passes.down, range(j, rows * columns, columns)) for j in range(columns)]
    values = [line[i] for i in range(len(passes.down.outputs)) for line in lines]
    return w.program(_across(w, passes.across, values))


def side_by_side(across: Sequence[Program]) -> Program:
    """Programs on a share of the values each."""
    w = Writer(sum(program.inputs for program in across))
    return w.program(_across(w, across, range(w.inputs)))


def back(tiles: Tiles) -> Program:
    """Products to the outputs of a tile, row by row."""
    passes, (m_h, m_w) = products(tiles), tiles.outputs
    w = Writer(tiles.points)
    values = _across(w, passes.across, range(tiles.points))
    width = len(values) // passes.down.inputs
    lines = [w.run(passes.down, values[j::width])[:m_h] for j in range(m_w)]
    return w.program([line[i] for i in range(m_h) for line in lines])


def _across(w: Writer, across: Sequence[Program], values: Sequence[int]) -> list[int]:
    """The outputs of every program on its share of the values."""
    out: list[int] = []
    first = 0
    for program in across:
        out += w.run(program, values[first : first + program.inputs])
        first += program.inputs
    return out


def count(outputs: Sequence[int], tiles: Tiles) -> Pair:
    """Rows and columns of tiles that cover so many outputs."""
    rows, columns = (math.ceil(size / m) for size, m in zip(outputs, tiles.outputs, strict=True))
    return rows, columns
