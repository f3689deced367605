"""What a block of fused Winograd (winograd_fused) does between its barriers: transforms, fills and products.

Shared memory holds two halves of the filters, [point][channel][filter], and then two of the tiles, [point][channel]
[tile]; even points are the first half of each.
"""

from typing import Any

from .compile import inlined
from .intrinsics import ld4, st1, st4
from .memory import load4
from .winograd_filters import CHANNELS, EDGE, FILTERS, PAIRS

TILES, THREADS = 32, 256  # of a block; the lanes of a warp bring neighbouring tiles
OF_FILTERS, OF_TILES = PAIRS * CHANNELS * FILTERS, PAIRS * CHANNELS * TILES  # elements of a half
TILES_AT = 2 * OF_FILTERS
SHARED = TILES_AT + 2 * OF_TILES


@inlined
def along(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Bᵀ of F(2, 3) times a vector."""
    return a - c, b + c, c - b, b - d


@inlined
def back(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Aᵀ of F(2, 3) times a vector."""
    return a + b + c, b - c - d


@inlined
def transformed(v: Any) -> Any:
    """Bᵀ v B, in place."""
    for j in range(EDGE):
        v[j], v[4 + j], v[8 + j], v[12 + j] = along(v[j], v[4 + j], v[8 + j], v[12 + j])
    for i in range(EDGE):
        v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3] = along(
            v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]
        )  # fmt: skip


@inlined
def _step(s: Any, at_a: Any, at_b: Any, sums: Any, point: Any, a: Any, b: Any) -> Any:
    """One channel's products at one point."""
    for h in range(2):
        v = ld4(s, at_a + h * (FILTERS // 2))
        for i in range(4):
            a[h * 4 + i] = v[i]
    for h in range(2):
        v = ld4(s, at_b + h * (TILES // 2))
        for i in range(4):
            b[h * 4 + i] = v[i]
    for i in range(8):
        for j in range(8):
            sums[point, i, j] += a[i] * b[j]


@inlined
def half(s: Any, at_a: Any, at_b: Any, sums: Any, point: Any, a: Any, b: Any) -> Any:
    """The products at one of this warp's points; written out, because a loop would stay one."""
    _step(s, at_a, at_b, sums, point, a, b)
    _step(s, at_a + FILTERS, at_b + TILES, sums, point, a, b)
    _step(s, at_a + 2 * FILTERS, at_b + 2 * TILES, sums, point, a, b)
    _step(s, at_a + 3 * FILTERS, at_b + 3 * TILES, sums, point, a, b)
    _step(s, at_a + 4 * FILTERS, at_b + 4 * TILES, sums, point, a, b)
    _step(s, at_a + 5 * FILTERS, at_b + 5 * TILES, sums, point, a, b)
    _step(s, at_a + 6 * FILTERS, at_b + 6 * TILES, sums, point, a, b)
    _step(s, at_a + 7 * FILTERS, at_b + 7 * TILES, sums, point, a, b)


@inlined
def fetched(filters: Any, source: Any) -> Any:
    """What this thread brings of a half's filters."""
    return (
        load4(filters, source), load4(filters, source + 16 * THREADS), load4(filters, source + 32 * THREADS),
        load4(filters, source + 48 * THREADS),
    )  # fmt: skip


@inlined
def put_filters(s: Any, at: Any, brought: Any) -> Any:
    """To shared memory what `fetched` brought."""
    for i in range(4):
        st4(s, at + 4 * THREADS * i, brought[i][0], brought[i][1], brought[i][2], brought[i][3])


@inlined
def put_tile(s: Any, at: Any, v: Any, odd: Any) -> Any:
    """The even or odd points of a transformed tile to their half of shared memory."""
    for pair in range(PAIRS):
        st1(s, at + (odd * PAIRS + pair) * CHANNELS * TILES, v[2 * pair + odd])
