"""The products of Winograd's tiles at one point: the micro-kernel of a matrix product whose operands are not packed,
but lie as the transforms leave them, a vector of channels a tile.

Up to ROWS rows at a time, and as few as there are: 16 tiles are 8 and 8, not 14 and 2. The sums of a call are
LLVM values from the first product to the last.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compile import jit
from . import simd
from .tile import ROWS, VECTORS


@intrinsic
def _multiply(
    typingctx: Any, rows: Any, vectors: Any, depth: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, c: Any,
    c_row: Any, more: Any, zero: Any,
) -> Any:  # fmt: skip
    """c = a · b, or c += a · b with `more`, for an even number of rows and one or VECTORS vectors; see `multiply`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, *others, _ = args
        done = builder.append_basic_block("multiplied")
        switch = builder.switch(builder.add(builder.mul(rows, simd.I64(VECTORS + 1)), vectors), done)
        for count in range(2, ROWS + 1, 2):
            for width in range(1, VECTORS + 1):
                case = builder.append_basic_block(f"tile_{count}x{width}")
                switch.add_case(simd.I64(count * (VECTORS + 1) + width), case)
                builder.position_at_end(case)
                _tile(builder, count, width, zero, *others)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 10, types.boolean, zero), codegen


def _tile(
    builder: Any, rows: int, vectors: int, zero: Any, depth: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any,
    c: Any, c_row: Any, more: Any,
) -> None:  # fmt: skip
    """One register tile, unrolled: `depth` outer products, then its store."""
    lanes, item = simd.lanes_of(zero), zero.bitwidth // 8
    vector = ir.VectorType(simd.llvm_scalar(zero), lanes)
    # Few registers hold the rows' distances: what is left is a scaled index. The rows' second half has its own base.
    half = (rows + 1) // 2
    distances = [builder.mul(a_row, simd.I64(i)) for i in range(half)]
    places = [
        builder.add(builder.add(c, builder.mul(c_row, simd.I64(i))), simd.I64(j * lanes * item))
        for i in range(rows)
        for j in range(vectors)
    ]
    entry = builder.block
    before, head, body, end = (builder.append_basic_block(name) for name in ("before", "head", "body", "end"))
    builder.cbranch(more, before, head)
    builder.position_at_end(before)
    kept = [simd.load(builder, place, zero, zero, lanes) for place in places]
    builder.branch(head)
    builder.position_at_end(head)
    step = builder.phi(simd.I64)
    left, right = builder.phi(simd.I64), builder.phi(simd.I64)
    totals = [builder.phi(vector) for _ in range(rows * vectors)]
    builder.cbranch(builder.icmp_signed("<", step, depth), body, end)
    builder.position_at_end(body)
    columns = [
        simd.load(builder, builder.add(right, simd.I64(j * lanes * item)), zero, zero, lanes) for j in range(vectors)
    ]
    second = builder.add(left, builder.mul(a_row, simd.I64(half)))
    sums = []
    for i in range(rows):
        where = builder.add(left if i < half else second, distances[i % half])
        factor = simd.broadcast(builder, simd.load(builder, where, zero, zero), lanes)
        for j in range(vectors):
            sums.append(simd.multiply_add(builder, factor, columns[j], totals[i * vectors + j]))
    for value, first, move in ((step, simd.I64(0), simd.I64(1)), (left, a, a_step), (right, b, b_step)):
        value.add_incoming(first, entry)
        value.add_incoming(first, before)
        value.add_incoming(builder.add(value, move), body)
    for total, value, old in zip(totals, sums, kept, strict=True):
        total.add_incoming(ir.Constant(vector, None), entry)
        total.add_incoming(old, before)
        total.add_incoming(value, body)
    builder.branch(head)
    builder.position_at_end(end)
    for total, place in zip(totals, places, strict=True):
        simd.store(builder, total, place, zero, zero)


@jit
def multiply(
    rows: int, vectors: int, depth: int, a: int, a_row: int, a_step: int, b: int, b_step: int, c: int, c_row: int,
    more: bool, zero: Any,
) -> None:  # fmt: skip
    """c[rows, vectors of lanes] = a[rows, depth] · b[depth, vectors of lanes], at byte addresses; `more`: c += it.

    a_row, c_row: bytes between rows; a_step, b_step: bytes between steps of the sum. An odd last row is computed
    together with what
    lies behind it, in a as in c.
    """
    simd.outlined()
    panels = (rows + ROWS - 1) // ROWS
    first = 0
    for panel in range(panels):
        even = ((rows - first + panels - panel - 1) // (panels - panel) + 1) // 2 * 2
        _multiply(
            even, vectors, depth, a + first * a_row, a_row, a_step, b, b_step, c + first * c_row, c_row, more, zero
        )  # fmt: skip
        first += even
