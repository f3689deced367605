"""Vector code for Numba, on two levels.

`simd.vector` is a type of value: `load`, arithmetic, shuffles and `store` inside any @njit function. What is here by
itself is the level below: what the processor has, and what an intrinsic emits.
"""

from .emit import (
    I8,
    I32,
    I64,
    broadcast,
    cast_like,
    fetch,
    inlined,
    is_half,
    is_negative,
    lanes,
    llvm_scalar,
    load,
    load_first,
    multiply_add,
    outlined,
    pointer,
    store,
    widened,
)
from .features import CACHE_LINE, FEATURES, HAS_FMA, HAS_HALF, REGISTERS, VECTOR_BYTES, lanes_of

__all__ = [
    "CACHE_LINE",
    "FEATURES",
    "HAS_FMA",
    "HAS_HALF",
    "I8",
    "I32",
    "I64",
    "REGISTERS",
    "VECTOR_BYTES",
    "broadcast",
    "cast_like",
    "fetch",
    "inlined",
    "is_half",
    "is_negative",
    "lanes",
    "lanes_of",
    "llvm_scalar",
    "load",
    "load_first",
    "multiply_add",
    "outlined",
    "pointer",
    "store",
    "widened",
]
