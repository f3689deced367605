"""Winograd's transforms as unrolled vector code: one axis at a time, one channel a lane.

A `ToomCook` names some F(m, r). It is a value that carries its numbers in its Numba type, so a kernel that takes one is
compiled for those tiles and no others; which of them, is chosen at run time. Any sizes will do.
"""

import functools
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.pythonapi import NativeValue
from numba.extending import intrinsic, models, register_model, typeof_impl, unbox

from ..transforms import Matrices, Matrix, Program, straight_line, toom_cook
from . import simd

# What `apply` computes: Bᵀ of inputs, G of filters, Aᵀ of products; for the gradient of the filters A of the outputs'
# gradients and Gᵀ of products.
INPUT, FILTER, OUTPUT, GRADIENT, FILTER_GRADIENT = range(5)


@dataclass(frozen=True)
class ToomCook:
    """The tiles F(m, r) for every pair (m, r) of `sizes`."""

    sizes: tuple[tuple[int, int], ...]

    def outputs(self, r: int) -> tuple[int, ...]:
        """m of the tiles for r taps."""
        return tuple(m for m, taps in self.sizes if taps == r)


# What is compiled by default. F(1, 1) is an axis that is not transformed. F(6, 5) and F(8, 3) lose too many digits.
TILES = ToomCook(((1, 1), (2, 3), (4, 3), (6, 3), (2, 5), (4, 5)))


class ToomCookType(types.Type):
    """Numba type of a ToomCook; the value itself is empty."""

    def __init__(self, sizes: tuple[tuple[int, int], ...]) -> None:
        self.sizes = sizes
        super().__init__(name=f"ToomCook({sizes})")


@typeof_impl.register(ToomCook)
def _typeof(value: ToomCook, context: Any) -> ToomCookType:
    return _type_of(value)


@functools.cache  # asked for at every call from Python
def _type_of(value: ToomCook) -> ToomCookType:
    return ToomCookType(value.sizes)


register_model(ToomCookType)(models.OpaqueModel)


@unbox(ToomCookType)
def _unbox(kind: Any, value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


@intrinsic(prefer_literal=True)
def apply(
    typingctx: Any, tiles: Any, which: Any, m: Any, r: Any, source: Any, source_step: Any, target: Any, target_step:
    Any,
    count: Any, source_move: Any, target_move: Any, zero: Any,
) -> Any:  # fmt: skip
    """Transform `count` lines of vectors of zero's type: elements of a line lie `step` bytes apart, lines `move` bytes.

    which: literal INPUT, FILTER, …; m, r: one of the sizes. source and target are byte addresses and may be
    the same line: all of it is read before any of it is written.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, m, r, source, source_step, target, target_step, count, source_move, target_move, _ = args
        done = builder.append_basic_block("transformed")
        switch = builder.switch(builder.or_(builder.shl(m, simd.I64(16)), r), done)
        for outputs, taps in tiles.sizes:
            case = builder.append_basic_block(f"tile_{outputs}_{taps}")
            switch.add_case(simd.I64(outputs << 16 | taps), case)
            builder.position_at_end(case)
            matrices = toom_cook(outputs, taps)
            program = straight_line(_matrix(matrices, which.literal_value))
            with cgutils.for_range(builder, count, intp=simd.I64) as loop:
                start = builder.add(source, builder.mul(loop.index, source_move))
                end = builder.add(target, builder.mul(loop.index, target_move))
                values = [
                    simd.load(builder, address, zero, zero, simd.lanes_of(zero))
                    for address in _line(builder, start, source_step, program.inputs)
                ]
                results = run(builder, program, values)
                for address, value in zip(_line(builder, end, target_step, len(results)), results, strict=True):
                    simd.store(builder, value, address, zero, zero)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    integer = types.intp
    return types.void(tiles, which, *[integer] * 9, zero), codegen


def _matrix(matrices: Matrices, which: int) -> Matrix:
    if which == INPUT:
        return matrices.bt
    if which in (FILTER, FILTER_GRADIENT):
        return matrices.g if which == FILTER else tuple(zip(*matrices.g, strict=True))
    return matrices.at if which == OUTPUT else tuple(zip(*matrices.at, strict=True))


def _line(builder: Any, first: Any, step: Any, count: int) -> list[Any]:
    """Addresses first, first + step, …"""
    return [builder.add(first, builder.mul(step, simd.I64(i))) for i in range(count)]


def run(builder: Any, program: Program, inputs: list[Any]) -> list[Any]:
    """The program on LLVM vectors (or scalars): its outputs."""
    values = list(inputs)
    kind = values[0].type

    def constant(number: Any) -> Any:
        element = getattr(kind, "element", kind)
        scalar = ir.Constant(element, float(number))
        return ir.Constant(kind, [scalar] * kind.count) if isinstance(kind, ir.VectorType) else scalar

    for terms in program.steps:
        # A term that needs no multiplication begins; each of the others is then one instruction.
        first, *rest = sorted(terms, key=lambda term: (term.coefficient != 1, abs(term.coefficient) != 1))
        total = values[first.value]
        if first.coefficient == -1:
            total = builder.fsub(constant(0), total)
        elif first.coefficient != 1:
            total = builder.fmul(total, constant(first.coefficient))
        for coefficient, value in rest:
            if coefficient == 1:
                total = builder.fadd(total, values[value])
            elif coefficient == -1:
                total = builder.fsub(total, values[value])
            else:
                total = simd.multiply_add(builder, values[value], constant(coefficient), total)
        values.append(total)
    return [constant(0) if i < 0 else values[i] for i in program.outputs]
