"""Sums of blocks of a matrix as operands of a product: what a bilinear scheme multiplies.

They are summed while they are packed. Huang, Smith, Henry and van de Geijn, "Strassen's algorithm reloaded", SC 2016.
Blocks are of one size; what of the last ones lies outside the matrix is zero.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ..bilinear import Scheme
from ..bilinear import Term as ExactTerm
from ..compile import jit
from . import memory, simd, transpose
from .microkernel import tile_start, tiles_of
from .operands import is_a, pack_lanes, pack_rows
from .simd import vector
from .tile import VECTORS

# Blocks in a sum at most.
MAX_TERMS = 64
# Steps of all panels of b that are packed before the next steps: rows of a large matrix lie on a page each.
AT_ONCE = 64
# Bytes that a sum fetches ahead in each row, to L2: rows of large matrices are alike modulo 4 KiB and push each other
# out of L1. Of 4096², a sum of two blocks packed, ns an element: nothing fetched 0.8, to L1 0.65, to L2 0.55.
AHEAD = 256


class Terms(NamedTuple):
    """The sums of a scheme, one after the other: sum i is terms starts[i] … starts[i + 1] − 1, of factor × block.

    again, final: whether an earlier sum has a term of the same block, and whether no later one has.
    """

    starts: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    factors: np.ndarray
    again: np.ndarray
    final: np.ndarray


def terms(scheme: Scheme, dtype: np.dtype) -> tuple[Terms, Terms, Terms]:
    """The sums of a's, b's and c's blocks, with factors of that dtype.

    Raises ValueError for a scheme with a sum of more than MAX_TERMS blocks.
    """
    longest = max(len(side) for product in scheme.products for side in product)
    if longest > MAX_TERMS:
        raise ValueError(f"a sum of {longest} blocks; kernels add up {MAX_TERMS} at most")
    return tuple(_terms([product[i] for product in scheme.products], dtype) for i in range(3))  # type: ignore[return-value]


def _terms(sums: list[tuple[ExactTerm, ...]], dtype: np.dtype) -> Terms:
    flat = [term for total in sums for term in total]
    places = [(term.row, term.column) for term in flat]
    return Terms(
        np.cumsum([0] + [len(total) for total in sums]),
        np.array([row for row, _ in places]),
        np.array([column for _, column in places]),
        np.array([float(term.coefficient) for term in flat]).astype(dtype),
        np.array([place in places[:i] for i, place in enumerate(places)]),
        np.array([place not in places[i + 1 :] for i, place in enumerate(places)]),
    )


class Sum(NamedTuple):
    """Σ factor · block over terms first … last − 1, the blocks `high` × `wide` of a matrix: its first element, its
    byte offset, its size and its strides in bytes, as of a Matrix."""

    data: np.ndarray
    origin: int
    rows: int
    columns: int
    row_step: int
    column_step: int
    high: int
    wide: int
    at_rows: np.ndarray
    at_columns: np.ndarray
    factors: np.ndarray
    first: int
    last: int


@jit
def block_sum(m: Any, sums: Any, index: int, high: int, wide: int) -> Any:
    """One of the sums of blocks of a Matrix."""
    return Sum(
        m.data, m.origin, m.rows, m.columns, m.row_step, m.column_step, high, wide, sums.rows, sums.columns,
        sums.factors, sums.starts[index], sums.starts[index + 1],
    )  # fmt: skip


@jit
def sum_from(s: Any, row: int, column: int) -> Any:
    """What a sum is from that row and column of its blocks on."""
    return Sum(
        s.data, s.origin + row * s.row_step + column * s.column_step, s.rows - row, s.columns - column, s.row_step,
        s.column_step, s.high, s.wide, s.at_rows, s.at_columns, s.factors, s.first, s.last,
    )  # fmt: skip


@jit
def turned(s: Any) -> Any:
    """The sum of the transposed blocks of the transposed matrix."""
    return Sum(
        s.data, s.origin, s.columns, s.rows, s.column_step, s.row_step, s.wide, s.high, s.at_columns, s.at_rows,
        s.factors, s.first, s.last,
    )  # fmt: skip


@jit
def sum_panel(s: Any, row: int, count: int, width: int, step: int, depth: int, zero: Any, q: int) -> None:
    """One panel: the sum's element (row + i, step + j) goes to [j][i] at byte address q, i < count ≤ width.

    A vector past the panel's end may be written to.
    """
    simd.outlined()
    bases, factors = memory.stack(1, MAX_TERMS), memory.stack(zero, MAX_TERMS)
    heights, lengths = memory.stack(1, MAX_TERMS), memory.stack(1, MAX_TERMS)
    item, lanes = s.data.itemsize, simd.lanes(zero)
    found, high, long = 0, count, depth  # high, long: what all blocks have
    for t in range(s.first, s.last):
        above, left = s.at_rows[t] * s.high + row, s.at_columns[t] * s.wide + step
        heights[found], lengths[found] = min(s.rows - above, count), min(s.columns - left, depth)
        if heights[found] > 0 and lengths[found] > 0:
            bases[found] = memory.address(s.data) + s.origin + above * s.row_step + left * s.column_step
            factors[found] = s.factors[t]
            high, long = min(high, heights[found]), min(long, lengths[found])
            found += 1
    turn = s.column_step == item
    if not transpose.transposes(zero) or (not turn and s.row_step != item):
        return sum_elements(s, bases, factors, heights, lengths, found, count, width, depth, zero, q)
    line = width * item
    for j in range(0, depth, lanes):
        steps = min(lanes, depth - j)
        # Later rows first: what a vector has too many is overwritten by the earlier rows of the next step.
        for i in range((width - 1) // lanes * lanes, -1, -lanes):
            offset, target = i * s.row_step + j * s.column_step, q + (j * width + i) * item
            inside = steps == lanes and j + lanes <= long
            if turn and inside and high == count:
                rows = min(lanes, count - i)
                sum_square(
                    bases, factors, heights, lengths, found, i, j, offset, s.row_step, rows, lanes, target, line, zero,
                    True, False,
                )  # fmt: skip
            elif turn:
                sum_square(
                    bases, factors, heights, lengths, found, i, j, offset, s.row_step, lanes, steps, target, line,
                    zero, True, True,
                )  # fmt: skip
            elif inside and i + lanes <= high:
                sum_square(
                    bases, factors, lengths, heights, found, j, i, offset, s.column_step, lanes, lanes, target, line,
                    zero, False, False,
                )  # fmt: skip
            else:
                sum_square(
                    bases, factors, lengths, heights, found, j, i, offset, s.column_step, lanes, steps, target, line,
                    zero, False, True,
                )  # fmt: skip
    return None


@jit
def sum_elements(
    s: Any, bases: Any, factors: Any, heights: Any, lengths: Any, found: int, count: int, width: int, depth: int,
    zero: Any, q: int,
) -> None:  # fmt: skip
    """A panel of a matrix whose neighbours are no neighbours in memory."""
    simd.outlined()
    for j in range(depth):
        for i in range(count):
            total = zero
            for t in range(found):
                if i < heights[t] and j < lengths[t]:
                    value = memory.load_at(s.data, zero, bases[t] + i * s.row_step + j * s.column_step)
                    total = vector.fma(factors[t], value, total)
            memory.keep_at(q + (j * width + i) * s.data.itemsize, total)


@intrinsic(prefer_literal=True)
def sum_square(
    typingctx: Any, bases: Any, factors: Any, counts: Any, sizes: Any, found: Any, first: Any, second: Any,
    offset: Any, stride: Any, rows: Any, kept: Any, target: Any, line: Any, zero: Any, turn: Any, edge: Any,
) -> Any:  # fmt: skip
    """Σ factors[t] · the square of vectors at byte address bases[t] + offset, t < found, to `target`.

    Its vectors are read `stride` bytes apart, those past the first `rows` as the last again, and written `line` bytes
    apart, transposed if the literal `turn` says so; later ones after earlier ones. At an `edge` (a literal) only the
    first `kept` are written, and what is not there is zero: vector i of term t if first + i ≥ counts[t], and lane l of
    it if second + l ≥ sizes[t].
    """
    kind = types.unliteral(zero)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found, first, second, offset, stride, rows, kept, target, line = args[4:13]
        size = simd.lanes_of(kind)
        wide = ir.VectorType(simd.llvm_scalar(kind), size)
        bases, factors, counts, sizes = (
            context.make_array(signature.args[i])(context, builder, args[i]).data for i in range(4)
        )
        last = builder.sub(rows, simd.I64(1))
        distances = []
        for i in range(size):
            inside = builder.icmp_signed("<", simd.I64(i), rows)
            row = builder.select(inside, simd.I64(i), last)
            distances.append(builder.add(offset, builder.mul(row, stride)))
        sums = [cgutils.alloca_once_value(builder, ir.Constant(wide, None)) for _ in range(size)]
        for place in sums:  # again each time that this is run
            builder.store(ir.Constant(wide, None), place)
        with cgutils.for_range(builder, found) as loop:
            base, factor, count, length = (
                builder.load(builder.gep(data, [loop.index])) for data in (bases, factors, counts, sizes)
            )
            factor = simd.broadcast(builder, factor, size)
            for i, (place, distance) in enumerate(zip(sums, distances, strict=True)):
                at = builder.add(base, distance)
                if edge.literal_value:
                    there = builder.icmp_signed("<", builder.add(first, simd.I64(i)), count)
                    lanes = builder.select(there, builder.sub(length, second), simd.I64(0))
                    value = simd.load_first(builder, at, kind, size, lanes)
                else:
                    value = simd.load(builder, at, kind, kind, size)
                    simd.fetch(builder, builder.add(at, simd.I64(AHEAD)), close=False)
                builder.store(simd.multiply_add(builder, factor, value, builder.load(place)), place)
        values = [builder.load(place) for place in sums]
        for i, value in enumerate(transpose.transpose(builder, values) if turn.literal_value else values):
            where = builder.add(target, builder.mul(line, simd.I64(i)))
            if edge.literal_value:
                with builder.if_then(builder.icmp_signed("<", simd.I64(i), kept)):
                    simd.store(builder, value, where, kind, kind)
            else:
                simd.store(builder, value, where, kind, kind)
        return context.get_dummy_value()

    integer = types.intp
    arrays = bases, factors, counts, sizes
    return types.void(*arrays, *[integer] * 9, zero, turn, edge), codegen


@jit
def pack_sum_rows(a: Any, row: int, rows: int, step: int, depth: int, zero: Any, target: int) -> int:
    for i in range(tiles_of(rows)):
        start, end = tile_start(i, rows), tile_start(i + 1, rows)
        sum_panel(
            a, row + start, min(end, rows) - start, end - start, step, depth, zero,
            target + start * depth * a.data.itemsize,
        )  # fmt: skip
    return target


@jit
def pack_sum_lanes(b: Any, lane: int, lanes: int, step: int, depth: int, zero: Any, target: int) -> None:
    width = VECTORS * simd.lanes(zero)
    line = width * b.data.itemsize
    for first in range(0, depth, AT_ONCE):
        count = min(AT_ONCE, depth - first)
        for start in range(0, lanes, width):
            sum_panel(
                turned(b), lane + start, min(width, lanes - start), width, step + first, count, zero,
                target + (start // width * depth + first) * line,
            )  # fmt: skip


@overload(pack_rows, strict=False)
def _pack_rows(a: Any, row: Any, rows: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    return pack_sum_rows.py_func if is_a(a, Sum) else None


@overload(pack_lanes, strict=False)
def _pack_lanes(b: Any, lane: Any, lanes: Any, step: Any, depth: Any, zero: Any, target: Any) -> Any:
    return pack_sum_lanes.py_func if is_a(b, Sum) else None
