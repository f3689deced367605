"""An instruction with its operands, and what most of them become: a function of arrays, lane by lane."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..faults import EmulationError
from ..lanes import Active, Array, Lanes
from ..memory import Memories
from ..operands import Address, Operands, Source
from ..parse import Instruction
from ..types import DTYPES

Step = Callable[[Active], None]  # what an instruction does to the active lanes
Families = dict[str, Callable[["Decoder"], Step]]  # by the first part of the opcode, what decodes it


class Decoder:
    """An instruction with what its operands stand for. `types`: the scalar types in its opcode, in their order."""

    def __init__(self, instruction: Instruction, operands: Operands, lanes: Lanes, memories: Memories) -> None:
        self.instruction, self.names = instruction, operands
        self.lanes, self.memories = lanes, memories
        self.head, *self.modifiers = instruction.opcode.split(".")
        self.types = [part for part in self.modifiers if part in DTYPES]
        self.operands = instruction.operands

    def refusal(self) -> EmulationError:
        return EmulationError(f"not emulated: {self.instruction.text}")

    def has(self, *modifiers: str) -> bool:
        """Whether the opcode has one of these parts."""
        return any(modifier in self.modifiers for modifier in modifiers)

    def one_of(self, *modifiers: str) -> str:
        """The part of the opcode that is one of these."""
        for part in self.modifiers:
            if part.split("::")[0] in modifiers:
                return part.split("::")[0]
        raise self.refusal()

    @property
    def type(self) -> str:
        if not self.types:
            raise self.refusal()
        return self.types[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        return DTYPES[self.type]

    def source(self, index: int, type_: str | None = None) -> Source:
        """Operand `index` to be read, as the instruction's type or another."""
        return self.names.source(self.operands[index], type_ or self.type)

    def sources(self, *indices: int) -> list[Source]:
        """Several operands of the instruction's type."""
        return [self.source(index) for index in indices]

    def destination(self, type_: str | None = None) -> Array:
        """Operand 0 to be written, as the instruction's type or another."""
        return self.names.destination(self.operands[0], type_ or self.type)

    def address(self, index: int) -> Address:
        return self.names.address(self.operands[index])


def elementwise(function: Callable[..., Any], sources: list[Source], destination: Array) -> Step:
    """The step that writes what a function of arrays makes of the sources, lane by lane."""
    in_place = isinstance(function, np.ufunc) or hasattr(function, "ufunc")

    def step(active: Active) -> None:
        if isinstance(active, slice) and in_place:
            function(*[source[active] for source in sources], out=destination, casting="unsafe")
        else:
            destination[active] = function(*[source[active] for source in sources])

    return step
