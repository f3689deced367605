"""Winograd's transforms as unrolled vector code: one axis at a time, one channel a lane.

A `ToomCook` names some F(m, r). It is a value that carries its numbers in its Numba type, so a kernel that takes one is
compiled for those tiles and no others; which of them, is chosen at run time. Any sizes will do.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.pythonapi import NativeValue
from numba.extending import intrinsic, models, register_model, typeof_impl, unbox

from ..compile import jit
from ..transforms import Matrices, Matrix, straight_line, toom_cook
from . import simd, tile_transform
from .unrolled import line, through

# What `apply` computes: Bᵀ of inputs, G of filters, Aᵀ of products; for the gradient of the filters A of the outputs'
# gradients and Gᵀ of products.
INPUT, FILTER, OUTPUT, GRADIENT, FILTER_GRADIENT = range(5)


@dataclass(frozen=True)
class ToomCook:
    """The tiles F(m, r) for every pair (m, r) of `sizes`."""

    sizes: tuple[tuple[int, int], ...]

    def outputs(self, r: int) -> tuple[int, ...]:
        """m of the tiles for r taps."""
        return tuple(m for m, taps in self.sizes if taps == r)

    def admits(self, m: int, axes: int) -> bool:
        """Whether tiles of m outputs are exact enough for so many transformed axes: errors multiply, and F(6, 3) along
        two axes and F(4, 3) along a third lose 272 u of the largest result where direct sums lose 14 u."""
        return axes < 3 or m <= 4

    def points(self, m: Sequence[int], r: Sequence[int]) -> int:
        """Products of a tile of m outputs and r taps along each axis, for each channel and filter."""
        return math.prod(a + b - 1 for a, b in zip(m, r, strict=True))

    def operations(self, m: tuple[int, ...], r: tuple[int, ...]) -> tuple[int, int]:
        """Operations a channel to transform a tile of inputs, and a filter to transform its products back."""
        return _operations(m, r)


@functools.cache
def _operations(m: tuple[int, int, int], r: tuple[int, int, int]) -> tuple[int, int]:
    """The planes' and rows' transforms are shared by neighbouring tiles of a row: m_w new columns a tile, not n_w."""
    n = [a + b - 1 for a, b in zip(m, r, strict=True)]
    matrices = [toom_cook(a, b) for a, b in zip(m, r, strict=True)]
    forth = [straight_line(f.bt).operations for f in matrices]
    back = [straight_line(f.at).operations for f in matrices]
    return (
        n[1] * m[2] * forth[0] + n[0] * m[2] * forth[1] + n[0] * n[1] * forth[2],
        n[0] * n[1] * back[2] + n[0] * m[2] * back[1] + m[1] * m[2] * back[0],
    )


# What is compiled by default. F(1, 1) is an axis that is not transformed. F(6, 5) and F(8, 3) lose too many digits.
TILES = ToomCook(((1, 1), (2, 3), (4, 3), (6, 3), (2, 5), (4, 5)))


class ToomCookType(types.Type):
    """Numba type of a ToomCook; the value itself is empty."""

    def __init__(self, sizes: tuple[tuple[int, int], ...]) -> None:
        self.sizes = sizes
        super().__init__(name=f"ToomCook({sizes})")


@typeof_impl.register(ToomCook)
def _typeof(value: ToomCook, context: Any) -> ToomCookType:
    return _type_of(value)


@functools.cache  # asked for at every call from Python
def _type_of(value: ToomCook) -> ToomCookType:
    return ToomCookType(value.sizes)


register_model(ToomCookType)(models.OpaqueModel)


@unbox(ToomCookType)
def _unbox(kind: Any, value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


@intrinsic(prefer_literal=True)
def apply(
    typingctx: Any, tiles: Any, which: Any, m: Any, r: Any, source: Any, source_step: Any, target: Any, target_step:
    Any,
    count: Any, source_move: Any, target_move: Any, zero: Any,
) -> Any:  # fmt: skip
    """Transform `count` lines of vectors of zero's type: elements of a line lie `step` bytes apart, lines `move` bytes.

    which: literal INPUT, FILTER, …; m, r: one of the sizes. source and target are byte addresses and may be
    the same line: all of it is read before any of it is written.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, m, r, source, source_step, target, target_step, count, source_move, target_move, _ = args
        done = builder.append_basic_block("transformed")
        switch = builder.switch(builder.or_(builder.shl(m, simd.I64(16)), r), done)
        for outputs, taps in tiles.sizes:
            case = builder.append_basic_block(f"tile_{outputs}_{taps}")
            switch.add_case(simd.I64(outputs << 16 | taps), case)
            builder.position_at_end(case)
            matrices = toom_cook(outputs, taps)
            program = straight_line(_matrix(matrices, which.literal_value))
            with cgutils.for_range(builder, count, intp=simd.I64) as loop:
                start = builder.add(source, builder.mul(loop.index, source_move))
                end = builder.add(target, builder.mul(loop.index, target_move))
                through(
                    builder, program, line(builder, start, source_step, program.inputs),
                    line(builder, end, target_step, len(program.outputs)), zero,
                )  # fmt: skip
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(tiles, which, *[integer] * 9, zero), codegen


def _matrix(matrices: Matrices, which: int) -> Matrix:
    if which == INPUT:
        return matrices.bt
    if which in (FILTER, FILTER_GRADIENT):
        return matrices.g if which == FILTER else tuple(zip(*matrices.g, strict=True))
    return matrices.at if which == OUTPUT else tuple(zip(*matrices.at, strict=True))


