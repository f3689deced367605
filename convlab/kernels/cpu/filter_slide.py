"""A filter sliding over lines: neighbouring outputs in vectors, one load for several taps.

A tile is HEIGHT vectors of outputs, one a line. Output line h reads input line h + r at tap r, so what is loaded of an
input line serves as many outputs as taps are summed together: up to SHARED, whose weights stay in registers beside
the tile. That is what this is about: a vector that starts anywhere crosses a cache line and costs two loads' time,
twice that of its multiply-add (Zen 4); with three taps and more the multiply-adds take longest.

Lines are any places `pitch` bytes apart: rows of an image, or with a pitch of one vector the consecutive vectors of a
signal, whose taps one vector apart then share a load in the same way.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compile import jit
from . import simd, tile

# A tile and the weights fill the registers but for two: the input vector and what the compiler needs.
HEIGHT, SHARED = (24, 5) if simd.REGISTERS >= 32 else (8, 5)
_VECTORS = 1
_ONE, _TWO, _THREE, _FOUR = 1, 2, 3, 4


@intrinsic(prefer_literal=True)
def slide(
    typingctx: Any, total: Any, taps: Any, strip: Any, position: Any, pitch: Any, panels: Any, panel: Any, step: Any
) -> Any:  # fmt: skip
    """total[h] += Σ_r weight[r] · line[h + r] over `taps` (a literal) taps.

    Lines start at byte addresses position, position + pitch, … (accumulators), weights lie at panel, panel + step, …
    (panels' storage type).
    """
    count = taps.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, _, _, line, between, _, weight, apart = args
        factors, sums = [], [builder.extract_value(value, h) for h in range(total.rows)]
        for _ in range(count):
            scalar = simd.load(builder, weight, panels.dtype, total.dtype)
            factors.append(simd.broadcast(builder, scalar, total.lanes))
            weight = builder.add(weight, apart)
        for i in range(total.rows + count - 1):
            vector = simd.load(builder, line, total.dtype, total.dtype, total.lanes)
            for r in range(max(0, i - total.rows + 1), min(count, i + 1)):
                sums[i - r] = simd.multiply_add(builder, vector, factors[r], sums[i - r])
            line = builder.add(line, between)
        for h, one in enumerate(sums):
            value = builder.insert_value(value, one, h)
        return value

    arguments = (total, taps, strip, types.intp, types.intp, panels, types.intp, types.intp)
    return total(*arguments), codegen


@intrinsic
def together(typingctx: Any, zero: Any) -> Any:
    """Most taps that are summed together: one of integers, whose products the compiler takes too long to unroll."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, SHARED if isinstance(zero, types.Float) else _ONE)

    return types.intp(zero), codegen


@intrinsic
def load_lines(typingctx: Any, total: Any, position: Any, pitch: Any) -> Any:
    """The tile whose lines start at byte addresses position, position + pitch, …; the argument tells the type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, line = ir.Constant(total.data, ir.Undefined), args[1]
        for h in range(total.rows):
            value = builder.insert_value(value, simd.load(builder, line, total.dtype, total.dtype, total.lanes), h)
            line = builder.add(line, args[2])
        return value

    return total(total, types.intp, types.intp), codegen


@intrinsic
def store_lines(typingctx: Any, total: Any, position: Any, pitch: Any) -> Any:
    """The inverse of load_lines."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        line = args[1]
        for h in range(total.rows):
            simd.store(builder, builder.extract_value(args[0], h), line, total.dtype, total.dtype)
            line = builder.add(line, args[2])
        return context.get_dummy_value()

    return types.void(total, types.intp, types.intp), codegen


@jit
def add_taps(
    sums: int, sums_pitch: int, fresh: bool, strip: Any, position: int, pitch: int, tiles: int, advance: int,
    shared: int, apart: int, looped: int, step: int, panels: Any, panel: int, shared_step: int, looped_step: int,
    zero: Any,
) -> None:  # fmt: skip
    """Add a rectangle of shared × looped taps to `tiles` tiles of sums; where `fresh`, to zeros instead.

    Tile n has its sums at byte address sums + n · advance, lines sums_pitch bytes apart, and reads the strip from
    position + n · advance on, lines `pitch` bytes apart. The input of a shared tap lies `apart` lines after that of
    the one before, that of a looped tap `step` bytes. shared_step, looped_step: bytes between their weights, the
    first of which is at `panel`.
    """
    simd.outlined()
    most = together(zero)
    runs = (shared + most - 1) // most if apart == 1 else shared
    for _ in range(tiles):
        total = tile.zeros(zero, HEIGHT, _VECTORS)
        if not fresh:
            total = load_lines(total, sums, sums_pitch)
        first = 0
        for run in range(runs):
            count = (shared - first) // (runs - run)  # the same for all, or one more
            source, weight = position + first * apart * pitch, panel + first * shared_step
            if count == _ONE or most == _ONE:
                for _ in range(looped):
                    total = slide(total, _ONE, strip, source, pitch, panels, weight, shared_step)
                    source += step
                    weight += looped_step
            elif count == _TWO:
                for _ in range(looped):
                    total = slide(total, _TWO, strip, source, pitch, panels, weight, shared_step)
                    source += step
                    weight += looped_step
            elif count == _THREE:
                for _ in range(looped):
                    total = slide(total, _THREE, strip, source, pitch, panels, weight, shared_step)
                    source += step
                    weight += looped_step
            elif count == _FOUR:
                for _ in range(looped):
                    total = slide(total, _FOUR, strip, source, pitch, panels, weight, shared_step)
                    source += step
                    weight += looped_step
            else:
                for _ in range(looped):
                    total = slide(total, SHARED, strip, source, pitch, panels, weight, shared_step)
                    source += step
                    weight += looped_step
            first += count
        store_lines(total, sums, sums_pitch)
        sums += advance
        position += advance


@jit
def add_along(
    sums: int, fresh: bool, strip: Any, place: int, tiles: int, taps: int, apart: int, panels: Any, panel: int,
    step: int, zero: Any,
) -> None:  # fmt: skip
    """Add `taps` taps, `apart` elements from each other, to sums of one line: tiles of HEIGHT vectors side by side.

    place: byte address of the first tap's inputs; panel, step: of its weight, and bytes to the next. Taps whose inputs
    are one vector apart share loads: fewer + 1 of them from the first places of a vector on, `fewer` from the others.
    """
    lanes, item = simd.lanes(zero), strip.itemsize
    vector = lanes * item
    every = lanes // apart if lanes % apart == 0 else taps
    fewer, first = taps // every, taps % every
    if first:
        add_taps(
            sums, vector, fresh, strip, place, vector, tiles, HEIGHT * vector, fewer + 1, 1, first, apart * item,
            panels, panel, every * step, step, zero,
        )  # fmt: skip
    if fewer:
        add_taps(
            sums, vector, fresh and first == 0, strip, place + first * apart * item, vector, tiles, HEIGHT * vector,
            fewer, 1, every - first, apart * item, panels, panel + first * step, every * step, step, zero,
        )  # fmt: skip
