"""PTX's scalar types as NumPy's, and its constants as values of them."""

from typing import Any

import numpy as np

# bf16, tf32 and the packed pair f16x2 have no type in NumPy: they are their bits.
DTYPES = {
    "pred": np.dtype(np.bool_),
    "b8": np.dtype(np.uint8), "u8": np.dtype(np.uint8), "s8": np.dtype(np.int8),
    "b16": np.dtype(np.uint16), "u16": np.dtype(np.uint16), "s16": np.dtype(np.int16),
    "b32": np.dtype(np.uint32), "u32": np.dtype(np.uint32), "s32": np.dtype(np.int32),
    "b64": np.dtype(np.uint64), "u64": np.dtype(np.uint64), "s64": np.dtype(np.int64),
    "f16": np.dtype(np.float16), "f32": np.dtype(np.float32), "f64": np.dtype(np.float64),
    "bf16": np.dtype(np.uint16), "tf32": np.dtype(np.uint32), "f16x2": np.dtype(np.uint32),
}  # fmt: skip
WIDER = {"s8": "s16", "u8": "u16", "s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}

_FLOAT_CONSTANTS: dict[str, np.dtype[Any]] = {"0f": np.dtype(np.float32), "0d": np.dtype(np.float64)}


def register_dtype(name: str) -> np.dtype[Any]:
    """What holds a register of a type: its bits as an unsigned integer, for a predicate a bool."""
    dtype = DTYPES[name]
    return dtype if name == "pred" else np.dtype(f"u{dtype.itemsize}")


def align(offset: int, alignment: int) -> int:
    """The first multiple of `alignment` from `offset` on."""
    return -(-offset // alignment) * alignment


def integer_bits(value: int, dtype: np.dtype[Any]) -> Any:
    """The low bits of a Python integer as a value of an integer or floating type of that size."""
    unsigned = np.array(value & ((1 << 8 * dtype.itemsize) - 1), f"u{dtype.itemsize}")
    return unsigned.view(dtype)[()]


def constant(text: str, dtype: np.dtype[Any]) -> Any:
    """The value of a literal operand: 12, -0x10, 0f3F800000 (a float32's bits), 0d… (a float64's), WARP_SZ."""
    if text == "WARP_SZ":
        return dtype.type(32)
    exact = _FLOAT_CONSTANTS.get(text[:2].lower())
    if exact is None or len(text) != 2 + 2 * exact.itemsize:
        number = int(text.rstrip("U"), 0)
        return bool(number) if dtype == np.bool_ else integer_bits(number, dtype)
    bits = np.array(int(text[2:], 16), f"u{exact.itemsize}")
    return (
        bits.view(exact).astype(dtype)[()] if dtype.kind == "f" else bits.astype(f"u{dtype.itemsize}").view(dtype)[()]
    )
