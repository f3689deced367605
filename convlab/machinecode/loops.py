"""The loops of a kernel, and what one pass through one costs.

A static bound, and an optimistic one: it counts what the pipes of a quarter of an SM take to execute the instructions
of a pass for one warp. It knows nothing of latency, bank conflicts, caches or barriers.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from . import opcodes
from .hardware import PARTITIONS, SMS
from .listing import Instruction
from .tools import Capability

_LANES = 16  # of the integer unit and of the half of the multiply-add unit that IMAD goes to, in a partition
_SPECIAL_LANES = 4
_ON_INTEGER_UNIT = ("FMNMX", "FSEL", "FSETP", "MOV", "CS2R")  # floating point by name, and moves
_TRAP = 0x200  # bytes at a kernel's end in which a jump to itself is no loop


@dataclass(frozen=True)
class Loop:
    """The instructions between a jump backwards and where it goes. `depth`: how many loops it is in."""

    code: tuple[Instruction, ...]
    capability: Capability
    depth: int

    @cached_property
    def kinds(self) -> Counter[str]:
        """How many instructions there are of each kind (`opcodes`)."""
        return Counter(opcodes.kind(instruction) for instruction in self.code)

    @cached_property
    def names(self) -> Counter[str]:
        """How many instructions there are of each opcode."""
        return Counter(instruction.opcode for instruction in self.code)

    @property
    def ffma_share(self) -> float:
        """The fraction of its instructions that are float32 multiply-adds."""
        return self.kinds["ffma"] / len(self.code)

    @property
    def tensor_share(self) -> float:
        """The fraction of its instructions that are products of matrices on tensor cores."""
        return self.kinds["tensor"] / len(self.code)

    @cached_property
    def products(self) -> dict[str, int]:
        """Multiply-adds of a pass, of a warp, by what does them: tensor cores, if any do (HMMA), else "fp32"; the names
        are fields of a Multiprocessor."""
        found: Counter[str] = Counter()
        for instruction in self.code:
            if instruction.head == "HMMA":
                unit = "tensor_tf32" if "TF32" in instruction.opcode.split(".") else "tensor_fp16"
                found[unit] += opcodes.flops(instruction) // 2
        return dict(found) or {"fp32": self.kinds["ffma"] * opcodes.WARP}

    @property
    def unit(self) -> str:
        """What does most of its products: "fp32", "tensor_fp16" or "tensor_tf32"."""
        return max(self.products, key=lambda unit: self.products[unit])

    @property
    def flops(self) -> int:
        """Floating point operations of a pass, of a warp."""
        return sum(opcodes.flops(instruction) for instruction in self.code)

    @property
    def global_bytes(self) -> int:
        """Bytes that a warp asks of global memory in a pass."""
        return self._bytes("load") + self._bytes("async copy")

    @property
    def shared_bytes(self) -> int:
        """Bytes that a warp reads from shared memory and writes to it in a pass, lane by lane."""
        return self._bytes("shared load") + self._bytes("shared store")

    def _bytes(self, kind: str) -> int:
        return sum(opcodes.WARP * opcodes.width(i) for i in self.code if opcodes.kind(i) == kind)

    @property
    def pipes(self) -> dict[str, float]:
        """Clocks that each pipe of a partition takes for a pass of one warp (Programming Guide, "Arithmetic
        Instructions"; "issue": one instruction a clock)."""
        sm, count = SMS[self.capability], self.kinds
        fp32, fp64 = sm.fp32 / PARTITIONS, sm.fp64 / PARTITIONS
        multiply = sum(n for name, n in self.names.items() if name.startswith(("FFMA", "FADD", "FMUL")))
        integer = count["integer"] + sum(n for name, n in self.names.items() if name.startswith(_ON_INTEGER_UNIT))
        # IMAD and the moves made of it share the multiply-add unit: its only half, or one of two.
        imad = count["imad"] + sum(n for name, n in self.names.items() if name.startswith("IMAD.MOV"))
        of_imad = imad * opcodes.WARP / _LANES
        alone = multiply * opcodes.WARP / fp32
        on_tensor = sum(n / getattr(sm, unit) for unit, n in self.products.items() if unit != "fp32" and n)
        return {
            "issue": float(len(self.code)),
            "multiply-add": alone + of_imad if fp32 <= _LANES else max(alone + imad, of_imad),
            "integer": integer * opcodes.WARP / _LANES,
            "float64": count["fp64"] * opcodes.WARP / fp64,
            "special": count["special"] * opcodes.WARP / _SPECIAL_LANES,
            "tensor": on_tensor * PARTITIONS,
        }

    @property
    def bound(self) -> tuple[str, float]:
        """(the pipe that takes longest, the clocks it takes)"""
        pipes = self.pipes
        name = max(pipes, key=lambda pipe: pipes[pipe])
        return name, pipes[name]

    @property
    def peak_fraction(self) -> float:
        """The fraction of its `unit`'s peak that the pipes allow: what the products alone would take over it."""
        alone = self.products[self.unit] / getattr(SMS[self.capability], self.unit) * PARTITIONS
        return alone / self.bound[1]


def loops(code: list[Instruction], capability: Capability) -> list[Loop]:
    """All loops of a kernel, by where they begin. Several jumps back to one place are one loop."""
    ends: dict[int, int] = {}
    for instruction in code:
        target, address = instruction.target, instruction.address
        trap = target == address and address >= code[-1].address - _TRAP
        if target is not None and target <= address and not trap:
            ends[target] = max(ends.get(target, 0), address)
    spans = sorted(ends.items())
    return [
        Loop(
            tuple(i for i in code if low <= i.address <= high),
            capability,
            sum(other != (low, high) and other[0] <= low and high <= other[1] for other in spans),
        )
        for low, high in spans
    ]
