"""A batch of blocks that step through a kernel together: one lane a thread, each block padded to whole warps.

`Active`, everywhere in this package, says which lanes an instruction runs on: the slice ALL, or their sorted indices.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .parse import Kernel
from .types import align, register_dtype

WARP = 32
ALL = slice(None)
# How many lanes step together: enough to hide the cost of a NumPy call, few enough for registers to stay in cache.
MAX_LANES = 4096
MAX_THREADS = 1024  # in a block

Array = npt.NDArray[Any]
Active = slice | npt.NDArray[np.int64]


class Grid(NamedTuple):
    """The shape of a launch, as (x, y, z)."""

    blocks: tuple[int, int, int]
    threads: tuple[int, int, int]

    @property
    def block_count(self) -> int:
        return self.blocks[0] * self.blocks[1] * self.blocks[2]

    @property
    def block_threads(self) -> int:
        return self.threads[0] * self.threads[1] * self.threads[2]

    @property
    def block_lanes(self) -> int:
        return align(self.block_threads, WARP)


def _xyz(index: Array, shape: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    x, y, _ = shape
    return index % x, index // x % y, index // (x * y)


class Clock:
    """What of a block or a warp happened before what, as barriers order it.

    Every barrier moves its block's time on. An access at a time before the block's last barrier, or before the last
    barrier of the warp that made it, is over for all threads of that block or warp.
    """

    def __init__(self, blocks: int, warps: int) -> None:
        self.now = np.zeros(blocks, np.int32)
        self.block_barrier = np.zeros(blocks, np.int32)
        self.warp_barrier = np.zeros(warps, np.int32)

    def block_sync(self, blocks: Active) -> None:
        self.now[blocks] += 1
        self.block_barrier[blocks] = self.now[blocks]

    def warp_sync(self, warps: Array) -> None:
        blocks = warps // (self.warp_barrier.size // self.now.size)
        self.now[np.unique(blocks)] += 1
        self.warp_barrier[warps] = self.now[blocks]


class Lanes:
    """The state of the lanes of `blocks` blocks, from block `first` on: registers, identity, private memory."""

    def __init__(
        self, kernel: Kernel, grid: Grid, first: int, blocks: int, shared_bytes: int, dynamic_bytes: int
    ) -> None:
        self.grid, self.first, self.blocks = grid, first, blocks
        self.per_block = grid.block_lanes
        self.count = blocks * self.per_block
        self.index = np.arange(self.count)
        self.warp = self.index // WARP
        self.warps = self.count // WARP
        thread = self.index % self.per_block
        self.alive = thread < grid.block_threads
        self.registers = {name: np.zeros(self.count, register_dtype(t)) for name, t in kernel.registers.items()}
        self.carry = np.zeros(self.count, np.bool_)
        self.call_parameters = {n: np.zeros((self.count, size), np.uint8) for n, size in kernel.call_parameters.items()}
        self.clock = Clock(blocks, self.warps)
        self.special = self._special(thread, shared_bytes, dynamic_bytes)

    def _special(self, thread: Array, shared_bytes: int, dynamic_bytes: int) -> dict[str, Array]:
        block = self.first + self.index // self.per_block
        lane = thread % WARP
        found: dict[str, Any] = {"%laneid": lane, "%warpid": thread // WARP}
        own_thread, own_block = _xyz(thread, self.grid.threads), _xyz(block, self.grid.blocks)
        for i, axis in enumerate("xyz"):
            found |= {f"%tid.{axis}": own_thread[i], f"%ctaid.{axis}": own_block[i]}
            found |= {f"%ntid.{axis}": self.grid.threads[i], f"%nctaid.{axis}": self.grid.blocks[i]}
        below, own = (1 << lane) - 1, 1 << lane
        found |= {"%lanemask_eq": own, "%lanemask_lt": below, "%lanemask_le": below | own}
        found |= {"%lanemask_ge": ~below, "%lanemask_gt": ~(below | own)}
        found |= {"%dynamic_smem_size": dynamic_bytes, "%total_smem_size": shared_bytes}
        found |= dict.fromkeys(("%clock", "%clock_hi", "%smid", "%nsmid", "%gridid"), 0)
        words = {name: (np.asarray(v) & 0xFFFFFFFF).astype(np.uint32) for name, v in found.items()}
        words |= {name: np.asarray(np.uint64(0)) for name in ("%clock64", "%globaltimer")}
        return {name: np.broadcast_to(v, self.count) for name, v in words.items()}

    def indices(self, active: Active) -> npt.NDArray[np.int64]:
        """The lanes themselves, where ALL would not do."""
        return self.index if isinstance(active, slice) else active

    def thread(self, lane: int) -> str:
        """A lane as a reader knows it."""
        block, thread = divmod(lane, self.per_block)
        ids = (_xyz(np.asarray(i), s) for i, s in ((thread, self.grid.threads), (self.first + block, self.grid.blocks)))
        own, of = (tuple(int(i) for i in xyz) for xyz in ids)
        return f"thread {own} of block {of}"
