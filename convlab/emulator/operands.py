"""Operands of an instruction as arrays over the lanes: a register, however it is read, is a view of its bits."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .faults import EmulationError
from .lanes import Active, Array, Lanes
from .parse import split
from .types import DTYPES, constant, integer_bits

_ADDRESS = re.compile(r"(%?[\w$.]+)\s*(?:\+\s*(-?\w+))?")


class Complement:
    """A predicate read as its opposite."""

    def __init__(self, predicate: Array) -> None:
        self.predicate = predicate

    def __getitem__(self, active: Active) -> Array:
        return ~self.predicate[active]


Source = Array | Complement
Address = Callable[[Active], Array]


class Operands:
    """What names in an instruction stand for.

    addresses: where each variable is, in its own memory or, for global ones, as a pointer.
    parameters: the bytes of each kernel parameter.
    """

    def __init__(self, lanes: Lanes, addresses: Mapping[str, int], parameters: Mapping[str, bytes]) -> None:
        self.lanes, self.addresses, self.parameters = lanes, addresses, parameters

    def source(self, text: str, type_: str) -> Source:
        """An operand to read as a type. A register may be wider: its low bits are read."""
        dtype = DTYPES[type_]
        if text.startswith("!"):
            return Complement(self.lanes.registers[text[1:]])
        if text in self.lanes.registers or text in self.lanes.special:
            bits = self.lanes.registers.get(text, self.lanes.special.get(text))
            assert bits is not None
            return bits if dtype == np.bool_ else _low(bits, dtype)
        name, offset = self._variable(text)
        value = constant(text, dtype) if name is None else integer_bits(self.addresses[name] + offset, dtype)
        return np.broadcast_to(np.asarray(value, dtype), self.lanes.count)

    def destination(self, text: str, type_: str) -> Array:
        """A register to write, as a type. In a wider one the value is extended, signed types by their sign."""
        dtype = DTYPES[type_]
        if text == "_":  # the bit bucket
            return np.empty(self.lanes.count, dtype)
        if text not in self.lanes.registers:
            raise EmulationError(f"no register {text}")
        bits = self.lanes.registers[text]
        if dtype == np.bool_ or bits.dtype.itemsize == dtype.itemsize:
            return bits.view(dtype)
        if dtype.itemsize < bits.dtype.itemsize:
            return bits.view(f"{'i' if dtype.kind == 'i' else 'u'}{bits.dtype.itemsize}")
        raise EmulationError(f"{text} is too narrow for .{type_}")

    def vector(self, text: str) -> list[str]:
        """{%f1, %f2} as its names; one name as itself."""
        return split(text[1:-1]) if text.startswith("{") else [text]

    def address(self, text: str) -> Address:
        """[%rd1+8], [variable+4], [4096] as pointers, int64, one an active lane."""
        match = _ADDRESS.fullmatch(text[1:-1].strip())
        if match is None:
            raise EmulationError(f"cannot read the address {text}")
        base, offset = match[1], int(match[2] or "0", 0)
        if base in self.lanes.registers:
            register = self.lanes.registers[base]
            if register.dtype.itemsize == 8:
                pointers = register.view(np.int64)
                return lambda active: pointers[active] + offset
            return lambda active: register[active].astype(np.int64) + offset
        fixed = (self.addresses[base] if base in self.addresses else int(base, 0)) + offset
        everywhere = np.broadcast_to(np.int64(fixed), self.lanes.count)
        return lambda active: everywhere[active]

    def parameter(self, text: str, dtype: np.dtype[Any], element: int = 0) -> Array:
        """[name+8] in parameter space: of the kernel, the same for all lanes, or of a call, one a lane."""
        match = _ADDRESS.fullmatch(text[1:-1].strip())
        assert match is not None
        start = int(match[2] or "0", 0) + element * dtype.itemsize
        if match[1] in self.parameters:
            value = np.frombuffer(self.parameters[match[1]], dtype, 1, start)
            return np.broadcast_to(value, self.lanes.count)
        own = self.lanes.call_parameters[match[1]]
        return own[:, start : start + dtype.itemsize].view(dtype)[:, 0]

    def _variable(self, text: str) -> tuple[str | None, int]:
        """(name, offset) if an operand is the address of a variable: name, name+4, generic(name)."""
        text = text.removeprefix("generic(").removesuffix(")")
        name, _, offset = text.partition("+")
        return (name.strip(), int(offset or "0", 0)) if name.strip() in self.addresses else (None, 0)


def _low(bits: Array, dtype: np.dtype[Any]) -> Array:
    """The low bits of each element as a type, without a copy."""
    if bits.dtype.itemsize == dtype.itemsize:
        return bits.view(dtype)
    if bits.dtype.itemsize < dtype.itemsize:
        raise EmulationError(f"a register of {bits.dtype.itemsize} bytes read as {dtype}")
    return np.ascontiguousarray(bits).view(dtype)[:: bits.dtype.itemsize // dtype.itemsize]
