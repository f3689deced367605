"""Bits: logic, shifts, fields, bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..lanes import Array
from ..types import DTYPES
from .decode import Decoder, Families, Step, elementwise


def _logic(decoder: Decoder) -> Step:
    functions = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert}
    sources = decoder.sources(*range(1, len(decoder.operands)))
    return elementwise(functions[decoder.head], sources, decoder.destination())


def _logical_not(decoder: Decoder) -> Step:
    return elementwise(lambda x: x == 0, decoder.sources(1), decoder.destination())


def _table(decoder: Decoder) -> Step:
    """Any function of three bits: bit 4·a + 2·b + c of the last operand."""
    table = int(decoder.operands[4], 0)

    def look_up(a: Array, b: Array, c: Array) -> Array:
        result = np.zeros_like(a)
        for row in range(8):
            if table >> row & 1:
                result |= (a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c)
        return result

    return elementwise(look_up, decoder.sources(1, 2, 3), decoder.destination())


def _shift(decoder: Decoder) -> Step:
    """Shifts by the width or more leave zeros, or the sign."""
    dtype, last = decoder.dtype, 8 * decoder.dtype.itemsize - 1
    signed = decoder.head == "shr" and dtype.kind == "i"
    move: Callable[..., Any] = np.left_shift if decoder.head == "shl" else np.right_shift
    amount = decoder.source(2, "u32")

    def shift(x: Array, by: Array) -> Array:
        moved = move(x, np.minimum(by, last).astype(dtype))
        return moved if signed else np.where(by > last, dtype.type(0), moved)

    if decoder.operands[2].isdigit() and int(decoder.operands[2]) <= last:
        return elementwise(move, [decoder.source(1), decoder.source(2)], decoder.destination())
    return elementwise(shift, [decoder.source(1), amount], decoder.destination())


def _funnel(decoder: Decoder) -> Step:
    """The upper (left) or lower (right) word of two that are shifted as one."""
    left, wraps = decoder.has("l"), decoder.has("wrap")
    word = np.uint64(32)

    def shift(low: Array, high: Array, by: Array) -> Array:
        distance = (by & np.uint32(31) if wraps else np.minimum(by, np.uint32(32))).astype(np.uint64)
        both = high.astype(np.uint64) << word | low
        return ((both << distance) >> word if left else both >> distance).astype(np.uint32)

    return elementwise(shift, [decoder.source(i, "u32") for i in (1, 2, 3)], decoder.destination())


def _ones(count: Array) -> Array:
    """That many low bits set, of 64."""
    return np.where(count > 63, ~np.uint64(0), (np.uint64(1) << np.minimum(count, 63).astype(np.uint64)) - np.uint64(1))


def _field(decoder: Decoder, *indices: int) -> list[Any]:
    """Position and length operands: their low byte counts."""
    return [decoder.source(i, "u32") for i in indices]


def _extract(decoder: Decoder) -> Step:
    dtype, bits, signed = decoder.dtype, 8 * decoder.dtype.itemsize, decoder.type.startswith("s")

    def extract(x: Array, position: Array, length: Array) -> Array:
        position, length = position & 255, np.minimum(length & 255, bits)
        wide = x.astype(np.int64 if signed else np.uint64)
        field = (wide >> np.minimum(position, 63).astype(wide.dtype)).astype(np.uint64) & _ones(length)
        if signed:
            top = np.minimum(position + length - 1, bits - 1).astype(np.int64)
            negative = (wide >> top & 1 == 1) & (length > 0)
            field = np.where(negative, field | ~_ones(length), field)
        elif bits < 64:
            field = np.where(position > 31, 0, field)
        return field.astype(f"u{dtype.itemsize}").view(dtype)

    return elementwise(extract, [decoder.source(1), *_field(decoder, 2, 3)], decoder.destination())


def _insert(decoder: Decoder) -> Step:
    dtype = decoder.dtype

    def insert(field: Array, into: Array, position: Array, length: Array) -> Array:
        position = position & 255
        by = np.minimum(position, 63).astype(np.uint64)
        mask = np.where(position > 63, 0, _ones(length & 255) << by).astype(np.uint64)
        return (into.astype(np.uint64) & ~mask | field.astype(np.uint64) << by & mask).astype(dtype)

    return elementwise(insert, [*decoder.sources(1, 2), *_field(decoder, 3, 4)], decoder.destination())


def _permute(decoder: Decoder) -> Step:
    """Four bytes chosen from eight; the top bit of a selector's nibble spreads the byte's sign."""
    if decoder.modifiers != ["b32"]:
        raise decoder.refusal()

    def permute(a: Array, b: Array, selector: Array) -> Array:
        both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
        result = np.zeros(a.shape, np.uint32)
        for byte in range(4):
            nibble = selector >> np.uint32(4 * byte) & np.uint32(15)
            value = (both >> (nibble & np.uint32(7)).astype(np.uint64) * np.uint64(8)).astype(np.uint32) & np.uint32(
                255
            )
            spread = np.where(value > 127, np.uint32(255), np.uint32(0))
            result |= np.where(nibble > 7, spread, value) << np.uint32(8 * byte)
        return result

    return elementwise(permute, decoder.sources(1, 2, 3), decoder.destination())


def _as_bits(x: Array) -> Array:
    """(lanes, bits), the highest first."""
    big_endian = np.ascontiguousarray(x).astype(x.dtype.newbyteorder(">"))
    return np.unpackbits(big_endian.view(np.uint8).reshape(x.size, -1), axis=1)


def _leading_zeros(x: Array) -> Array:
    bits = _as_bits(x)
    return np.where(bits.any(axis=1), bits.argmax(axis=1), bits.shape[1])


def _reverse(x: Array) -> Array:
    little_endian = np.packbits(_as_bits(x), axis=1, bitorder="little")
    return little_endian[:, ::-1].copy().view(x.dtype.newbyteorder(">")).reshape(-1).astype(x.dtype)


def _counts(decoder: Decoder) -> Step:
    functions: dict[str, Callable[..., Any]] = {"popc": np.bitwise_count, "clz": _leading_zeros, "brev": _reverse}
    source = decoder.source(1, decoder.type.replace("s", "u"))
    result = decoder.type if decoder.head == "brev" else "u32"
    return elementwise(functions[decoder.head], [source], decoder.destination(result))


def _highest(decoder: Decoder) -> Step:
    """Where the highest bit is that is not the sign's, or how far it is from the top; −1 if there is none."""
    bits = 8 * decoder.dtype.itemsize
    unsigned, from_top = DTYPES[f"u{bits}"], decoder.has("shiftamt")

    def find(x: Array) -> Array:
        zeros = _leading_zeros(np.where(x < 0, ~x, x).astype(unsigned))
        found = zeros if from_top else bits - 1 - zeros
        return np.where(zeros == bits, -1, found).astype(np.int32)

    return elementwise(find, decoder.sources(1), decoder.destination("s32"))


FAMILIES: Families = {
    "and": _logic,
    "or": _logic,
    "xor": _logic,
    "not": _logic,
    "cnot": _logical_not,
    "lop3": _table,
    "shl": _shift,
    "shr": _shift,
    "shf": _funnel,
    "bfe": _extract,
    "bfi": _insert,
    "prmt": _permute,
    "popc": _counts,
    "clz": _counts,
    "brev": _counts,
    "bfind": _highest,
}
