"""The micro-kernel: a register tile of the product of two panels.

It is compiled for tiles of 14, 12, … 2 rows (AVX-512; 6, 4, 2 else), two vectors wide and one, because a tile of few
rows leaves too few sums in flight to hide the latency of a multiply-add: rows are therefore cut into tiles that
are as even as they can be (`tiles_of`, `tile_start`), 16 of them into 8 and 8 and not into 14 and 2.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import OpaqueModel
from numba.extending import intrinsic, register_model

from ..compile import jit
from . import simd, tile
from .tile import ROWS, VECTORS

# Rows of the micro-kernels, as literals; where ROWS is less, several names mean the same kernel.
_14, _12, _10, _8, _6, _4, _2 = (min(rows, ROWS) for rows in (14, 12, 10, 8, 6, 4, 2))


class Shape(types.Type):
    """The type of a tile to be, without its registers: what a micro-kernel is compiled for."""

    def __init__(self, dtype: types.Type, rows: int, vectors: int) -> None:
        self.tile = tile.Tile(dtype, rows, vectors)
        super().__init__(name=f"Shape({dtype}, {rows}, {vectors})")


@register_model(Shape)
class _ShapeModel(OpaqueModel):
    pass


@intrinsic(prefer_literal=True)
def shape(typingctx: Any, zero: Any, rows: Any, vectors: Any) -> Any:
    """The shape of a tile; rows and vectors are literals."""
    kind = Shape(types.unliteral(zero), rows.literal_value, vectors.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return kind(zero, rows, vectors), codegen


@intrinsic
def cleared(typingctx: Any, shape: Any) -> Any:
    """A tile of zeros of that shape."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(shape.tile.data, None)

    return shape.tile(shape), codegen


@intrinsic
def item_of(typingctx: Any, array: Any) -> Any:
    """Bytes of an array's elements, as a constant of the code."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, array.dtype.bitwidth // 8)

    return types.intp(array), codegen


def _places(builder: Any, kind: Any, first: Any, stride: Any) -> Any:
    """Every vector of a tile whose rows are `stride` bytes apart: its index and its byte address."""
    item = kind.dtype.bitwidth // 8 * kind.lanes
    for i in range(kind.rows):
        row = builder.add(first, builder.mul(stride, simd.I64(i)))
        for j in range(kind.vectors):
            yield i * kind.vectors + j, builder.add(row, simd.I64(j * item))


@intrinsic
def add_rows(typingctx: Any, total: Any, first: Any, stride: Any) -> Any:
    """A tile plus the one whose rows lie at byte addresses first, first + stride, …, of the accumulator's type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, kind = args[0], total.dtype
        add = builder.add if isinstance(simd.llvm_scalar(kind), ir.IntType) else builder.fadd
        for at, where in _places(builder, total, args[1], args[2]):
            term = simd.load(builder, where, kind, kind, total.lanes)
            value = builder.insert_value(value, add(builder.extract_value(value, at), term), at)
        return value

    return total(total, types.intp, types.intp), codegen


@intrinsic
def store_rows(typingctx: Any, total: Any, target: Any, first: Any, stride: Any) -> Any:
    """Write the rows of a tile to byte addresses first, first + stride, …, rounded to target's storage type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        item = target.dtype.bitwidth // 8 * total.lanes
        for i in range(total.rows):
            row = builder.add(args[2], builder.mul(args[3], simd.I64(i)))
            for j in range(total.vectors):
                value = builder.extract_value(args[0], i * total.vectors + j)
                simd.store(builder, value, builder.add(row, simd.I64(j * item)), target.dtype, total.dtype)
        return context.get_dummy_value()

    return types.void(total, target, types.intp, types.intp), codegen


@intrinsic
def prefetch_rows(typingctx: Any, shape: Any, first: Any, stride: Any) -> Any:
    """Have the lines fetched that a tile at these addresses will be added to."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, simd.I32, simd.I32, simd.I32]), "llvm.prefetch.p0"
        )
        for _, where in _places(builder, shape.tile, args[1], args[2]):
            builder.call(prefetch, [builder.inttoptr(where, byte), simd.I32(1), simd.I32(3), simd.I32(1)])
        return context.get_dummy_value()

    return types.void(shape, types.intp, types.intp), codegen


@jit
def tiles_of(rows: int) -> int:
    """Tiles that so many rows are cut into."""
    return (rows + ROWS - 1) // ROWS


@jit
def tile_start(index: int, rows: int) -> int:
    """First row of a tile; the one past the last gives the rows, rounded up to a pair."""
    return (rows + 1) // 2 * index // tiles_of(rows) * 2


@jit
def panel_product(
    shape: Any, depth: int, a: Any, p: int, a_step: int, b: Any, q: int, b_step: int,
    more: bool, target: Any, at: int, stride: int,
) -> None:  # fmt: skip
    """One tile: rows at byte addresses p, p + item, … times vectors at q, both moved on by a step `depth` times.

    It is written to rows `stride` bytes apart from byte address `at` on, or with `more` added to what is there. a, b
    and target only tell the types of storage.
    """
    simd.outlined()
    if more:
        prefetch_rows(shape, at, stride)
    total = cleared(shape)
    for _ in range(depth):
        total = tile.outer_strided(total, a, p, item_of(a), b, q)
        p += a_step
        q += b_step
    if more:
        total = add_rows(total, at, stride)
    store_rows(total, target, at, stride)


@jit
def tile_product(
    rows: int, vectors: int, depth: int, a: Any, p: int, a_step: int, b: Any, q: int, b_step: int,
    more: bool, target: Any, at: int, stride: int, zero: Any,
) -> None:  # fmt: skip
    """panel_product of the smallest tile that has so many rows and vectors; zero is of the accumulator's type."""
    simd.outlined()
    if vectors == VECTORS:
        if rows > _12:
            panel_product(shape(zero, _14, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _10:
            panel_product(shape(zero, _12, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _8:
            panel_product(shape(zero, _10, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _6:
            panel_product(shape(zero, _8, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _4:
            panel_product(shape(zero, _6, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _2:
            panel_product(shape(zero, _4, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        else:
            panel_product(shape(zero, _2, VECTORS), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
    else:
        if rows > _12:
            panel_product(shape(zero, _14, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _10:
            panel_product(shape(zero, _12, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _8:
            panel_product(shape(zero, _10, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _6:
            panel_product(shape(zero, _8, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _4:
            panel_product(shape(zero, _6, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        elif rows > _2:
            panel_product(shape(zero, _4, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
        else:
            panel_product(shape(zero, _2, 1), depth, a, p, a_step, b, q, b_step, more, target, at, stride)