@jit
def _points(tiles: Any, region: Any) -> int:
    return (region.m_d + region.r_d - 1) * (region.m_h + region.r_h - 1) * (region.m_w + region.r_w - 1)


@jit
def _transform_inputs(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, target: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    width = simd.VECTOR_BYTES
    n_d, n_h, n_w = region.m_d + region.r_d - 1, region.m_h + region.r_h - 1, region.m_w + region.r_w - 1
    if region.r_d > 1:
        apply(
            tiles, INPUT, region.m_d, region.r_d, strip, n_h * pitch, strip, n_h * pitch, n_h * (pitch // width),
            width, width, zero
        )  # fmt: skip
    if region.r_h > 1:
        for i in range(n_d):
            plane = strip + i * n_h * pitch
            apply(
                tiles, INPUT, region.m_h, region.r_h, plane, pitch, plane, pitch,
                region.m_w * together + region.r_w - 1, width, width, zero
            )  # fmt: skip
    for row in range(n_d * n_h):
        apply(
            tiles, INPUT, region.m_w, region.r_w, strip + row * pitch, width, target + row * n_w * point_step,
            point_step, together, region.m_w * width, tile_step, zero,
        )  # fmt: skip


@jit
def _transform_products(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, source: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    width = simd.VECTOR_BYTES
    n_d, n_h, n_w = region.m_d + region.r_d - 1, region.m_h + region.r_h - 1, region.m_w + region.r_w - 1
    columns = region.m_w * together
    for row in range(n_d * n_h):
        apply(
            tiles, OUTPUT, region.m_w, region.r_w, source + row * n_w * point_step, point_step,
            strip + row * pitch, width, together, tile_step, region.m_w * width, zero,
        )  # fmt: skip
    if region.r_h > 1:
        for i in range(n_d):
            plane = strip + i * n_h * pitch
            apply(
                tiles, OUTPUT, region.m_h, region.r_h, plane, pitch, plane, pitch, columns, width, width, zero
            )  # fmt: skip
    if region.r_d > 1:
        apply(
            tiles, OUTPUT, region.m_d, region.r_d, strip, n_h * pitch, strip, n_h * pitch,
            region.m_h * (pitch // width), width, width, zero
        )  # fmt: skip


@jit
def _transform_filter(
    tiles: Any, region: Any, taps: int, step: int, scratch: int, target: int, point_step: int, zero: Any
) -> None:
    width = simd.VECTOR_BYTES
    r_d, r_h, r_w = region.r_d, region.r_h, region.r_w
    n_d, n_h, n_w = region.m_d + r_d - 1, region.m_h + r_h - 1, region.m_w + r_w - 1
    plane, row = scratch + r_d * r_h * n_w * width, r_h * n_w * width
    apply(tiles, FILTER, region.m_w, r_w, taps, step, scratch, width, r_d * r_h, r_w * step, n_w * width, zero)
    apply(tiles, FILTER, region.m_d, r_d, scratch, row, plane, row, r_h * n_w, width, width, zero)
    for i in range(n_d):
        apply(
            tiles, FILTER, region.m_h, r_h, plane + i * row, n_w * width,
            target + i * n_h * n_w * point_step, n_w * point_step, n_w, width, point_step, zero,
        )  # fmt: skip


@jit
def _transform_gradients(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, target: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    width, m_w = simd.VECTOR_BYTES, region.m_w
    n_d, n_h, n_w = region.m_d + region.r_d - 1, region.m_h + region.r_h - 1, region.m_w + region.r_w - 1
    if region.r_d > 1:
        apply(
            tiles, GRADIENT, region.m_d, region.r_d, strip, n_h * pitch, strip, n_h * pitch,
            region.m_h * (pitch // width), width, width, zero,
        )  # fmt: skip
    if region.r_h > 1:
        for i in range(n_d):
            plane = strip + i * n_h * pitch
            apply(
                tiles, GRADIENT, region.m_h, region.r_h, plane, pitch, plane, pitch, m_w * together, width, width, zero
            )  # fmt: skip
    for row in range(n_d * n_h):
        apply(
            tiles, GRADIENT, m_w, region.r_w, strip + row * pitch, width, target + row * n_w * point_step, point_step,
            together, m_w * width, tile_step, zero,
        )  # fmt: skip


@jit
def _transform_sums(tiles: Any, region: Any, source: int, point_step: int, strip: int, zero: Any) -> int:
    width, r_d, r_h, r_w = simd.VECTOR_BYTES, region.r_d, region.r_h, region.r_w
    n_d, n_h, n_w = region.m_d + r_d - 1, region.m_h + r_h - 1, region.m_w + r_w - 1
    pitch = r_w * width
    result = strip + n_d * n_h * pitch
    for row in range(n_d * n_h):
        apply(
            tiles, FILTER_GRADIENT, region.m_w, r_w, source + row * n_w * point_step, point_step, strip + row * pitch,
            width, 1, 0, 0, zero,
        )  # fmt: skip
    for i in range(n_d):
        plane = strip + i * n_h * pitch
        apply(tiles, FILTER_GRADIENT, region.m_h, r_h, plane, pitch, plane, pitch, r_w, width, width, zero)
    apply(
        tiles, FILTER_GRADIENT, region.m_d, r_d, strip, n_h * pitch, result, r_h * pitch, r_h * r_w, width, width, zero
    )  # fmt: skip
    return result


tile_transform.implement(
    ToomCookType, points=_points, transform_inputs=_transform_inputs, transform_products=_transform_products,
    transform_filter=_transform_filter, transform_gradients=_transform_gradients, transform_sums=_transform_sums,
)  # fmt: skip
