"""Atomic operations: lane after lane, in their order."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import checks
from ..lanes import Active
from ..memory import Memory
from .data import space
from .decode import Decoder, Families, Step

# old value, operand -> new value
_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda old, x: old + x,
    "min": min,
    "max": max,
    "and": lambda old, x: old & x,
    "or": lambda old, x: old | x,
    "xor": lambda old, x: old ^ x,
    "exch": lambda old, x: x,
    "inc": lambda old, x: 0 if old >= x else old + 1,
    "dec": lambda old, x: x if old == 0 or old > x else old - 1,
}


def _atomic(decoder: Decoder) -> Step:
    operation = decoder.one_of("cas", *_OPERATIONS)
    first = decoder.head == "atom"  # it gives back the old value
    if decoder.type == "f16x2" or "v2" in decoder.modifiers or "v4" in decoder.modifiers:
        raise decoder.refusal()
    where, dtype, memories = space(decoder), decoder.dtype, decoder.memories
    address, operand = decoder.address(first), decoder.source(first + 1)
    desired = decoder.source(first + 2) if operation == "cas" else None
    destination = decoder.destination() if first else None
    change = _OPERATIONS.get(operation)

    def step(active: Active) -> None:
        pointers, values = address(active), operand[active]
        replacements = desired[active] if desired is not None else values
        before = np.empty(pointers.size, dtype)
        for memory, offsets, indices, these in memories.reach(where, pointers, active):
            assert isinstance(memory, Memory)
            memories.touch(memory, checks.ATOMIC, offsets, dtype.itemsize, indices)
            elements, at = memory.elements(dtype, offsets, indices, memories.lanes)
            pending = np.arange(pointers.size)[these]
            for i, place in zip(pending.tolist(), at.tolist(), strict=True):
                old = before[i] = elements[place]
                if change is not None:
                    elements[place] = change(old, values[i])
                elif old == values[i]:
                    elements[place] = replacements[i]
        if destination is not None:
            destination[active] = before

    return step


FAMILIES: Families = {
    "atom": _atomic,
    "red": _atomic,
}
