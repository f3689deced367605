"""Programs of additions and multiplications (kernels.transforms) as straight-line code on vectors in memory."""

from typing import Any

from llvmlite import ir

from ..transforms import Program
from . import simd


def line(builder: Any, first: Any, step: Any, count: int) -> list[Any]:
    """Addresses first, first + step, …"""
    return [builder.add(first, builder.mul(step, simd.I64(i))) for i in range(count)]


def through(builder: Any, program: Program, sources: list[Any], targets: list[Any], zero: Any) -> None:
    """Load vectors from addresses, run the program on them, and store its outputs."""
    values = [simd.load(builder, address, zero, zero, simd.lanes_of(zero)) for address in sources]
    for address, value in zip(targets, run(builder, program, values), strict=True):
        simd.store(builder, value, address, zero, zero)


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
