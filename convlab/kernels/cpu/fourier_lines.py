"""Columns and rows of Fourier's tiles as unrolled vector code, a channel a lane; for how many points, at run time."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import fourier
from . import simd
from .unrolled import line, run, through


def _each(builder: Any, tiles: Any, n: Any, body: Any) -> None:
    """body(size) for the size that n is at run time."""
    done = builder.append_basic_block("transformed")
    switch = builder.switch(n, done)
    for size in tiles.sizes:
        case = builder.append_basic_block(f"points_{size}")
        switch.add_case(simd.I64(size), case)
        builder.position_at_end(case)
        body(size)
        builder.branch(done)
    builder.position_at_end(done)


@intrinsic(prefer_literal=True)
def columns(
    typingctx: Any, tiles: Any, back: Any, n: Any, first: Any, step: Any, count: Any, zero: Any
) -> Any:  # fmt: skip
    """Transform `count` columns of n vectors in place, those of a column `step` bytes apart; back: literal, whether to
    transform spectra into outputs."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, n, first, step, count, _ = args

        def body(size: int) -> None:
            program = fourier.columns(size)
            if back.literal_value:
                program = fourier.transposed(program)
            with cgutils.for_range(builder, count, intp=simd.I64) as loop:
                start = builder.add(first, builder.mul(loop.index, simd.I64(simd.VECTOR_BYTES)))
                places = line(builder, start, step, size)
                through(builder, program, places, places, zero)

        _each(builder, tiles, n, body)
        return context.get_dummy_value()

    return types.void(tiles, back, *[types.intp] * 4, zero), codegen


@intrinsic(prefer_literal=True)
def rows(
    typingctx: Any, tiles: Any, back: Any, together: Any, n: Any, strip: Any, pitch: Any, points: Any, point_step: Any,
    count: Any, move: Any, point_move: Any, zero: Any,
) -> Any:  # fmt: skip
    """One row, or two, of `count` tiles from a strip to the left factors of products; back: literal, whether from
    products to outputs in a strip.

    together: literal, 1 or 2. The rows begin at byte address strip, pitch apart, `move` from tile to tile.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, _, n, strip, pitch, points, point_step, count, move, point_move, _ = args

        def body(size: int) -> None:
            program = (fourier.outputs if back.literal_value else fourier.inputs)(size, together.literal_value)
            with cgutils.for_range(builder, count, intp=simd.I64) as loop:
                start = builder.add(strip, builder.mul(loop.index, move))
                vectors = _points_of(builder, start, pitch, size, together.literal_value)
                products = builder.add(points, builder.mul(loop.index, point_move))
                factors = line(builder, products, point_step, fourier.points(size, together.literal_value))
                source, target = (factors, vectors) if back.literal_value else (vectors, factors)
                through(builder, program, source, target, zero)

        _each(builder, tiles, n, body)
        return context.get_dummy_value()

    return types.void(tiles, back, together, *[types.intp] * 8, zero), codegen


@intrinsic(prefer_literal=True)
def filter_rows(
    typingctx: Any, tiles: Any, together: Any, n: Any, given: Any, scale: Any, strip: Any, pitch: Any, points: Any,
    point_step: Any, count: Any, move: Any, point_move: Any, zero: Any,
) -> Any:  # fmt: skip
    """`rows` to the right factors, of the first `given` vectors of a row times `scale`; behind them are zeros,
    whatever the strip has there."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, n, given, scale, strip, pitch, points, point_step, count, move, point_move, _ = args
        scales = simd.broadcast(builder, scale, simd.lanes_of(zero))
        nothing = ir.Constant(scales.type, [ir.Constant(scales.type.element, 0.0)] * scales.type.count)

        def body(size: int) -> None:
            program = fourier.filters(size, together.literal_value)
            with cgutils.for_range(builder, count, intp=simd.I64) as loop:
                start = builder.add(strip, builder.mul(loop.index, move))
                values = []
                for i, at in enumerate(_points_of(builder, start, pitch, size, together.literal_value)):
                    value = builder.fmul(simd.load(builder, at, zero, zero, simd.lanes_of(zero)), scales)
                    inside = builder.icmp_signed("<", simd.I64(i % size), given)
                    values.append(builder.select(inside, value, nothing))
                products = builder.add(points, builder.mul(loop.index, point_move))
                factors = line(builder, products, point_step, fourier.points(size, together.literal_value))
                for at, value in zip(factors, run(builder, program, values), strict=True):
                    simd.store(builder, value, at, zero, zero)

        _each(builder, tiles, n, body)
        return context.get_dummy_value()

    return types.void(tiles, together, types.intp, types.intp, zero, *[types.intp] * 7, zero), codegen


def _points_of(builder: Any, first: Any, pitch: Any, size: int, together: int) -> list[Any]:
    """Addresses of the vectors of so many rows."""
    starts = (builder.add(first, builder.mul(pitch, simd.I64(i))) for i in range(together))
    return [address for start in starts for address in line(builder, start, simd.I64(simd.VECTOR_BYTES), size)]
