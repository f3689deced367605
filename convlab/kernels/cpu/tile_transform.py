"""What the fused tiles ask of their transforms, whatever these are: overloaded for each type of tiles.

Tiles overlap in their inputs and not in their outputs. Neighbours in a row come as a strip: rows of vectors, a channel
a lane. The functions here only name the interface; a type of tiles takes part by `overload`ing them.
"""

from typing import Any


def points(tiles: Any, region: Any) -> int:
    """Products that a tile of a region takes for each channel and filter."""
    raise NotImplementedError


def transform_inputs(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, target: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    """A strip of `together` tiles, rows `pitch` bytes apart, into the left factors of their products.

    target: byte address of the first tile's first point; tile_step, point_step: bytes between tiles and points.
    """
    raise NotImplementedError


def transform_products(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, source: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    """Products of `together` tiles into a strip of their outputs. Its rows take r_w − 1 vectors more."""
    raise NotImplementedError


def transform_filter(
    tiles: Any, region: Any, taps: int, step: int, scratch: int, target: int, point_step: int, zero: Any
) -> None:  # fmt: skip
    """The taps of vectors of filters, `step` bytes apart from byte address `taps` on, into the right factors."""
    raise NotImplementedError
