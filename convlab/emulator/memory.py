"""The memories that a kernel addresses: global, shared, local, and the generic pointers that lead to any of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import checks
from .counters import Counters
from .faults import Fault
from .lanes import Active, Array, Lanes
from .types import align

# A space's window in the generic address space. Global pointers are generic ones; shared and local ones are offsets.
WINDOWS = {"global": 0x7F0000000000, "shared": 0x7E0000000000, "local": 0x7D0000000000}
_WINDOW = 1 << 40
MAX_SHARED = 232448  # bytes a block, the most of any device (sm_90)


class Memory:
    """A space that several threads see. `data`: its bytes, for all blocks of the batch one behind the other.

    states: whether each granule is there, and written (`checks`).
    """

    def __init__(self, space: str, data: Array, states: Array, granule: int, size: int, pitch: int) -> None:
        self.space, self.data, self.granule, self.size, self.pitch = space, data, granule, size, pitch
        self.history = checks.history(states)

    @classmethod
    def shared(cls, size: int, blocks: int, granule: int) -> "Memory":
        """Shared memory of `size` bytes a block, unwritten."""
        pitch = align(size, 16)
        states = np.full(pitch * blocks // granule, checks.UNWRITTEN, np.int32)
        return cls("shared", np.zeros(pitch * blocks, np.uint8), states, granule, size, pitch)

    def follow(self, kind: int, offsets: Array, width: int, indices: Array, lanes: Lanes) -> None:
        """Check an access of `width` bytes at each of the offsets and remember it, or raise its Fault."""
        checks.follow(self.history, self.granule, self.size, self.pitch, kind, offsets, width, indices, lanes)

    def elements(self, dtype: np.dtype[Any], offsets: Array, indices: Array, lanes: Lanes) -> tuple[Array, Array]:
        """(the memory as elements of a type, the index of each lane's)"""
        if self.pitch:
            offsets = offsets + indices // lanes.per_block * self.pitch
        return self.data.view(dtype), offsets // dtype.itemsize


class Local:
    """Memory of each lane alone. Nothing is followed but its bounds: what is undefined in it, the compiler may read."""

    space = "local"

    def __init__(self, size: int, lanes: int) -> None:
        self.size, self.pitch = size, align(size, 16)
        self.data = np.zeros(self.pitch * lanes, np.uint8)

    def follow(self, kind: int, offsets: Array, width: int, indices: Array, lanes: Lanes) -> None:
        """Raise a Fault where an access is out of bounds or misaligned."""
        outside = (offsets < 0) | (offsets + width > self.size)
        for wrong, what in ((outside, "out-of-bounds"), (offsets % width != 0, "misaligned")):
            if wrong.any():
                first = int(np.flatnonzero(wrong)[0])
                message = f"{what} access of {width} bytes at {int(offsets[first])} of local memory"
                raise Fault(message, int(indices[first]))

    def elements(self, dtype: np.dtype[Any], offsets: Array, indices: Array, lanes: Lanes) -> tuple[Array, Array]:
        """(the memory as elements of a type, the index of each lane's)"""
        return self.data.view(dtype), (offsets + indices * self.pitch) // dtype.itemsize


class Memories:
    """All memories of a batch, as instructions reach them.

    instruction: the index of the one that runs. pending, groups: copies on their way, and how many groups of them each
    lane has committed (`instructions.copies`).
    """

    def __init__(self, lanes: Lanes, global_: Memory, shared: Memory, local: Local, counters: Counters) -> None:
        self.lanes, self.counters = lanes, counters
        self.spaces: dict[str, Memory | Local] = {"global": global_, "shared": shared, "local": local}
        self.instruction = 0
        self.pending: list[Any] = []
        self.groups = np.zeros(lanes.count, np.int64)

    def load(self, space: str, pointers: Array, dtype: np.dtype[Any], count: int, active: Active) -> Array:
        """`count` elements behind each pointer: (lanes, count)."""
        found = np.empty((pointers.size, count), dtype)
        for memory, offsets, indices, where in self.reach(space, pointers, active):
            self.touch(memory, checks.READ, offsets, dtype.itemsize * count, indices)
            elements, at = memory.elements(dtype, offsets, indices, self.lanes)
            found[where] = elements.reshape(-1, count)[at // count] if count > 1 else elements[at, None]
        return found

    def store(self, space: str, pointers: Array, values: Sequence[Array], dtype: np.dtype[Any], active: Active) -> None:
        """Write values[j] as the j-th element behind each pointer."""
        count = len(values)
        rows = np.stack(values, axis=1)
        for memory, offsets, indices, where in self.reach(space, pointers, active):
            self.touch(memory, checks.WRITE, offsets, dtype.itemsize * count, indices)
            elements, at = memory.elements(dtype, offsets, indices, self.lanes)
            elements.reshape(-1, count)[at // count] = rows[where]

    def touch(self, memory: Memory | Local, kind: int, offsets: Array, width: int, indices: Array) -> None:
        """Check, remember and count an access."""
        memory.follow(kind, offsets, width, indices, self.lanes)
        if isinstance(memory, Memory):
            self.counters.access(memory.space, self.instruction, offsets, indices, width)

    def reach(self, space: str, pointers: Array, active: Active) -> list[tuple[Memory | Local, Array, Array, Active]]:
        """Where pointers lead: (memory, offsets in it, their lanes, which of the pointers they are)."""
        indices = self.lanes.indices(active)
        everything = slice(None)
        if space in ("global", "const"):
            return [(self.spaces["global"], pointers - WINDOWS["global"], indices, everything)]
        if space != "generic":
            return [(self.spaces[space], pointers, indices, everything)]
        found: list[tuple[Memory | Local, Array, Array, Active]] = []
        for name, base in WINDOWS.items():
            own = (pointers >= base) & (pointers < base + _WINDOW)
            if own.all():
                return [(self.spaces[name], pointers - base, indices, everything)]
            if own.any():
                where = np.flatnonzero(own)
                found.append((self.spaces[name], pointers[where] - base, indices[where], where))
        if sum(offsets.size for _, offsets, _, _ in found) < pointers.size:
            raise Fault(f"out-of-bounds: a generic pointer of {pointers.min():#x} leads nowhere")
        return found
