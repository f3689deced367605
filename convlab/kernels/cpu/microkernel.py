"""The micro-kernel: a register tile of a matrix product, for every kernel whose sums are one.

Its operands lie as their strides say: panels of a packed matrix, an image, the tiles of a transform. It is one
function with a case for each tile of 2, 4, … ROWS rows, one or VECTORS vectors wide, because a tile of few rows leaves
too few sums in flight to hide the latency of a multiply-add: rows are therefore cut into tiles that are as even as they
can be (`tiles_of`, `tile_start`), 16 of them into 8 and 8 and not into 14 and 2. The sums are LLVM values from the
first product to the last.

It fetches what it will need: of the operands what comes AHEAD steps later, and a result that it adds to. (To fetch the
result a row at a time between the products was faster for an hour, and then took twice as long on the same machine.)
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compile import jit
from . import simd
from .tile import ROWS, VECTORS

# A step of the largest tile takes 28 cycles, the way from memory 600 (Zen 4). Of the FMA peak, float64, with b and c
# beyond L2: nothing fetched ahead 0.82, b 8 steps ahead 0.83, 20 steps 0.92.
AHEAD = 20


class _Operand(NamedTuple):
    """Storage type, address of the first element, and bytes to the next row (of a) and to the next step."""

    storage: Any
    first: Any
    row: Any
    step: Any


@intrinsic
def _multiply(
    typingctx: Any, rows: Any, vectors: Any, depth: Any, a: Any, p: Any, a_row: Any, a_step: Any, b: Any, q: Any,
    b_step: Any, more: Any, at: Any, stride: Any, zero: Any,
) -> Any:  # fmt: skip
    """`tile_product`, compiled: the choice of a tile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, depth, _, p, a_row, a_step, _, q, b_step, more, at, stride, _ = args
        one, two = (getattr(kind, "dtype", kind) for kind in (a, b))
        operands = _Operand(one, p, a_row, a_step), _Operand(two, q, None, b_step)
        done = builder.append_basic_block("multiplied")
        switch = builder.switch(builder.add(builder.mul(rows, simd.I64(VECTORS + 1)), vectors), done)
        for count in range(2, ROWS + 1, 2):
            for width in range(1, VECTORS + 1):
                case = builder.append_basic_block(f"tile_{count}x{width}")
                switch.add_case(simd.I64(count * (VECTORS + 1) + width), case)
                builder.position_at_end(case)
                with builder.if_then(more):
                    for i in range(count):
                        row = builder.add(at, builder.mul(stride, simd.I64(i)))
                        simd.fetch(builder, row, width * simd.VECTOR_BYTES, write=True)
                sums = _sums(builder, count, width, zero, depth, *operands)
                _put(builder, sums, count, width, zero, more, at, stride)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(
        integer, integer, integer, a, integer, integer, integer, b, integer, integer, types.boolean, integer, integer,
        zero,
    ), codegen  # fmt: skip


