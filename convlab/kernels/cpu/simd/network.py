"""Networks of shuffles: lanes of several vectors in another order, in as few instructions as the processor takes.

k rounds for 2^k vectors, each round as many shuffles as there are vectors. AVX-512, NEON and SSE do any of these
shuffles in one instruction. AVX2 joins lanes of two registers only within their halves, so that its rounds stay there
and one exchanges halves: 12 instructions for 4 vectors of 8 lanes and 24 for a square of 8, where 16 and 48 would be.
"""

from typing import Any

from llvmlite import ir

from .emit import I32
from .features import VECTOR_BYTES


def shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """Lanes of a followed by b, in this order."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), [I32(i) for i in lanes]))


def _halves(vectors: list[Any]) -> int:
    """2 where AVX2 moves lanes within halves of a register in one instruction, and across them not in one; else 1."""
    whole = vectors[0].type
    bits = {"float": 32, "double": 64}.get(str(whole.element)) or whole.element.width
    return 2 if whole.count * bits == 256 and VECTOR_BYTES == 32 else 1


def _zip(builder: Any, vectors: list[Any], parts: int) -> list[Any]:
    """In each part of the registers (all of it, or a half), lanes of the first vectors and of the last in turn; this
    repeated, until lane 0 of all vectors comes first."""
    size, many = vectors[0].type.count, len(vectors) // 2
    low, high = (
        [part + start + i // 2 + i % 2 * size for part in range(0, size, size // parts) for i in range(size // parts)]
        for start in (0, size // parts // 2)
    )
    for _ in range(len(vectors).bit_length() - 1):
        pairs = zip(vectors[:many], vectors[many:], strict=True)
        vectors = [shuffle(builder, a, b, lanes) for a, b in pairs for lanes in (low, high)]
    return vectors


def _unzip(builder: Any, vectors: list[Any], parts: int) -> list[Any]:
    """The inverse of _zip: in each part, the lanes of even number, then those of odd number."""
    size = vectors[0].type.count
    even, odd = (
        [part + start + 2 * i % (size // parts) + 2 * i // (size // parts) * size
         for part in range(0, size, size // parts) for i in range(size // parts)]
        for start in (0, 1)
    )  # fmt: skip
    for _ in range(len(vectors).bit_length() - 1):
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        vectors = [shuffle(builder, a, b, lanes) for lanes in (even, odd) for a, b in pairs]
    return vectors


def _swap_halves(builder: Any, first: list[Any], second: list[Any]) -> tuple[list[Any], list[Any]]:
    """The low halves of two vectors joined, and their high halves; of many pairs."""
    size = first[0].type.count
    low, high = ([start + i + i // (size // 2) * (size // 2) for i in range(size)] for start in (0, size // 2))
    pairs = list(zip(first, second, strict=True))
    return [shuffle(builder, a, b, low) for a, b in pairs], [shuffle(builder, a, b, high) for a, b in pairs]


def interleaved(builder: Any, vectors: list[Any]) -> list[Any]:
    """Of 2, 4, 8, … vectors, at most as many as they have lanes: lane 0 of each in turn, then lane 1 of each, …"""
    if _halves(vectors) == 1:
        return _zip(builder, vectors, 1)
    many = len(vectors) // 2
    if len(vectors) == vectors[0].type.count:  # a square: of its four quarters two change places
        low, high = _swap_halves(builder, vectors[:many], vectors[many:])
        return _zip(builder, low, 2) + _zip(builder, high, 2)
    vectors = _zip(builder, vectors, 2)
    low, high = _swap_halves(builder, vectors[::2], vectors[1::2])
    return low + high


def deinterleaved(builder: Any, vectors: list[Any]) -> list[Any]:
    """The inverse of `interleaved`. A square of vectors is its own: both are its transpose."""
    if len(vectors) == vectors[0].type.count:
        return interleaved(builder, vectors)
    if _halves(vectors) == 1:
        return _unzip(builder, vectors, 1)
    many = len(vectors) // 2
    low, high = _swap_halves(builder, vectors[:many], vectors[many:])
    return _unzip(builder, [each for pair in zip(low, high, strict=True) for each in pair], 2)
