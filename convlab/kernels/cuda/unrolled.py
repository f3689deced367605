"""Tuples of numbers in registers: what loads, stores and transforms them, written out element by element.

A local array stays in registers only while the compiler unrolls every loop over it, which it gives up at tiles of 36
elements. Each function here makes an intrinsic for certain numbers, known when a kernel is compiled.
"""

import functools
from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import float32, types
from numba.core import cgutils
from numba.cuda.extending import intrinsic

from ..transforms import Program
from .intrinsics import _pointer as element
from .memory import _long as long
from .memory import _pointer as pointer
from .memory import _product as product

_FLOAT, _WORD, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def _tuple(count: int) -> types.UniTuple:
    return types.UniTuple(float32, count)


def _items(builder: Any, value: Any) -> list[Any]:
    return [builder.extract_value(value, i) for i in range(value.type.count)]


@functools.cache
def transform(program: Program) -> Any:
    """The intrinsic that runs a program on a tuple of its inputs and gives a tuple of its outputs."""

    @intrinsic
    def transformed(typing: Any, values: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return cgutils.pack_array(builder, _run(builder, program, _items(builder, args[0])))

        return _tuple(len(program.outputs))(values), generate

    return transformed


def _run(builder: Any, program: Program, values: list[Any]) -> list[Any]:
    """The program's outputs. A term that needs no multiplication begins a sum, the others are an instruction each."""
    for terms in program.steps:
        first, *rest = sorted(terms, key=lambda term: (term.coefficient != 1, abs(term.coefficient) != 1))
        total = values[first.value]
        if first.coefficient != 1:
            total = builder.fmul(total, _FLOAT(float(first.coefficient)))
        for coefficient, value in rest:
            if abs(coefficient) == 1:
                total = (builder.fadd if coefficient == 1 else builder.fsub)(total, values[value])
            else:
                total = builder.fma(values[value], _FLOAT(float(coefficient)), total)
        values.append(total)
    return [values[i] for i in program.outputs]


@functools.cache
def window(rows: int, columns: int) -> Any:
    """The intrinsic that reads a window of an image through the table of its axes (kernels.taps); zeros beside it."""

    @intrinsic
    def read(
        typing: Any, image: Any, table: Any, address: Any, line_at: Any, point_at: Any, row_stride: Any,
        column_stride: Any,
    ) -> Any:  # fmt: skip
        """address: of the channel; line_at, point_at: where in the table the entries of the window begin."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            start, strides = long(builder, args[2]), [builder.trunc(a, _WORD) for a in args[5:]]
            lines, points = (
                [builder.load(element(context, builder, signature.args[1], args[1], builder.add(at, _LONG(i))))
                 for i in range(count)]
                for at, count in ((long(builder, args[3]), rows), (long(builder, args[4]), columns))
            )  # fmt: skip
            # What lies outside reads the first element instead, and is not taken: no branch round a load.
            offsets = [
                [product(builder, builder.select(_inside(builder, at), at, _WORD(0)), stride) for at in axis]
                for axis, stride in zip((lines, points), strides, strict=True)
            ]
            values = []
            for line, down in zip(lines, offsets[0], strict=True):
                row = builder.add(start, down)
                for point, along in zip(points, offsets[1], strict=True):
                    value = builder.load(pointer(context, builder, signature.args[0], builder.add(row, along)))
                    value = context.cast(builder, value, signature.args[0].dtype, float32)
                    values.append(builder.select(_inside(builder, builder.or_(line, point)), value, _FLOAT(0)))
            return cgutils.pack_array(builder, values)

        integer = types.int64
        return _tuple(rows * columns)(image, table, integer, integer, integer, integer, integer), generate

    return read


def _inside(builder: Any, entry: Any) -> Any:
    return builder.icmp_signed(">=", entry, _WORD(0))


def _places(builder: Any, first: Any, step: Any, count: int) -> Iterator[Any]:
    """first, first + step, …"""
    for i in range(count):
        yield first
        if i + 1 < count:
            first = builder.add(first, step)


@functools.cache
def column(count: int) -> Any:
    """The intrinsic that loads `count` elements of a global array, `step` bytes apart, from an address on."""

    @intrinsic
    def read(typing: Any, array: Any, address: Any, step: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            places = _places(builder, args[1], args[2], count)
            return cgutils.pack_array(
                builder, [builder.load(pointer(context, builder, signature.args[0], place)) for place in places]
            )

        return _tuple(count)(array, types.int64, types.int64), generate

    return read


@intrinsic
def write_column(typing: Any, array: Any, address: Any, step: Any, values: Any) -> Any:
    """Store a tuple to a global array, `step` bytes apart, from an address on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = _items(builder, args[3])
        for value, place in zip(values, _places(builder, args[1], args[2], len(values)), strict=True):
            builder.store(value, pointer(context, builder, signature.args[0], place))
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, values), generate


@functools.cache
def keep(offsets: tuple[int, ...]) -> Any:
    """The intrinsic that stores a tuple in a shared array, element i at `offsets[i]` from a flat index on."""

    @intrinsic
    def kept(typing: Any, array: Any, index: Any, values: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first = element(context, builder, signature.args[0], args[0], args[1])
            for value, offset in zip(_items(builder, args[2]), offsets, strict=True):
                builder.store(value, builder.gep(first, [_LONG(offset)]))
            return context.get_dummy_value()

        return types.void(array, index, values), generate

    return kept


@functools.cache
def kept(offsets: tuple[int, ...]) -> Any:
    """The intrinsic that loads from a shared array what lies at `offsets` from a flat index on, as a tuple."""

    @intrinsic
    def read(typing: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first = element(context, builder, signature.args[0], args[0], args[1])
            return cgutils.pack_array(builder, [builder.load(builder.gep(first, [_LONG(o)])) for o in offsets])

        return _tuple(len(offsets))(array, index), generate

    return read
