"""Tiles of 8, 16 and 32 points along the last two axes, transformed by Fourier: unrolled vector code, a channel a lane.

Columns first, in place in the strip, where neighbouring tiles share them. Then rows: those of frequencies 0 and n/2
alone, the others in pairs of a cosine and a sine. A kernel of one row has rows alone. Products come row by row.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.pythonapi import NativeValue
from numba.extending import intrinsic, models, register_model, typeof_impl, unbox

from .. import fourier
from ..compile import jit
from . import memory, simd, tile_transform
from .transform import line, through

INPUT, FILTER, OUTPUT = range(3)


@dataclass(frozen=True)
class Fourier:
    """Tiles of each of those numbers of points, powers of two."""

    sizes: tuple[int, ...] = (8, 16, 32)

    def outputs(self, r: int) -> tuple[int, ...]:
        """Outputs of the tiles for r taps: an axis of one tap is not transformed."""
        return (1,) if r == 1 else tuple(n - r + 1 for n in self.sizes if n > r)

    def admits(self, m: int, axes: int) -> bool:
        """Errors hardly grow with the tile."""
        return True

    def points(self, m: Sequence[int], r: Sequence[int]) -> int:
        """Products of a tile of m outputs and r taps along each axis, for each channel and filter."""
        return sum(fourier.points(m[2] + r[2] - 1, together) for together in _rows(m[1] + r[1] - 1))

    def operations(self, m: Sequence[int], r: Sequence[int]) -> tuple[int, int]:
        """Operations a channel to transform a tile of inputs, and a filter to transform its products back."""
        n_h, n_w = m[1] + r[1] - 1, m[2] + r[2] - 1
        down = m[2] * fourier.columns(n_h).operations if n_h > 1 else 0
        forth = sum(fourier.inputs(n_w, together).operations for together in _rows(n_h))
        return down + forth, down + sum(fourier.outputs(n_w, together).operations for together in _rows(n_h))


def _rows(n: int) -> list[int]:
    """How rows are transformed: alone or in pairs."""
    return [1] if n == 1 else [1, 1] + [2] * (n // 2 - 1)


class FourierType(types.Type):
    """Numba type of a Fourier; the value itself is empty."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        super().__init__(name=f"Fourier({sizes})")


@typeof_impl.register(Fourier)
def _typeof(value: Fourier, context: Any) -> FourierType:
    return _type_of(value)


@functools.cache  # asked for at every call from Python
def _type_of(value: Fourier) -> FourierType:
    return FourierType(value.sizes)


register_model(FourierType)(models.OpaqueModel)


@unbox(FourierType)
def _unbox(kind: Any, value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


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
    typingctx: Any, tiles: Any, which: Any, together: Any, n: Any, strip: Any, pitch: Any, points: Any, point_step: Any,
    count: Any, move: Any, point_move: Any, zero: Any,
) -> Any:  # fmt: skip
    """One row, or two, of `count` tiles between a strip and their products; which: literal INPUT, FILTER, OUTPUT.

    together: literal, 1 or 2. The rows begin at byte address strip, pitch apart, `move` from tile to tile.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, _, n, strip, pitch, points, point_step, count, move, point_move, _ = args

        def body(size: int) -> None:
            make = (fourier.inputs, fourier.filters, fourier.outputs)[which.literal_value]
            program = make(size, together.literal_value)
            with cgutils.for_range(builder, count, intp=simd.I64) as loop:
                start = builder.add(strip, builder.mul(loop.index, move))
                vectors = []
                for i in range(together.literal_value):
                    row = builder.add(start, builder.mul(pitch, simd.I64(i)))
                    vectors += line(builder, row, simd.I64(simd.VECTOR_BYTES), size)
                products = builder.add(points, builder.mul(loop.index, point_move))
                factors = line(builder, products, point_step, fourier.points(size, together.literal_value))
                source, target = (factors, vectors) if which.literal_value == OUTPUT else (vectors, factors)
                through(builder, program, source, target, zero)

        _each(builder, tiles, n, body)
        return context.get_dummy_value()

    return types.void(tiles, which, together, *[types.intp] * 8, zero), codegen


@jit
def _points(tiles: Any, region: Any) -> int:
    n_h, n_w = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1
    alone = 3 * n_w // 2 - 1
    return alone if n_h == 1 else 2 * alone + (n_h - 2) // 2 * 3 * n_w


@jit
def _transform_inputs(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, target: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    simd.outlined()
    n_h, n_w, width = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1, simd.VECTOR_BYTES
    if n_h > 1:
        columns(tiles, False, n_h, strip, pitch, region.m_w * together + region.r_w - 1, zero)
    alone, move = (3 * n_w // 2 - 1) * point_step, region.m_w * width
    for i in range(min(n_h, 2)):
        rows(
            tiles, INPUT, 1, n_w, strip + i * pitch, pitch, target + i * alone, point_step, together, move, tile_step,
            zero,
        )  # fmt: skip
    target += 2 * alone
    for i in range(2, n_h, 2):
        rows(tiles, INPUT, 2, n_w, strip + i * pitch, pitch, target, point_step, together, move, tile_step, zero)
        target += 3 * n_w * point_step


@jit
def _transform_products(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, source: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    simd.outlined()
    n_h, n_w, width = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1, simd.VECTOR_BYTES
    alone, move = (3 * n_w // 2 - 1) * point_step, region.m_w * width
    for i in range(min(n_h, 2)):
        rows(
            tiles, OUTPUT, 1, n_w, strip + i * pitch, pitch, source + i * alone, point_step, together, move, tile_step,
            zero,
        )  # fmt: skip
    source += 2 * alone
    for i in range(2, n_h, 2):
        rows(tiles, OUTPUT, 2, n_w, strip + i * pitch, pitch, source, point_step, together, move, tile_step, zero)
        source += 3 * n_w * point_step
    if n_h > 1:
        columns(tiles, True, n_h, strip, pitch, region.m_w * together, zero)


@jit
def _transform_filter(
    tiles: Any, region: Any, taps: int, step: int, scratch: int, target: int, point_step: int, zero: Any
) -> None:
    simd.outlined()
    n_h, n_w, width = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1, simd.VECTOR_BYTES
    vector, size = simd.lanes(zero), width // simd.lanes(zero)
    scale = simd.cast_like(1.0 / (n_h * n_w), zero)
    for i in range(n_h):
        for j in range(n_w):
            place = scratch + (i * n_w + j) * width
            inside = i < region.r_h and j < region.r_w
            tap = taps + (i * region.r_w + j) * step
            for lane in range(vector):
                value = memory.kept_at(tap + lane * size, zero) * scale if inside else zero
                memory.keep_at(place + lane * size, value)
    if n_h > 1:
        columns(tiles, False, n_h, scratch, n_w * width, region.r_w, zero)
    alone, pitch = (3 * n_w // 2 - 1) * point_step, n_w * width
    for i in range(min(n_h, 2)):
        rows(tiles, FILTER, 1, n_w, scratch + i * pitch, pitch, target + i * alone, point_step, 1, 0, 0, zero)
    target += 2 * alone
    for i in range(2, n_h, 2):
        rows(tiles, FILTER, 2, n_w, scratch + i * pitch, pitch, target, point_step, 1, 0, 0, zero)
        target += 3 * n_w * point_step


tile_transform.implement(
    FourierType, points=_points, transform_inputs=_transform_inputs, transform_products=_transform_products,
    transform_filter=_transform_filter,
)  # fmt: skip
