"""A left operand that is packed as a whole before the product: it is dear to pack, or threads share it."""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from ..compile import jit
from . import simd
from .blis import aligned, row_block
from .operands import is_a, pack_rows
from .simd import CACHE_LINE
from .tile import ROWS


class Packed(NamedTuple):
    """Blocks of `high` rows over `depth` steps, one after the other in `panels`; the operand's rows begin at `first`,
    which is a block's first."""

    panels: np.ndarray
    first: int
    high: int
    depth: int


def workspace(rows: int, depth: int, item: int) -> int:
    """Elements of `panels` for so many rows, however they are cut, and steps, of elements of `item` bytes."""
    slack = (CACHE_LINE + simd.VECTOR_BYTES) // item
    # A block has ROWS rows at least, but the last.
    return (rows + ROWS) * depth + (rows // ROWS + 2) * slack


@jit
def block_at(panels: Any, row: int, high: int, depth: int) -> int:
    """Byte address of the block that begins with a row: a vector may be written to past each one's end."""
    return aligned(panels) + row * depth * panels.itemsize + row // high * simd.VECTOR_BYTES


@jit
def pack_blocks(start: int, stop: int, a: Any, rows: int, step: int, depth: int, zero: Any, panels: Any) -> None:
    """Row blocks start … stop − 1 of an operand's `rows` rows, over `depth` steps from `step` on."""
    high = row_block(rows)
    for row in range(start * high, min(stop * high, rows), high):
        pack_rows(a, row, min(high, rows - row), step, depth, zero, block_at(panels, row, high, depth))


@overload(pack_rows, strict=False)
def _pack_rows(a: Any, row: Any, rows: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    if not is_a(a, Packed):
        return None
    return lambda a, row, rows, step, depth, zero, target: block_at(a.panels, a.first + row, a.high, a.depth)
