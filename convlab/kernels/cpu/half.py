"""float16 in LLVM: from and to the 16 bits that arrays hold, on scalars and vectors, rounding to nearest even.

Processors without the instructions (F16C; all x86 before 2012, and Numba's "generic") take integer arithmetic: LLVM
would call library functions there that Numba does not have, and end the process.
"""

from typing import Any

from llvmlite import ir

I16, I32 = ir.IntType(16), ir.IntType(32)

# The bits of float32's 2^-14 (half's smallest normal number), 2^-1, 2^16 and infinity.
_SMALLEST, _ONE_HALF, _TOO_LARGE, _INFINITY = 113 << 23, 126 << 23, 143 << 23, 255 << 23


def _like(value: Any, element: ir.Type) -> ir.Type:
    """element, or a vector of as many as value has."""
    return ir.VectorType(element, value.type.count) if isinstance(value.type, ir.VectorType) else element


def _constant(value: Any, number: Any) -> ir.Constant:
    """A number of value's type."""
    many = isinstance(value.type, ir.VectorType)
    return ir.Constant(value.type, [number] * value.type.count if many else number)


def widen(builder: Any, bits: Any, instructions: bool) -> Any:
    """The float32 of i16 bits; `instructions`: whether the processor has them."""
    if instructions:
        return builder.fpext(builder.bitcast(bits, _like(bits, ir.HalfType())), _like(bits, ir.FloatType()))
    wide = builder.zext(bits, _like(bits, I32))
    sign = builder.shl(builder.and_(wide, _constant(wide, 0x8000)), _constant(wide, 16))
    body = builder.shl(builder.and_(wide, _constant(wide, 0x7FFF)), _constant(wide, 13))
    small = builder.bitcast(body, _like(bits, ir.FloatType()))  # 2^-112 of the number, subnormal ones included
    scaled = builder.bitcast(builder.fmul(small, _constant(small, 2.0**112)), wide.type)
    endless = builder.icmp_unsigned(">=", body, _constant(body, 31 << 23))  # infinity or NaN
    finite = builder.select(endless, builder.or_(scaled, _constant(scaled, _INFINITY)), scaled)
    return builder.bitcast(builder.or_(finite, sign), small.type)


def narrow(builder: Any, value: Any, instructions: bool) -> Any:
    """The i16 bits of float32 numbers, rounded."""
    if instructions:
        return builder.bitcast(builder.fptrunc(value, _like(value, ir.HalfType())), _like(value, I16))
    bits = builder.bitcast(value, _like(value, I32))

    def number(n: int) -> ir.Constant:
        return _constant(bits, n)

    sign = builder.and_(builder.lshr(bits, number(16)), number(0x8000))
    size = builder.and_(bits, number(0x7FFFFFFF))
    # Normal numbers: half of the last place that stays is added, less one bit where the number there is even.
    odd = builder.and_(builder.lshr(size, number(13)), number(1))
    rounded = builder.add(builder.add(size, number(0xFFF)), odd)
    normal = builder.lshr(builder.sub(rounded, number(112 << 23)), number(13))
    # Subnormal ones: the last place of 1/2 is half's 2^-24, and adding rounds to it.
    magic = builder.bitcast(number(_ONE_HALF), value.type)
    sum_bits = builder.bitcast(builder.fadd(builder.bitcast(size, value.type), magic), bits.type)
    subnormal = builder.sub(sum_bits, number(_ONE_HALF))
    nan = builder.or_(number(0x7E00), builder.and_(builder.lshr(size, number(13)), number(0x3FF)))
    result = builder.select(builder.icmp_unsigned("<", size, number(_SMALLEST)), subnormal, normal)
    result = builder.select(builder.icmp_unsigned(">=", rounded, number(_TOO_LARGE)), number(0x7C00), result)
    result = builder.select(builder.icmp_unsigned(">", size, number(_INFINITY)), nan, result)
    return builder.trunc(builder.or_(result, sign), _like(value, I16))
