"""Tiles of 8, 16 and 32 points along the last two axes, transformed by Fourier: unrolled vector code, a channel a lane.

Columns first, in place in the strip, where neighbouring tiles share them. Then rows: those of frequencies 0 and n/2
alone, the others in pairs of a cosine and a sine. A kernel of one row has rows alone. Products come row by row.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numba import types
from numba.core.pythonapi import NativeValue
from numba.extending import models, register_model, typeof_impl, unbox

from .. import fourier
from ..compile import jit
from . import memory, simd, tile_transform
from .fourier_lines import columns, filter_rows, rows
from .read_strip import clear


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
            tiles, False, 1, n_w, strip + i * pitch, pitch, target + i * alone, point_step, together, move, tile_step,
            zero,
        )  # fmt: skip
    target += 2 * alone
    for i in range(2, n_h, 2):
        rows(tiles, False, 2, n_w, strip + i * pitch, pitch, target, point_step, together, move, tile_step, zero)
        target += 3 * n_w * point_step


@jit
def _back(
    tiles: Any, n_h: int, n_w: int, strip: int, pitch: int, together: int, move: int, source: int, tile_step: int,
    point_step: int, width: int, zero: Any,
) -> None:  # fmt: skip
    """Products into a strip of rows of `width` vectors that are wanted, `move` bytes from tile to tile. Every row is
    written with all its n_w vectors, and the next one over what is too much."""
    simd.outlined()
    alone = (3 * n_w // 2 - 1) * point_step
    for i in range(min(n_h, 2)):
        rows(
            tiles, True, 1, n_w, strip + i * pitch, pitch, source + i * alone, point_step, together, move, tile_step,
            zero,
        )  # fmt: skip
    source += 2 * alone
    for i in range(2, n_h, 2):
        rows(tiles, True, 2, n_w, strip + i * pitch, pitch, source, point_step, together, move, tile_step, zero)
        source += 3 * n_w * point_step
    if n_h > 1:
        columns(tiles, True, n_h, strip, pitch, width, zero)


@jit
def _transform_products(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, source: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    n_h, n_w = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1
    _back(
        tiles, n_h, n_w, strip, pitch, together, region.m_w * simd.VECTOR_BYTES, source, tile_step, point_step,
        region.m_w * together, zero,
    )  # fmt: skip


@jit
def _transform_sums(tiles: Any, region: Any, source: int, point_step: int, strip: int, zero: Any) -> int:
    n_h, n_w, pitch = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1, region.r_w * simd.VECTOR_BYTES
    _back(tiles, n_h, n_w, strip, pitch, 1, 0, source, 0, point_step, region.r_w, zero)
    return strip


@jit
def _right_factors(
    tiles: Any, n_h: int, n_w: int, high: int, wide: int, strip: int, pitch: int, together: int, move: int, target: int,
    tile_step: int, point_step: int, zero: Any,
) -> None:  # fmt: skip
    """A strip whose tiles have high × wide vectors, `move` bytes from tile to tile, filled up by zeros."""
    simd.outlined()
    width = simd.VECTOR_BYTES
    scale = simd.cast_like(1.0 / (n_h * n_w), zero)
    filled = wide + (together - 1) * (move // width)
    if n_h > 1:
        for i in range(high, n_h):
            clear(strip + i * pitch, filled, zero)
        columns(tiles, False, n_h, strip, pitch, filled, zero)
    alone = (3 * n_w // 2 - 1) * point_step
    for i in range(min(n_h, 2)):
        filter_rows(
            tiles, 1, n_w, wide, scale, strip + i * pitch, pitch, target + i * alone, point_step, together, move,
            tile_step, zero,
        )  # fmt: skip
    target += 2 * alone
    for i in range(2, n_h, 2):
        filter_rows(
            tiles, 2, n_w, wide, scale, strip + i * pitch, pitch, target, point_step, together, move, tile_step, zero
        )  # fmt: skip
        target += 3 * n_w * point_step


@jit
def _transform_gradients(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, target: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    n_h, n_w = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1
    _right_factors(
        tiles, n_h, n_w, region.m_h, region.m_w, strip, pitch, together, region.m_w * simd.VECTOR_BYTES, target,
        tile_step, point_step, zero,
    )  # fmt: skip


@jit
def _transform_filter(
    tiles: Any, region: Any, taps: int, step: int, scratch: int, target: int, point_step: int, zero: Any
) -> None:
    n_h, n_w, width = region.m_h + region.r_h - 1, region.m_w + region.r_w - 1, simd.VECTOR_BYTES
    vector = simd.lanes(zero)
    for i in range(region.r_h):
        for j in range(region.r_w):
            tap = taps + (i * region.r_w + j) * step
            for byte in range(0, width, width // vector):
                memory.keep_at(scratch + (i * n_w + j) * width + byte, memory.kept_at(tap + byte, zero))
    _right_factors(
        tiles, n_h, n_w, region.r_h, region.r_w, scratch, n_w * width, 1, 0, target, 0, point_step, zero
    )  # fmt: skip


tile_transform.implement(
    FourierType, points=_points, transform_inputs=_transform_inputs, transform_products=_transform_products,
    transform_filter=_transform_filter, transform_gradients=_transform_gradients, transform_sums=_transform_sums,
)  # fmt: skip
