"""cp.async: copies from global to shared memory that land when they are waited for.

What a copy will write is unwritten from its departure on, so a wait that is missing, or that waits for too little,
shows as a read of uninitialised memory, whatever was there before.
"""

from typing import NamedTuple

import numpy as np

from .. import checks
from ..lanes import Active, Array
from ..memory import Memory
from .decode import Decoder, Families, Step


class Copy(NamedTuple):
    """Words on their way: by which lanes, to which offsets, (lanes, words) of them, in which of each lane's groups."""

    indices: Array
    offsets: Array
    words: Array
    groups: Array


def _copy(decoder: Decoder) -> Step:
    if decoder.has("bulk", "mbarrier"):
        raise decoder.refusal()
    if decoder.has("commit_group"):
        return _commit(decoder)
    if decoder.has("wait_group", "wait_all"):
        return _wait(decoder)
    return _depart(decoder)


def _depart(decoder: Decoder) -> Step:
    """Copy `size` bytes; a further operand says how many of them to read, zeros follow."""
    to, of, size = decoder.address(0), decoder.address(1), int(decoder.operands[2], 0)
    read = decoder.names.source(decoder.operands[3], "u32") if len(decoder.operands) > 3 else None
    memories, lanes = decoder.memories, decoder.lanes
    shared, word = memories.spaces["shared"], np.dtype(np.uint32)

    def step(active: Active) -> None:
        indices, offsets, pointers = lanes.indices(active), to(active), of(active)
        words = np.zeros((indices.size, size // word.itemsize), word)
        wanted = read[active] if read is not None else np.full(indices.size, size)
        for length in np.unique(wanted[wanted > 0]):
            these = np.flatnonzero(wanted == length)
            at_once = size // word.itemsize if length == size else 1
            for first in range(0, int(length) // word.itemsize, at_once):
                found = memories.load("global", pointers[these] + first * word.itemsize, word, at_once, indices[these])
                words[these, first : first + at_once] = found
        memories.touch(shared, checks.DEPART, offsets, size, indices)
        memories.pending.append(Copy(indices, offsets, words, memories.groups[indices]))

    return step


def _commit(decoder: Decoder) -> Step:
    memories = decoder.memories

    def step(active: Active) -> None:
        memories.groups[active] += 1

    return step


def _wait(decoder: Decoder) -> Step:
    """Until no more than so many of a lane's last groups are on their way; wait_all: until nothing is."""
    everything, memories, lanes = decoder.has("wait_all"), decoder.memories, decoder.lanes
    allowed = 0 if everything else int(decoder.operands[0], 0)
    shared = memories.spaces["shared"]
    assert isinstance(shared, Memory)

    def step(active: Active) -> None:
        here = np.zeros(lanes.count, np.bool_)
        here[active] = True
        pending, memories.pending = memories.pending, []
        for copy in pending:
            due = here[copy.indices] & (everything | (copy.groups < memories.groups[copy.indices] - allowed))
            if due.any():
                indices, offsets, words = copy.indices[due], copy.offsets[due], copy.words[due]
                shared.follow(checks.WRITE, offsets, words.shape[1] * words.itemsize, indices, lanes)
                elements, at = shared.elements(words.dtype, offsets, indices, lanes)
                elements[at[:, None] + np.arange(words.shape[1])] = words
            if not due.all():
                memories.pending.append(Copy(*(field[~due] for field in copy)))

    return step


FAMILIES: Families = {
    "cp": _copy,
}
