"""What the fused tiles ask of their transforms, whatever these are: overloaded for each type of tiles.

Tiles overlap in their inputs and not in their outputs. Neighbours in a row come as a strip: rows of vectors, a channel
a lane. The functions here only name the interface; a type of tiles takes part by `implement`ing them.
"""

from typing import Any

from numba.extending import overload


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


def transform_gradients(
    tiles: Any, region: Any, strip: int, pitch: int, together: int, target: int, tile_step: int, point_step: int,
    zero: Any,
) -> None:  # fmt: skip
    """A strip of the outputs' gradients, m a tile, into the left factors of the products that sum up the filters'.

    The strip has as many rows and planes as one of inputs; its rows take r_w − 1 vectors more.
    """
    raise NotImplementedError


def transform_sums(tiles: Any, region: Any, source: int, point_step: int, strip: int, zero: Any) -> int:
    """Such products, summed over the tiles, into gradients of the taps: vectors side by side at the address returned.

    strip: scratch for a tile and its taps.
    """
    raise NotImplementedError


def implement(kind: type, **kernels: Any) -> None:
    """Have compiled code call these kernels, by the names above, where `tiles` is of that Numba type."""
    for name, kernel in kernels.items():
        overload(globals()[name], strict=False)(_only_for(kind, kernel))


def _only_for(kind: type, kernel: Any) -> Any:
    return lambda tiles, *others: kernel.py_func if isinstance(tiles, kind) else None
