"""What ptxas and nvdisasm print, read."""

import re
from dataclasses import dataclass, replace

_KERNEL = re.compile(r"Compiling entry function '([^']+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_SECTION = re.compile(r"\s*\.section\s+\.text\.([^,\s]+)")
_LABEL = re.compile(r"\s*(\.L_[\w$]+):")
_INSTRUCTION = re.compile(
    r"\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P[T\d]+)\s+)?([A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)*)\s*([^;]*);"
)
_JUMPS = ("BRA", "BRX", "JMP")


@dataclass(frozen=True)
class Usage:
    """What a kernel takes of an SM: registers of a thread, the rest in bytes of a thread (stack, spills) or block."""

    registers: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    shared: int = 0
    barriers: int = 0


@dataclass(frozen=True)
class Instruction:
    """A machine instruction. `target`: the address of a jump, None of anything else."""

    address: int
    opcode: str  # "LDS.U.128"
    operands: str
    predicate: str | None
    target: int | None = None

    @property
    def head(self) -> str:
        return self.opcode.partition(".")[0]


def usages(log: str) -> dict[str, Usage]:
    """What `ptxas -v` says, by kernel."""
    found: dict[str, Usage] = {}
    name = None
    for line in log.splitlines():
        if match := _KERNEL.search(line):
            name = match[1]
            found[name] = Usage()
        elif name and (match := _SPILLS.search(line)):
            stack, stores, loads = map(int, match.groups())
            found[name] = replace(found[name], stack=stack, spill_stores=stores, spill_loads=loads)
        elif name and " registers" in line:
            amounts = {"registers": r"Used (\d+)", "barriers": r"used (\d+) barriers", "shared": r"(\d+) bytes smem"}
            matches = {what: re.search(pattern, line) for what, pattern in amounts.items()}
            found[name] = replace(found[name], **{what: int(m[1]) for what, m in matches.items() if m})
    return found


def instructions(sass: str) -> dict[str, list[Instruction]]:
    """The instructions of each function, in the order of their addresses, the jumps with their targets."""
    functions: dict[str, list[Instruction]] = {}
    labels: dict[str, int] = {}
    own: list[Instruction] = []
    pending: list[str] = []
    for line in sass.splitlines():
        if match := _SECTION.match(line):
            own = functions[match[1]] = []
        elif match := _LABEL.match(line):
            pending.append(match[1])
        elif match := _INSTRUCTION.match(line):
            address = int(match[1], 16)
            labels |= dict.fromkeys(pending, address)  # labels are unique in a cubin
            pending = []
            own.append(Instruction(address, match[3], match[4].strip(), match[2]))
    return {name: [_aimed(i, labels) for i in code] for name, code in functions.items() if code}


def _aimed(instruction: Instruction, labels: dict[str, int]) -> Instruction:
    """A jump with its target."""
    if instruction.head not in _JUMPS:
        return instruction
    if match := re.search(r"\.L_[\w$]+", instruction.operands):
        return replace(instruction, target=labels.get(match[0]))
    match = re.search(r"0x([0-9a-f]+)", instruction.operands)
    return replace(instruction, target=int(match[1], 16) if match else None)
