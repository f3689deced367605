"""Strips: some lines of one channel of an image, padded, in L1, in the accumulator's type.

A line of a strip holds positions of the padded axis. Under a stride it holds them in phases, one after the other: all
positions that are 0 modulo the stride, all that are 1, …; so neighbouring outputs read neighbours, whatever
the stride and the dilation. What happens at a border happens here, once an input element and not once a tap.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compile import jit
from . import depthwise_window as window
from . import memory, simd

# Parts of a register.
_WHOLE, _HALF = 1, 2


def _masked_load(builder: Any, position: Any, count: Any, storage: types.Type, wide: types.Type, lanes: int) -> Any:
    """The first `count` of a vector's elements at a byte address, then zeros; no memory beyond them is touched."""
    element = simd.llvm_scalar(storage)
    vector = ir.VectorType(element, lanes)
    numbers = ir.Constant(ir.VectorType(simd.I32, lanes), [simd.I32(i) for i in range(lanes)])
    mask = builder.icmp_signed("<", numbers, simd.broadcast(builder, builder.trunc(count, simd.I32), lanes))
    where = simd.pointer(builder, position, vector)
    kind = {"float": "f32", "double": "f64"}.get(str(element), str(element))
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [where.type, simd.I32, mask.type, vector]),
        f"llvm.masked.load.v{lanes}{kind}.p0",
    )
    value = builder.call(function, [where, simd.I32(storage.bitwidth // 8), mask, ir.Constant(vector, None)])
    return simd.widened(builder, value, storage, wide)


@intrinsic
def take(typingctx: Any, source: Any, position: Any, count: Any, strip: Any, target: Any) -> Any:
    """Write a whole vector to the strip: `count` elements from a byte address on, then zeros."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = simd.lanes_of(strip.dtype)
        value = _masked_load(builder, args[1], args[2], source.dtype, strip.dtype, lanes)
        simd.store(builder, value, args[4], strip.dtype, strip.dtype)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, strip, types.intp), codegen


@intrinsic
def take_whole(typingctx: Any, source: Any, position: Any, strip: Any, target: Any) -> Any:
    """`take` of a whole vector."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = simd.load(builder, args[1], source.dtype, strip.dtype, simd.lanes_of(strip.dtype))
        simd.store(builder, value, args[3], strip.dtype, strip.dtype)
        return context.get_dummy_value()

    return types.void(source, types.intp, strip, types.intp), codegen


@intrinsic
def take_alternate(typingctx: Any, source: Any, position: Any, count: Any, strip: Any, even: Any, odd: Any) -> Any:
    """Write two whole vectors to the strip: of `count` elements, then zeros, the 1st, 3rd, … and the 2nd, 4th, …"""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, position, count, _, *targets = args
        lanes, wide = simd.lanes_of(strip.dtype), strip.dtype
        next_position = builder.add(position, simd.I64(lanes * source.dtype.bitwidth // 8))
        low = _masked_load(builder, position, count, source.dtype, wide, lanes)
        high = _masked_load(builder, next_position, builder.sub(count, simd.I64(lanes)), source.dtype, wide, lanes)
        for first, target in enumerate(targets):
            places = ir.Constant(ir.VectorType(simd.I32, lanes), [simd.I32(first + 2 * i) for i in range(lanes)])
            simd.store(builder, builder.shuffle_vector(low, high, places), target, wide, wide)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, strip, types.intp, types.intp), codegen


@jit
def longest_run(points: Any, runs: Any, first: int, count: int) -> tuple[int, int, bool]:
    """Of `count` positions from `first` on, the most that lie side by side in the input: the first, how many; and
    whether no other position reads the input."""
    simd.outlined()
    best, most, p = 0, 0, 0
    while p < count:
        length = min(runs[first + p], count - p)
        if length > most:
            best, most = p, length
        p += max(length, 1)
    p = 0
    while p < count and (points[first + p] < 0 or best <= p < best + most):
        p += 1
    return best, most, p == count


@jit
def clear(strip: Any) -> None:
    """Zeros everywhere: `gather` writes what is not padding."""
    for i in range(len(strip)):
        strip[i] = 0


@jit
def gather(
    source: Any, plane: int, row: int, lines: Any, line: int, height: int, step: int, run: int, straight: int,
    strip: Any, target: int, phase: int, pitch: int,
) -> None:  # fmt: skip
    """Fill `height` lines of a strip, from position `line` of their axis on, where the input lies side by side.

    plane: byte address of the first column that is copied, negative for a plane of padding; row: bytes from row to row.
    lines, step: as in Taps; step is 1 or 2. run, straight: position of the first column, and how many there are.
    target: byte address of the strip's first element; phase and pitch: bytes from phase to phase and from line to
    line. The strip was clear, or held other lines of the same positions.
    """
    wide, item, lanes = strip.itemsize, source.itemsize, simd.lanes(strip[0])
    even = target + (run * wide if step == 1 else run % 2 * phase + run // 2 * wide)
    odd = target + (run + 1) % 2 * phase + (run + 1) // 2 * wide
    at = memory.address(lines) + line * lines.itemsize
    rest, nothing = straight % (step * lanes), window.constant(simd.cast_like(0, strip[0]), _WHOLE)
    for _ in range(height):
        down = memory.raw_at(lines, at)
        here, end = plane + down * row, plane + down * row + (straight - rest) * item
        to, other = even, odd
        if (plane | down) < 0:
            for filled in range(0, pitch, lanes * wide):
                window.keep(nothing, strip, target + filled, 0, False)
        elif step == 1:
            while here < end:
                take_whole(source, here, strip, to)
                here, to = here + lanes * item, to + lanes * wide
            if rest > 0:
                take(source, here, rest, strip, to)
        else:
            while here < end:
                take_alternate(source, here, 2 * lanes, strip, to, other)
                here, to, other = here + 2 * lanes * item, to + lanes * wide, other + lanes * wide
            if rest > 0:
                take_alternate(source, here, rest, strip, to, other)
        at, even, odd, target = at + lines.itemsize, even + pitch, odd + pitch, target + pitch


@jit
def gather_rest(
    source: Any, plane: int, row: int, column: int, lines: Any, line: int, height: int, points: Any, first: int,
    count: int, step: int, run: int, straight: int, strip: Any, target: int, phase: int, pitch: int,
) -> None:  # fmt: skip
    """The other positions of `count` from `first` on, one by one, after `gather`; see there.

    plane: byte address of the plane's first element; column: bytes from column to column.
    """
    simd.outlined()
    for i in range(height):
        down, p = lines[line + i], 0
        while (plane | down) >= 0 and p < count:
            if p == run and straight:
                p += straight
            else:
                if points[first + p] >= 0:
                    value = memory.load_at(source, strip[0], plane + down * row + points[first + p] * column)
                    memory.store_at(strip, target + i * pitch + p % step * phase + p // step * strip.itemsize, value)
                p += 1


@intrinsic(prefer_literal=True)
def put_vector(
    typingctx: Any, sums: Any, position: Any, target: Any, there: Any, low: Any, high: Any, divisor: Any
) -> Any:  # fmt: skip
    """A 1/divisor (a literal) of a register of sums, from a byte address to another, kept between low and high."""
    wide = sums.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = simd.lanes_of(wide) // divisor.literal_value
        value = simd.load(builder, args[1], wide, wide, lanes)
        value = window.limited(builder, value, args[4], args[5])
        simd.store(builder, value, args[3], target.dtype, wide)
        return context.get_dummy_value()

    return types.void(sums, types.intp, target, types.intp, wide, wide, divisor), codegen


@jit
def put_each(
    sums: Any, position: int, step: int, target: Any, there: int, gap: int, count: int, low: Any, high: Any
) -> None:  # fmt: skip
    """`put`, element after element, `step` bytes apart here and `gap` bytes there."""
    for i in range(count):
        value = memory.load_at(sums, sums[0], position + i * step)
        value = low if value < low else high if value > high else value  # a NaN is neither
        memory.store_at(target, there + i * gap, value)


@jit
def put(sums: Any, position: int, target: Any, there: int, count: int, low: Any, high: Any) -> None:
    """`count` sums side by side, from a byte address to another, rounded to storage and kept between low and high."""
    wide, item, lanes = sums.itemsize, target.itemsize, simd.lanes(sums[0])
    i = 0
    if count >= lanes:
        while i < count:
            i = min(i, count - lanes)  # the last vector overlaps the one before
            put_vector(sums, position + i * wide, target, there + i * item, low, high, _WHOLE)
            i += lanes
    elif count >= lanes // 2:
        put_vector(sums, position, target, there, low, high, _HALF)
        i = count - lanes // 2
        put_vector(sums, position + i * wide, target, there + i * item, low, high, _HALF)
    else:
        put_each(sums, position, wide, target, there, item, count, low, high)