def _sums(builder: Any, rows: int, vectors: int, zero: Any, depth: Any, a: _Operand, b: _Operand) -> list[Any]:
    """The sums of `depth` outer products, row after row: a loop, unrolled over the tile."""
    lanes = simd.lanes_of(zero)
    vector = ir.VectorType(simd.llvm_scalar(zero), lanes)
    width = b.storage.bitwidth // 8 * lanes
    # Few registers hold the rows' distances: what is left is a scaled index. The rows' second half has its own base.
    half = (rows + 1) // 2
    distances = [builder.mul(a.row, simd.I64(i)) for i in range(half)]
    entry = builder.block
    head, body, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    step, left, right = (builder.phi(simd.I64) for _ in range(3))
    totals = [builder.phi(vector) for _ in range(rows * vectors)]
    builder.cbranch(builder.icmp_signed("<", step, depth), body, end)
    builder.position_at_end(body)
    columns = [
        simd.load(builder, builder.add(right, simd.I64(j * width)), b.storage, zero, lanes) for j in range(vectors)
    ]
    for operand, now, size in ((a, left, rows * a.storage.bitwidth // 8), (b, right, vectors * width)):
        simd.fetch(builder, builder.add(now, builder.mul(operand.step, simd.I64(AHEAD))), size)
    second = builder.add(left, builder.mul(a.row, simd.I64(half)))
    sums = []
    for i in range(rows):
        where = builder.add(left if i < half else second, distances[i % half])
        factor = simd.broadcast(builder, simd.load(builder, where, a.storage, zero), lanes)
        for j in range(vectors):
            sums.append(simd.multiply_add(builder, factor, columns[j], totals[i * vectors + j]))
    moves = (step, simd.I64(0), simd.I64(1)), (left, a.first, a.step), (right, b.first, b.step)
    for value, first, move in moves:
        value.add_incoming(first, entry)
        value.add_incoming(builder.add(value, move), body)
    for total, value in zip(totals, sums, strict=True):
        total.add_incoming(ir.Constant(vector, None), entry)
        total.add_incoming(value, body)
    builder.branch(head)
    builder.position_at_end(end)
    return totals


def _put(
    builder: Any, sums: list[Any], rows: int, vectors: int, zero: Any, more: Any, at: Any, stride: Any
) -> None:  # fmt: skip
    """Store the sums of a tile, with `more` added to what is there."""
    whole = isinstance(zero, types.Integer)

    def places() -> Iterator[Any]:
        for i in range(rows):
            row = builder.add(at, builder.mul(stride, simd.I64(i)))
            for j in range(vectors):
                yield builder.add(row, simd.I64(j * simd.VECTOR_BYTES))

    with builder.if_else(more) as (adding, plain):
        with adding:
            for total, place in zip(sums, places(), strict=True):
                old = simd.load(builder, place, zero, zero, simd.lanes_of(zero))
                value = builder.add(total, old) if whole else builder.fadd(total, old)
                simd.store(builder, value, place, zero, zero)
        with plain:
            for total, place in zip(sums, places(), strict=True):
                simd.store(builder, total, place, zero, zero)


@jit
def tiles_of(rows: int) -> int:
    """Tiles that so many rows are cut into."""
    return (rows + ROWS - 1) // ROWS


@jit
def tile_start(index: int, rows: int) -> int:
    """First row of a tile; the one past the last gives the rows, rounded up to a pair."""
    return (rows + 1) // 2 * index // tiles_of(rows) * 2


@jit
def tile_product(
    rows: int, vectors: int, depth: int, a: Any, p: int, a_row: int, a_step: int, b: Any, q: int, b_step: int,
    more: bool, at: int, stride: int, zero: Any,
) -> None:  # fmt: skip
    """One tile: rows at byte addresses p, p + a_row, … times vectors at q, both moved on by a step `depth` times.

    It is written to rows `stride` bytes apart from byte address `at` on, or with `more` added to what is there.
    rows: even, 2 to ROWS; vectors: one or VECTORS. a, b: what tells the types of storage, arrays or numbers; zero: of
    the accumulator's type, which is the result's.
    """
    simd.outlined()
    _multiply(rows, vectors, depth, a, p, a_row, a_step, b, q, b_step, more, at, stride, zero)


@jit
def multiply(
    rows: int, vectors: int, depth: int, a: int, a_row: int, a_step: int, b: int, b_step: int, c: int, c_row: int,
    more: bool, zero: Any,
) -> None:  # fmt: skip
    """c[rows, vectors of lanes] = a[rows, depth] · b[depth, vectors of lanes], at byte addresses; `more`: c += it.

    Everything is of zero's type. a_row, c_row: bytes between rows; a_step, b_step: bytes between steps of the sum. An
    odd last row is computed together with what lies behind it, in a as in c.
    """
    simd.outlined()
    for i in range(tiles_of(rows)):
        start, end = tile_start(i, rows), tile_start(i + 1, rows)
        tile_product(
            end - start, vectors, depth, zero, a + start * a_row, a_row, a_step, zero, b, b_step, more,
            c + start * c_row, c_row, zero,
        )  # fmt: skip
