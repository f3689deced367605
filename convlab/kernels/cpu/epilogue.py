"""What happens to a sum before it is stored: bias, activation, rounding to the result's type."""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from ..compile import jit
from . import memory, simd, transpose
from .tile import ROWS

# Activations as kernels know them. Integers run unsigned, so theirs say how the bits are to be read.
NONE, RELU, RELU6, SILU, GELU, SIGMOID, TANH, SIGNED_RELU, SIGNED_RELU6, UNSIGNED_RELU6 = range(10)


def activation_code(activation: str | None, kind: str) -> int:
    """The code of an activation for a dtype kind ("f", "c", "i" or "u")."""
    if kind == "i":
        return {None: NONE, "relu": SIGNED_RELU, "relu6": SIGNED_RELU6}[activation]
    if kind == "u":  # no unsigned number is negative
        return {None: NONE, "relu": NONE, "relu6": UNSIGNED_RELU6}[activation]
    names = (None, "relu", "relu6", "silu", "gelu", "sigmoid", "tanh")
    return names.index(activation)


@jit
def _activate_float(value: Any, code: int) -> Any:
    # Comparisons are written so that NaN stays NaN.
    if code == RELU:
        return simd.cast_like(0, value) if value < 0 else value
    if code == RELU6:
        return simd.cast_like(0, value) if value < 0 else simd.cast_like(6, value) if value > 6 else value
    if code == TANH:
        return simd.cast_like(math.tanh(value), value)
    if code == GELU:
        return simd.cast_like(0.5 * value * (1.0 + math.erf(value * 0.7071067811865476)), value)
    sigmoid = simd.cast_like(1.0 / (1.0 + math.exp(-value)), value)
    return sigmoid if code == SIGMOID else value * sigmoid


@jit
def _activate_integer(value: Any, code: int) -> Any:
    if code != UNSIGNED_RELU6 and simd.is_negative(value):
        return simd.cast_like(0, value)
    if code != SIGNED_RELU and value > 6:
        return simd.cast_like(6, value)
    return value


def activate(value: Any, code: int) -> Any:
    """The activation of one accumulator, in compiled code; convlab.reference.activate is its NumPy twin."""
    return (_activate_float if np.dtype(type(value)).kind == "f" else _activate_integer)(value, code)


@overload(activate, strict=False)  # the parameters are the same, their annotations are not
def _activate(value: Any, code: Any) -> Any:
    if isinstance(value, types.Float):
        return lambda value, code: _activate_float(value, code)
    return lambda value, code: _activate_integer(value, code)


@jit
def finish(
    buffer: Any, lane_step: int, point_step: int, lanes: int, points: int, bias: Any, first: int, code: int, zero: Any
) -> None:
    """Add the bias to a tile, buffer[lane · lane_step + point · point_step], and apply the activation, in place.

    A lane is a channel, or for complex data one of the two parts of a channel. bias is empty, or has one
    element of the result's storage type a lane, from `first` on.
    """
    simd.outlined()
    for lane in range(lanes):
        if len(bias):
            value = memory.load_at(bias, zero, memory.address(bias) + (first + lane) * bias.itemsize)
            for point in range(points):
                buffer[lane * lane_step + point * point_step] += value
        if code != NONE:
            for point in range(points):
                at = lane * lane_step + point * point_step
                buffer[at] = activate(buffer[at], code)


@jit
def write(
    buffer: Any, lane_step: int, point_step: int, lanes: int, points: int,
    y: Any, base: int, positions: Any, joined: bool, channel_stride: int, parts: int, zero: Any,
) -> None:  # fmt: skip
    """Store a tile to y: lane and point go to byte address base + the lane's offset + positions[point].

    joined: whether the positions are those of neighbours in memory, as `consecutive` says.

    Whole vectors where neighbours in the buffer are neighbours in memory, along lanes or along points; transposed
    squares of them where lanes are neighbours in the buffer and points in memory.
    """
    simd.outlined()
    item, vector = y.itemsize, simd.lanes(zero)
    if lane_step == 1 and channel_stride == parts * item:
        for point in range(points):
            target = base + positions[point]
            for lane in range(0, lanes - vector + 1, vector):
                memory.store_vector(y, target + lane * item, buffer, point * point_step + lane)
            for lane in range(lanes // vector * vector, lanes):
                memory.store_at(y, target + lane * item, buffer[point * point_step + lane])
        return
    first = 0  # channels that are stored already
    if lane_step == 1 and parts == 1 and transpose.transposes(zero) and joined:
        first = lanes // vector * vector
        for lane in range(0, first, vector):
            for i in range(0, points, vector):
                start = max(0, min(i, points - vector))  # the last vectors are stored with some before them
                target = base + lane * channel_stride + positions[start]
                count = min(vector, points)
                source = start * point_step + lane
                transpose.store_columns(y, target, channel_stride, buffer, source, point_step, count, ROWS)
    for start in range(0, points, vector):
        count = min(vector, points - start)
        whole = point_step == 1 and count == vector and joined
        for channel in range(first, lanes // parts):
            for part in range(parts):
                target = base + channel * channel_stride + part * item
                source = (channel * parts + part) * lane_step + start * point_step
                if whole:
                    memory.store_vector(y, target + positions[start], buffer, source)
                else:
                    for i in range(count):
                        memory.store_at(y, target + positions[start + i], buffer[source + i * point_step])


@jit
def announce(
    base: int, positions: Any, first: int, points: int, lanes: int, channel_stride: int, parts: int, item: int
) -> None:
    """Have the cache lines fetched that `write` will store points first, … of a tile to, while the tile is summed."""
    if channel_stride == parts * item:
        for point in range(first, first + points):
            for offset in range(0, lanes * item, simd.CACHE_LINE):
                memory.expect_store(base + positions[point] + offset)
    else:
        for channel in range(lanes // parts):
            memory.expect_store(base + positions[first] + channel * channel_stride)


@jit
def consecutive(positions: Any, count: int, item: int) -> bool:
    """Whether the first `count` positions are `item` bytes apart."""
    for i in range(1, count):  # noqa: SIM110 (Numba has no generator expressions)
        if positions[i] - positions[i - 1] != item:
            return False
    return True
