"""Winograd's tiles on their way from an image into their transforms, and from products back into an image.

Neighbouring tiles of a row go together, as a strip: the transforms along planes and rows are theirs in common.
"""

from typing import Any

from ..compile import jit
from . import simd
from .read_strip import clear, read_columns
from .tile_transform import transform_inputs, transform_products
from .write_strip import finish_columns, write_columns


@jit
def locate_tile(tile: int, region: Any) -> tuple[int, int, int, int]:
    """Image and tile coordinates of a tile, counted in row-major order through all images."""
    w, rest = tile % region.tiles_w, tile // region.tiles_w
    h, rest = rest % region.tiles_h, rest // region.tiles_h
    return rest // region.tiles_d, rest % region.tiles_d, h, w


@jit
def _entry(source: Any, position: int) -> int:
    """The input element at a position of the padded axis; none past its end, where the last tile may reach."""
    return source[position] if position < len(source) else -1


@jit
def _read_row(
    x: Any, line: int, points: Any, runs: Any, first: int, count: int, channels: int, target: int, zero: Any
) -> None:
    """`count` positions of the padded last axis, from `first` on, to vectors at target; line < 0: a row of padding."""
    width = simd.VECTOR_BYTES
    i = 0
    while i < count:
        at = first + i
        length = min(runs[at], count - i) if line >= 0 and at < len(points) else 0
        if length == 0:
            length = 1 if line >= 0 and at < len(points) else count - i
            clear(target + i * width, length, zero)
        else:
            read_columns(
                x.data, line + points[at] * x.column, x.column, x.channel, channels, length, target + i * width, zero
            )  # fmt: skip
        i += length


@jit
def read_tiles(
    first: int, count: int, x: Any, base: int, taps: Any, channels: int, region: Any, tiles: Any, zero: Any, strip: int,
    v: int, tile_step: int, point_step: int,
) -> None:  # fmt: skip
    """Tiles first … first + count − 1, transformed, to v: [point][tile][channel] at those distances in bytes."""
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    planes, lines, points, runs = taps.planes, taps.lines, taps.points, taps.runs
    m_d, m_h, m_w, r_w = region.m_d, region.m_h, region.m_w, region.r_w
    n_d, n_h = m_d + region.r_d - 1, m_h + region.r_h - 1
    done = 0
    while done < count:
        image, d, h, w = locate_tile(first + done, region)
        together = min(region.run, count - done, region.tiles_w - w)
        d, h, w = region.first_d + d * m_d, region.first_h + h * m_h, region.first_w + w * m_w
        columns = m_w * together + r_w - 1
        pitch = (columns | 1) * width
        for channel in range(0, channels, vector):
            start = base + image * x.image + channel * x.channel
            for i in range(n_d):
                a = _entry(planes, d + i)
                for j in range(n_h):
                    b = _entry(lines, h + j)
                    line = -1 if (a | b) < 0 else start + a * x.plane + b * x.row
                    target = strip + (i * n_h + j) * pitch
                    _read_row(x, line, points, runs, w, columns, min(vector, channels - channel), target, zero)
            transform_inputs(
                tiles, region, strip, pitch, together, v + done * tile_step + channel // vector * width, tile_step,
                point_step, zero,
            )  # fmt: skip
        done += together


@jit
def write_tiles(
    first: int, count: int, y: Any, base: int, taps: Any, filters: int, bias: int, code: int, region: Any,
    tiles: Any, zero: Any, strip: int, sums: int, tile_step: int, point_step: int,
) -> None:  # fmt: skip
    """Products of tiles first … first + count − 1 with up to VECTORS vectors of filters, transformed back, to y.

    sums: [point][tile][filter] at those distances in bytes. bias: byte address of as many accumulators.
    """
    simd.outlined()
    vector, width = simd.lanes(zero), simd.VECTOR_BYTES
    m_d, m_h, m_w, r_w = region.m_d, region.m_h, region.m_w, region.r_w
    n_h = m_h + region.r_h - 1
    done = 0
    while done < count:
        image, d, h, w = locate_tile(first + done, region)
        together = min(region.run, count - done, region.tiles_w - w)
        d, h, w = region.first_d + d * m_d, region.first_h + h * m_h, region.first_w + w * m_w
        pitch = ((m_w * together + r_w - 1) | 1) * width
        inside = min(m_w * together, taps.width - w)
        for filter in range(0, filters, vector):
            transform_products(
                tiles, region, strip, pitch, together, sums + done * tile_step + filter // vector * width, tile_step,
                point_step, zero,
            )  # fmt: skip
            for i in range(min(m_d, taps.depth - d)):
                for j in range(min(m_h, taps.height - h)):
                    row = strip + (i * n_h + j) * pitch
                    finish_columns(row, inside, bias + filter // vector * width, code, zero)
                    target = base + image * y.image + filter * y.channel
                    target += (d + i) * y.plane + (h + j) * y.row + w * y.column
                    write_columns(
                        y.data, target, y.column, y.channel, min(vector, filters - filter), inside, row, zero
                    )  # fmt: skip
        done += together
