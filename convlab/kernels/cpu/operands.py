"""What a product asks of its operands and of its result, whatever they are: overloaded for each type of them.

A matrix that lies in memory is the plain case (`matrix`). Others make what they are asked for: patches of an image,
sums of matrices. The functions here only name the interface; a NamedTuple takes part by `overload`ing them, and not by
carrying functions, because a dispatcher among the arguments keeps a kernel out of the disk cache.
"""

from typing import Any

from numba import types


def is_a(kind: Any, named: type) -> bool:
    """Whether a Numba type is that of a NamedTuple class."""
    return isinstance(kind, types.BaseNamedTuple) and kind.instance_class is named


def pack_rows(a: Any, row: int, rows: int, step: int, depth: int, zero: Any, target: int) -> int:
    """Write rows row … row + rows − 1 over `depth` steps from `step` on to byte address `target`, and return that; or
    return the address where they are packed already.

    Tile by tile as microkernel.tiles_of cuts them, each [step][row of the tile]; a row that makes up the last pair
    may hold anything. Up to a vector past the end may be written to.
    """
    raise NotImplementedError


def pack_lanes(b: Any, lane: int, lanes: int, step: int, depth: int, zero: Any, target: int) -> None:
    """Write lanes lane … lane + lanes − 1 over `depth` steps from `step` on to byte address `target`.

    In panels of VECTORS vectors, each [step][lane of the panel]; lanes that make up the last panel may hold anything.
    """
    raise NotImplementedError


def place(result: Any, row: int, lane: int, rows: int, lanes: int) -> int:
    """The byte address at which a tile of that size may be written whole, rows row_step(result) apart; 0 for nowhere.

    Only a result of the accumulator's own type has such places. Time to prefetch, too.
    """
    raise NotImplementedError


def row_step(result: Any) -> int:
    """Bytes between the rows of the tiles that go to `place`."""
    raise NotImplementedError


def keep(result: Any, sums: Any, step: int, row: int, lane: int, rows: int, lanes: int, more: bool) -> None:
    """Take a tile that had no place: its rows, `step` elements apart in `sums`, are the result's from (row, lane) on.

    more: whether they add to what earlier steps of the reduction gave.
    """
    raise NotImplementedError
