"""PTX text as kernels: instructions, labels, and what they declare.

PTX ISA, "Syntax" and "State Spaces, Types, and Variables". Calls are put in place (`inline`). Scopes are flat: NVVM
declares a name again only for the parameters of another call, which may be of another size.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from . import inline
from .faults import EmulationError
from .types import DTYPES, align, constant

_INSTRUCTION = re.compile(r"(?:@(!?)(%[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)", re.S)
_LABEL = re.compile(r"(\$?[\w$]+):(?!:)")
_FUNCTION = re.compile(r"\.(entry|func)\s+(?:\(([^)]*)\)\s*)?([\w$]+)\s*(?:\((.*)\))?", re.S)
_VARIABLE = re.compile(
    r"\.(global|const|shared|local|param)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+"
    r"(?:\.ptr\s+(?:\.(?!align)\w+\s+)?(?:\.align\s+\d+\s+)?)?([\w$]+)(?:\[(\d*)\])?\s*(?:=\s*(.*))?$",
    re.S,
)


@dataclass(frozen=True)
class Instruction:
    """One instruction: `@%p ld.shared.v4.f32 {…}, [%rd1+16]`."""

    text: str
    opcode: str
    operands: tuple[str, ...]
    guard: str | None = None  # it runs where this predicate holds
    negated: bool = False  # or where it does not


@dataclass(frozen=True)
class Variable:
    """A declared piece of memory. `size`: its bytes; 0 for an array whose length the launch gives."""

    name: str
    space: str
    type: str
    size: int
    alignment: int
    data: bytes = b""


@dataclass
class Kernel:
    """An entry point with everything that it calls put in place."""

    name: str
    parameters: list[Variable]
    registers: dict[str, str] = field(default_factory=dict)  # name -> type
    offsets: dict[str, int] = field(default_factory=dict)  # of shared and local variables, each in its memory
    shared_bytes: int = 0
    local_bytes: int = 0
    call_parameters: dict[str, int] = field(default_factory=dict)  # name -> bytes, one copy a thread
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass
class Module:
    """PTX text read: its kernels and the variables that they share."""

    kernels: dict[str, Kernel]
    variables: dict[str, Variable]


def split(text: str) -> list[str]:
    """Text at its commas, but for those in brackets."""
    parts = re.findall(r"(?:[^,\[\]{}()]|\[[^\]]*\]|\{[^}]*\}|\([^)]*\))+", text)
    return [part.strip() for part in parts]


def parse(ptx: str) -> Module:
    """Read the text of a PTX module."""
    ptx = re.sub(r"/\*.*?\*/|//[^\n]*", "", ptx.rstrip("\0"), flags=re.S)
    module, functions, bodies = Module({}, {}), {}, []
    for head, body in _items(ptx):
        function = _FUNCTION.search(head)
        if function is None:
            variable = _variable(head)
            if variable is not None:
                module.variables[variable.name] = variable
        elif body is not None and function[1] == "entry":
            parameters = [_declared(p) for p in split(function[4] or "")]
            bodies.append((Kernel(function[3], parameters), body))
        elif body is not None:
            returned, taken = ([_declared(p).name for p in split(x or "")] for x in (function[2], function[4]))
            functions[function[3]] = inline.Function(returned, taken, body)
    for kernel, body in bodies:
        _read(kernel, body, functions)
        module.kernels[kernel.name] = kernel
    return module


def _end(text: str, start: int) -> int:
    """Where the brace that opened before `start` closes."""
    depth = 1
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return start + brace.start()
    raise EmulationError("PTX ends inside a brace")


def _items(ptx: str) -> list[tuple[str, str | None]]:
    """The top of the text: (declaration, None), or (head, body) of functions."""
    found: list[tuple[str, str | None]] = []
    start = at = 0
    while mark := re.compile(r"[;{]").search(ptx, at):
        head, at = ptx[start : mark.start()], mark.end()
        if mark[0] == ";":
            found.append((head, None))
            start = at
            continue
        at = _end(ptx, mark.end()) + 1
        if _FUNCTION.search(head):  # otherwise the brace of an initial value
            found.append((head, ptx[mark.end() : at - 1]))
            start = at
    return found


def _variable(text: str) -> Variable | None:
    match = _VARIABLE.search(text.strip())
    if match is None:
        return None
    space, alignment, type_, name, length, initial = match.groups()
    dtype = DTYPES[type_]
    count = 1 if length is None else int(length or 0)
    values = re.findall(r"-?\w+", initial or "")
    data = np.array([constant(value, dtype) for value in values], dtype).tobytes()
    return Variable(name, space, type_, count * dtype.itemsize, int(alignment or dtype.itemsize), data)


def _declared(text: str) -> Variable:
    variable = _variable(text)
    if variable is None:
        raise EmulationError(f"cannot read the declaration: {text}")
    return variable


def _read(kernel: Kernel, body: str, functions: dict[str, inline.Function]) -> None:
    """Add the statements of a body to a kernel."""
    at = 0
    while at < len(body):
        if body[at].isspace() or body[at] in "{}":  # a brace here opens or closes a scope
            at += 1
        elif label := _LABEL.match(body, at):
            kernel.labels[label[1]] = len(kernel.code)
            at = label.end()
        else:
            end = body.index(";", at)
            _statement(kernel, " ".join(body[at:end].split()), functions)
            at = end + 1


def _statement(kernel: Kernel, text: str, functions: dict[str, inline.Function]) -> None:
    if text.startswith(".reg"):
        _registers(kernel, text)
    elif text.startswith("."):
        variable = _variable(text)
        if variable is not None:  # otherwise .pragma, .loc
            _place(kernel, variable)
    elif text.startswith("call"):
        serial = f"call{len(kernel.code)}_"
        end, body = inline.in_place(text, functions, serial)
        _read(kernel, body, functions)
        kernel.labels[end] = len(kernel.code)
    else:
        match = _INSTRUCTION.fullmatch(text)
        if match is None:
            raise EmulationError(f"cannot read: {text}")
        negated, guard, opcode, operands = match.groups()
        kernel.code.append(Instruction(text, opcode, tuple(split(operands)), guard, negated == "!"))


def _registers(kernel: Kernel, text: str) -> None:
    """.reg .b32 %r<7>;  declares %r0 to %r6."""
    type_, names = text.split(None, 2)[1:]
    for name in split(names):
        stem, _, count = name.rstrip(">").partition("<")
        kernel.registers |= {f"{stem}{i}": type_[1:] for i in range(int(count))} if count else {stem: type_[1:]}


def _place(kernel: Kernel, variable: Variable) -> None:
    """Give a function's own variable its place."""
    if variable.space == "param":
        known = kernel.call_parameters.get(variable.name, 0)
        kernel.call_parameters[variable.name] = max(known, variable.size)
    elif variable.space == "shared":
        kernel.offsets[variable.name] = start = align(kernel.shared_bytes, variable.alignment)
        kernel.shared_bytes = start + variable.size
    elif variable.space == "local":
        kernel.offsets[variable.name] = start = align(kernel.local_bytes, variable.alignment)
        kernel.local_bytes = start + variable.size
