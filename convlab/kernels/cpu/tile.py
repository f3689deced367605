"""The register tile: `rows` × `vectors` accumulators that live in vector registers while a reduction runs.

A tile is a value: operations return a new one, LLVM keeps it in registers (14 × 2 on AVX-512, 6 × 2 on
AVX2: as many as leave room for one column of b and one broadcast of a). What a kernel does with it is an
outer product a step: each row's element, broadcast, times a row of `vectors` vectors.
"""

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from . import simd

# Block sizes of every kernel built on tiles. One vector fewer than 2 halves the work where few lanes are left.
VECTORS = 2
# Left for a column of b and a broadcast of a; schedulers for NEON hold more (14 rows spill on neoverse-n1).
_SPARE = 8 if "neon" in simd.FEATURES else 4
ROWS = (simd.REGISTERS - _SPARE) // VECTORS // 2 * 2
# Vectors in a tile.
TILE = ROWS * VECTORS


class Tile(types.Type):
    """Numba type of a tile; `dtype` is the accumulator's."""

    def __init__(self, dtype: types.Type, rows: int, vectors: int) -> None:
        self.dtype, self.rows, self.vectors = dtype, rows, vectors
        super().__init__(name=f"Tile({dtype}, {rows}, {vectors})")

    @property
    def lanes(self) -> int:
        return simd.lanes_of(self.dtype)

    @property
    def data(self) -> ir.ArrayType:
        return ir.ArrayType(ir.VectorType(simd.llvm_scalar(self.dtype), self.lanes), self.rows * self.vectors)


@register_model(Tile)
class _TileModel(PrimitiveModel):
    def __init__(self, manager: Any, tile: Tile) -> None:
        super().__init__(manager, tile, tile.data)


