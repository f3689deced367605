"""The products of Winograd's tiles with filters at one point: the micro-kernel of a matrix product whose left operand
lies row after row, as the transform of the inputs leaves it.

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
    typingctx: Any, rows: Any, vectors: Any, depth: Any, a: Any, a_row: Any, b: Any, b_step: Any, c: Any, c_row: Any,
    zero: Any,
) -> Any:  # fmt: skip
    """c = a · b for an even number of rows and one or VECTORS vectors; see `multiply`."""

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

    return types.void(*[types.intp] * 9, zero), codegen


def _tile(
    builder: Any, rows: int, vectors: int, zero: Any, depth: Any, a: Any, a_row: Any, b: Any, b_step: Any, c: Any,
    c_row: Any,
) -> None:  # fmt: skip
    """One register tile, unrolled: `depth` outer products, then its store."""
    lanes, item = simd.lanes_of(zero), zero.bitwidth // 8
    vector = ir.VectorType(simd.llvm_scalar(zero), lanes)
    # Few registers hold the rows' distances: what is left is a scaled index. The rows' second half has its own base.
    half = (rows + 1) // 2
    distances = [builder.mul(a_row, simd.I64(i)) for i in range(half)]
    entry = builder.block
    head, body, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
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
    step.add_incoming(simd.I64(0), entry)
    step.add_incoming(builder.add(step, simd.I64(1)), body)
    for pointer, first, move in ((left, a, simd.I64(item)), (right, b, b_step)):
        pointer.add_incoming(first, entry)
        pointer.add_incoming(builder.add(pointer, move), body)
    for total, value in zip(totals, sums, strict=True):
        total.add_incoming(ir.Constant(vector, None), entry)
        total.add_incoming(value, body)
    builder.branch(head)
    builder.position_at_end(end)
    for i in range(rows):
        row = builder.add(c, builder.mul(c_row, simd.I64(i)))
        for j in range(vectors):
            where = builder.add(row, simd.I64(j * lanes * item))
            simd.store(builder, totals[i * vectors + j], where, zero, zero)


@jit
def multiply(
    rows: int, vectors: int, depth: int, a: int, a_row: int, b: int, b_step: int, c: int, c_row: int, zero: Any
) -> None:
    """c[rows, vectors of lanes] = a[rows, depth] · b[depth, vectors of lanes], at byte addresses.

    a_row, c_row: bytes between rows; b_step: bytes between steps of b. An odd last row is computed together with what
    lies behind it, in a as in c.
    """
    simd.outlined()
    panels = (rows + ROWS - 1) // ROWS
    first = 0
    for panel in range(panels):
        even = ((rows - first + panels - panel - 1) // (panels - panel) + 1) // 2 * 2
        _multiply(even, vectors, depth, a + first * a_row, a_row, b, b_step, c + first * c_row, c_row, zero)
        first += even
