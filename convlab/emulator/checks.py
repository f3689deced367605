"""Who touched which piece of memory when, and whether that is allowed.

Memory is followed in granules, as large as the kernel's smallest access to that space: so no two accesses share a
granule that do not share a byte, and a float32 kernel has a quarter of the bytes to follow. For each granule its
history says whether it exists and is written, who wrote it last, and who has read it since.

Two accesses by different threads, one of them a write, are a race unless a barrier lies between them: one of the
block if it is one block's, one of the warp if it is one warp's. Nothing orders the blocks of a launch.
"""

from typing import Any

import numba
import numpy as np

from .faults import Fault
from .lanes import Array, Lanes

# Kinds of access. A copy that is on its way (cp.async) leaves what it will write unwritten until it lands.
READ, WRITE, ATOMIC, DEPART = range(4)
# A granule's history.
STATE, WRITER, WRITE_BLOCK, WRITE_TIME, READER, READ_WARP, READ_BLOCK, READ_TIME = range(8)
ABSENT, UNWRITTEN, WRITTEN = range(3)
NOBODY, SEVERAL = -1, -2  # in place of a thread, warp or block
ATOMICALLY = -3  # in place of the thread that wrote: others may, atomically

_FAULTS = (
    "",
    "misaligned access of {width} bytes at {where}",
    "out-of-bounds access of {width} bytes at {where}",
    "read of uninitialised memory at {where}",
    "race: it reads what another thread wrote with no barrier between, at {where}",
    "race: it writes what another thread wrote with no barrier between, at {where}",
    "race: it writes what another thread read with no barrier between, at {where}",
)
_MISALIGNED, _OUTSIDE, _UNINITIALISED, _READ_AFTER_WRITE, _WRITE_AFTER_WRITE, _WRITE_AFTER_READ = range(1, 7)


def history(states: Array) -> Array:
    """The histories of granules, each ABSENT, UNWRITTEN or WRITTEN, that nobody has touched yet."""
    fresh = np.full((states.size, 8), NOBODY, np.int32)
    fresh[:, STATE] = states
    return fresh


def follow(
    histories: Array,
    granule: int,
    size: int,
    pitch: int,
    kind: int,
    offsets: Array,
    width: int,
    lanes: Array,
    of: Lanes,
) -> None:
    """Check an access and remember it: `width` bytes at each of `offsets`, by `lanes`.

    The memory has `size` bytes for every block, `pitch` bytes apart (0: one for all).
    """
    clock = of.clock
    code, at = _follow(
        histories, granule, size, pitch, kind, offsets, width, lanes, of.per_block, of.first,
        clock.now, clock.block_barrier, clock.warp_barrier,
    )  # fmt: skip
    if code:
        raise Fault(_FAULTS[code].format(width=width, where=int(offsets[at])), int(lanes[at]))


@numba.njit(cache=True, inline="always")
def _over(thread: Any, block: Any, time: Any, lane: Any, own_block: Any, block_barrier: Any, warp_barrier: Any) -> Any:
    """Whether a thread's access is over for `lane`: its own, or before a barrier that both were at."""
    if block != own_block:
        return False
    return thread == lane or time < block_barrier or (thread >> 5 == lane >> 5 and time < warp_barrier)


@numba.njit(cache=True)
def _follow(
    histories: Any, granule: Any, size: Any, pitch: Any, kind: Any, offsets: Any, width: Any, lanes: Any,
    per_block: Any, first_block: Any, now: Any, block_barriers: Any, warp_barriers: Any,
) -> Any:  # fmt: skip
    """(the fault's code, 0 for none, its index in lanes)"""
    for i in range(lanes.size):
        offset, lane = offsets[i], lanes[i]
        if offset % width:
            return _MISALIGNED, i
        if offset < 0 or offset + width > size:
            return _OUTSIDE, i
        local = lane // per_block
        block, thread, time = first_block + local, first_block * per_block + lane, now[local]
        block_barrier, warp_barrier = block_barriers[local], warp_barriers[lane >> 5]
        start = (local * pitch + offset) // granule
        for g in range(start, start + width // granule):
            h = histories[g]
            if h[STATE] == ABSENT:
                return _OUTSIDE, i
            writer, write_block = h[WRITER], h[WRITE_BLOCK]
            clear = writer == NOBODY or (kind == ATOMIC and writer == ATOMICALLY)
            if not clear:
                clear = _over(writer, write_block, h[WRITE_TIME], thread, block, block_barrier, warp_barrier)
            if kind == READ:
                if h[STATE] != WRITTEN:
                    return _UNINITIALISED, i
                if not clear:
                    return _READ_AFTER_WRITE, i
                _remember_read(h, thread, block, time, block_barrier, warp_barrier)
                continue
            if not clear:
                return _WRITE_AFTER_WRITE, i
            if kind == ATOMIC:
                if h[STATE] != WRITTEN:
                    return _UNINITIALISED, i
                h[WRITE_BLOCK] = block if writer != ATOMICALLY or write_block == block else SEVERAL
                h[WRITER], h[WRITE_TIME] = ATOMICALLY, time
                continue
            reader = h[READER]
            if reader != NOBODY:
                # Several readers are over if the barrier was the block's, or the warp's that they all belong to.
                seen = reader if reader != SEVERAL or h[READ_WARP] != thread >> 5 else thread ^ 1
                if not _over(seen, h[READ_BLOCK], h[READ_TIME], thread, block, block_barrier, warp_barrier):
                    return _WRITE_AFTER_READ, i
            h[WRITER], h[WRITE_BLOCK], h[WRITE_TIME] = thread, block, time
            h[STATE] = UNWRITTEN if kind == DEPART else WRITTEN
    return 0, 0


@numba.njit(cache=True, inline="always")
def _remember_read(h: Any, thread: Any, block: Any, time: Any, block_barrier: Any, warp_barrier: Any) -> None:
    """One reader stands for all those before it that are over; those that are not become SEVERAL."""
    reader = h[READER]
    if reader == NOBODY or _over(reader, h[READ_BLOCK], h[READ_TIME], thread, block, block_barrier, warp_barrier):
        h[READER], h[READ_WARP], h[READ_BLOCK], h[READ_TIME] = thread, thread >> 5, block, time
        return
    h[READER], h[READ_TIME] = SEVERAL, time
    if h[READ_WARP] != thread >> 5:
        h[READ_WARP] = SEVERAL
    if h[READ_BLOCK] != block:
        h[READ_BLOCK] = SEVERAL