@intrinsic(prefer_literal=True)
def zeros(typingctx: Any, zero: Any, rows: Any, vectors: Any) -> Any:
    """A tile of zeros; rows and vectors are literals."""
    tile = Tile(types.unliteral(zero), rows.literal_value, vectors.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(tile.data, None)

    return tile(zero, rows, vectors), codegen


@intrinsic(prefer_literal=True)
def spread(typingctx: Any, zero: Any, begin: Any, rows: Any, vectors: Any) -> Any:
    """A tile whose row i is filled with begin[i], accumulators; rows and vectors are literals."""
    tile = Tile(types.unliteral(zero), rows.literal_value, vectors.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, value = context.make_array(begin)(context, builder, args[1]).data, ir.Constant(tile.data, ir.Undefined)
        for i in range(tile.rows):
            row = simd.broadcast(builder, builder.load(builder.gep(data, [simd.I64(i)])), tile.lanes)
            for j in range(tile.vectors):
                value = builder.insert_value(value, row, i * tile.vectors + j)
        return value

    return tile(zero, begin, rows, vectors), codegen


@intrinsic
def put(typingctx: Any, tile: Any, count: Any, low: Any, high: Any, y: Any, position: Any, stride: Any) -> Any:
    """Store the first `count` rows at byte addresses position, position + stride, …, rounded to y's storage type.

    Floating-point numbers are first brought between low and high; NaN stays NaN.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, count, low, high, _, position, stride = args
        bounds = [simd.broadcast(builder, bound, tile.lanes) for bound in (low, high)]
        for i in range(tile.rows):
            with builder.if_then(builder.icmp_signed("<", simd.I64(i), count), likely=True):
                row = builder.add(position, builder.mul(stride, simd.I64(i)))
                for j in range(tile.vectors):
                    vector = builder.extract_value(value, i * tile.vectors + j)
                    if isinstance(tile.dtype, types.Float):
                        for bound, beyond in zip(bounds, "><", strict=True):
                            vector = builder.select(builder.fcmp_ordered(beyond, bound, vector), bound, vector)
                    where = builder.add(row, simd.I64(j * tile.lanes * y.dtype.bitwidth // 8))
                    simd.store(builder, vector, where, y.dtype, tile.dtype)
        return context.get_dummy_value()

    return types.void(tile, types.intp, tile.dtype, tile.dtype, y, types.intp, types.intp), codegen


def _outer(builder: Any, tile: Tile, value: Any, rows: Iterable[Any], panel: Any, a: Any, b: Any) -> Any:
    """tile[i, :] += a[rows[i]] · b[panel …]: the one place where products are summed."""
    item = b.bitwidth // 8 * tile.lanes
    columns = [
        simd.load(builder, builder.add(panel, simd.I64(j * item)), b, tile.dtype, tile.lanes)
        for j in range(tile.vectors)
    ]
    for i, row in enumerate(rows):
        factor = simd.broadcast(builder, simd.load(builder, row, a, tile.dtype), tile.lanes)
        for j, column in enumerate(columns):
            at = i * tile.vectors + j
            total = simd.multiply_add(builder, factor, column, builder.extract_value(value, at))
            value = builder.insert_value(value, total, at)
    return value


@intrinsic
def outer_at(typingctx: Any, tile: Any, a: Any, addresses: Any, b: Any, panel: Any) -> Any:
    """tile += column ⊗ row: element i of the column at byte address addresses[i], the row at byte address `panel`.

    a and b are arrays that only tell the storage types.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [builder.extract_value(args[2], i) for i in range(tile.rows)]
        return _outer(builder, tile, args[0], rows, args[4], a.dtype, b.dtype)

    return tile(tile, a, addresses, b, types.intp), codegen


@intrinsic
def outer_shifted(typingctx: Any, tile: Any, a: Any, addresses: Any, shift: Any, b: Any, panel: Any) -> Any:
    """outer_at, with every address of the column moved by `shift` bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [builder.add(builder.extract_value(args[2], i), args[3]) for i in range(tile.rows)]
        return _outer(builder, tile, args[0], rows, args[5], a.dtype, b.dtype)

    return tile(tile, a, addresses, types.intp, b, types.intp), codegen


@intrinsic
def outer_listed(
    typingctx: Any, tile: Any, a: Any, places: Any, first: Any, shift: Any, b: Any, panel: Any
) -> Any:  # fmt: skip
    """tile += column ⊗ row with the column at byte addresses places[first], places[first + 1], … moved by `shift`.

    The addresses are read again at every step, because they do not fit into the registers: LLVM would advance each of
    them in memory instead. Atomic reads are the ones that it leaves where they are.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[2])(context, builder, args[2]).data
        listed = builder.gep(data, [args[3]])
        starts = (builder.load_atomic(builder.gep(listed, [simd.I64(i)]), "monotonic", 8) for i in range(tile.rows))
        rows = (builder.add(start, args[4]) for start in starts)  # each read where it is used
        return _outer(builder, tile, args[0], rows, args[6], a.dtype, b.dtype)

    return tile(tile, a, places, types.intp, types.intp, b, types.intp), codegen


@intrinsic
def outer_strided(typingctx: Any, tile: Any, a: Any, first: Any, step: Any, b: Any, panel: Any) -> Any:
    """tile += column ⊗ row with the column at byte addresses first, first + step, …"""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [builder.add(args[2], builder.mul(args[3], simd.I64(i))) for i in range(tile.rows)]
        return _outer(builder, tile, args[0], rows, args[5], a.dtype, b.dtype)

    return tile(tile, a, types.intp, types.intp, b, types.intp), codegen


@intrinsic
def outer_packed(typingctx: Any, tile: Any, a: Any, first: Any, b: Any, panel: Any) -> Any:
    """tile += column ⊗ row with the column side by side from byte address `first` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [builder.add(args[2], simd.I64(i * a.dtype.bitwidth // 8)) for i in range(tile.rows)]
        return _outer(builder, tile, args[0], rows, args[4], a.dtype, b.dtype)

    return tile(tile, a, types.intp, b, types.intp), codegen


@intrinsic
def inner_shifted(
    typingctx: Any, tile: Any, a: Any, addresses: Any, shift: Any, b: Any, position: Any, count: Any
) -> Any:  # fmt: skip
    """tile[i, :] += a[addresses[i] + shift …] · b[position …], vector times vector, in its first `count` lanes.

    For tiles of one vector. What a and b hold in the other lanes is read and not used.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, lanes = args[0], tile.lanes
        places = ir.Constant(ir.VectorType(simd.I64, lanes), [simd.I64(i) for i in range(lanes)])
        mask = builder.icmp_signed("<", places, simd.broadcast(builder, args[6], lanes))
        column = simd.load(builder, args[5], b.dtype, tile.dtype, lanes)
        nothing = ir.Constant(column.type, None)
        column = builder.select(mask, column, nothing)
        for i in range(tile.rows):
            address = builder.add(builder.extract_value(args[2], i), args[3])
            row = builder.select(mask, simd.load(builder, address, a.dtype, tile.dtype, lanes), nothing)
            total = simd.multiply_add(builder, row, column, builder.extract_value(value, i))
            value = builder.insert_value(value, total, i)
        return value

    return tile(tile, a, addresses, types.intp, b, types.intp, types.intp), codegen


@intrinsic
def load(typingctx: Any, tile: Any, buffer: Any, position: Any) -> Any:
    """The tile kept at element `position` of an accumulator buffer; the argument tells only the type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = ir.Constant(tile.data, ir.Undefined)
        for at, where in _vectors(context, builder, tile, signature.args[1], args[1], args[2]):
            value = builder.insert_value(value, simd.load(builder, where, tile.dtype, tile.dtype, tile.lanes), at)
        return value

    return tile(tile, buffer, types.intp), codegen


@intrinsic
def store(typingctx: Any, tile: Any, buffer: Any, position: Any) -> Any:
    """Keep a tile at element `position` of an accumulator buffer, row after row."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for at, where in _vectors(context, builder, tile, signature.args[1], args[1], args[2]):
            simd.store(builder, builder.extract_value(args[0], at), where, tile.dtype, tile.dtype)
        return context.get_dummy_value()

    return types.void(tile, buffer, types.intp), codegen


def _vectors(context: Any, builder: Any, tile: Tile, array_type: Any, array: Any, position: Any) -> Any:
    """Every vector of a tile in a buffer: its index in the tile and its byte address."""
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.ptrtoint(builder.gep(data, [position]), simd.I64)
    item = tile.dtype.bitwidth // 8 * tile.lanes
    for at in range(tile.rows * tile.vectors):
        yield at, builder.add(first, simd.I64(at * item))


@intrinsic(prefer_literal=True)
def addresses(typingctx: Any, array: Any, position: Any, rows: Any) -> Any:
    """`rows` (a literal) consecutive elements of an intp array, as a tuple that stays in registers."""
    count = rows.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        values = [builder.load(builder.gep(data, [builder.add(args[1], simd.I64(i))])) for i in range(count)]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(types.intp, count)(array, types.intp, rows), codegen


@intrinsic
def advance(typingctx: Any, position: Any, step: Any) -> Any:
    """Element by element sum of two tuples of addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = [
            builder.add(builder.extract_value(args[0], i), builder.extract_value(args[1], i))
            for i in range(position.count)
        ]
        return context.make_tuple(builder, signature.return_type, sums)

    return position(position, step), codegen
