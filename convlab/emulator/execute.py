"""The run of a batch: which lanes do which instruction when.

Lanes go in groups that are at the same instruction; the group at the lowest one runs, until it meets or passes
another. So diverged lanes meet again where NVVM's code lets their paths join, and lanes that a warp operation or a
barrier waits for arrive before it begins.
"""

from typing import NamedTuple

import numpy as np

from .counters import Counters
from .faults import EmulationError, Fault
from .instructions import step as step_of
from .instructions.decode import Decoder, Step
from .lanes import ALL, WARP, Active, Array, Lanes
from .memory import Memories
from .operands import Operands, Source
from .parse import Instruction, Kernel

_STEP, _BRANCH, _EXIT, _BARRIER = range(4)


class _Line(NamedTuple):
    """An instruction ready to run. `step`: if it is a plain one; `target`: if it is a branch."""

    kind: int
    guard: Source | None
    step: Step | None
    target: int


class _Group(NamedTuple):
    """Lanes at one instruction, and how many lanes and warps these are."""

    lanes: Active
    size: int
    warps: int


class Run:
    """A batch of blocks, from the first instruction to the end. `max_steps`: when to call it endless."""

    def __init__(
        self, kernel: Kernel, lanes: Lanes, operands: Operands, memories: Memories, counters: Counters, max_steps: int
    ) -> None:
        self.kernel, self.lanes, self.memories, self.counters = kernel, lanes, memories, counters
        self.steps = max_steps
        self.lines = [self._decoded(instruction, operands) for instruction in kernel.code]
        self.lines.append(_Line(_EXIT, None, None, 0))
        self.waiting: dict[int, _Group] = {}  # groups by where they go on; the lowest goes on first
        self.stopped: list[tuple[int, _Group]] = []  # at a barrier

    def _decoded(self, instruction: Instruction, operands: Operands) -> _Line:
        guard = instruction.guard
        source = None if guard is None else operands.source("!" * instruction.negated + guard, "pred")
        head, *rest = instruction.opcode.split(".")
        if head == "bra":
            return _Line(_BRANCH, source, None, self.kernel.labels[instruction.operands[0]])
        if head in ("ret", "exit"):
            return _Line(_EXIT, source, None, 0)
        if head in ("bar", "barrier") and rest[-1] == "sync" and "warp" not in rest and instruction.operands == ("0",):
            return _Line(_BARRIER, source, None, 0)
        return _Line(_STEP, source, step_of(Decoder(instruction, operands, self.lanes, self.memories)), 0)

    def __call__(self) -> None:
        """Run to the end, or to the first fault: an EmulationError."""
        self._place(0, np.flatnonzero(self.lanes.alive))
        with np.errstate(all="ignore"):
            while self.waiting or self.stopped:
                if not self.waiting:
                    self._release()
                at = min(self.waiting)
                group = self.waiting.pop(at)
                try:
                    self._advance(at, group, min(self.waiting, default=len(self.lines)))
                except Fault as fault:
                    raise self._error(str(fault), self.memories.instruction, fault.lane) from None

    def _advance(self, at: int, group: _Group, limit: int) -> None:
        """Run a group until it splits, stops, ends, or comes to instruction `limit`."""
        lines, memories, issued = self.lines, self.memories, self.counters.issued
        while at < limit:
            kind, guard, step, target = lines[at]
            memories.instruction = at
            issued[at] += group.warps, group.size
            self.steps -= 1
            if self.steps < 0:
                raise Fault("too many steps: is there an endless loop?")
            active = group.lanes
            if guard is not None:
                holds = guard[active]
                if not holds.any():
                    at += 1
                    continue
                if not holds.all():
                    these = self.lanes.indices(active)
                    if kind == _BRANCH:
                        self.counters.divergences += 1
                        self._place(target, these[holds])
                        self._place(at + 1, these[~holds])
                        return
                    if kind == _EXIT:
                        self._place(at + 1, these[~holds])
                        return
                    if kind == _BARRIER:
                        raise Fault("only some threads of a warp are at the barrier")
                    active = these[holds]
            if kind == _STEP:
                assert step is not None
                step(active)
                at += 1
            elif kind == _BRANCH:
                at = target
            elif kind == _BARRIER and isinstance(active, slice):
                self.counters.barriers += self.lanes.blocks
                self.lanes.clock.block_sync(ALL)
                at += 1
            elif kind == _BARRIER:
                self.stopped.append((at, group))
                return
            else:
                return
        self._place(at, self.lanes.indices(group.lanes))

    def _place(self, at: int, lanes: Array) -> None:
        """Let lanes go on at an instruction, together with those that are there."""
        if at in self.waiting:
            lanes = np.sort(np.concatenate([self.lanes.indices(self.waiting[at].lanes), lanes]))
        if lanes.size == self.lanes.count:
            self.waiting[at] = _Group(ALL, lanes.size, self.lanes.warps)
        elif lanes.size:
            warps = 1 + np.count_nonzero(np.diff(lanes // WARP))
            self.waiting[at] = _Group(lanes, lanes.size, int(warps))

    def _release(self) -> None:
        """No lane can go on: all of every block that is still here must be at one barrier."""
        per_block, threads = self.lanes.per_block, self.lanes.grid.block_threads
        where = np.full(self.lanes.count, -1)
        for at, group in self.stopped:
            where[group.lanes] = at
        self.stopped = []
        for block in range(self.lanes.blocks):
            own = where[block * per_block : block * per_block + threads]
            if own.max() < 0:
                continue
            first = int(own.max())
            lane = block * per_block + int(own.argmax())
            if own.min() < 0:
                raise self._error("a barrier that threads of its block ended without reaching", first, lane)
            if own.min() != first:
                raise self._error("a barrier while other threads of its block wait at another", first, lane)
            self.counters.barriers += 1
        blocks = np.flatnonzero(where.reshape(-1, per_block).max(axis=1) >= 0)
        self.lanes.clock.block_sync(blocks)
        for at in np.unique(where[where >= 0]).tolist():
            self._place(at + 1, np.flatnonzero(where == at))

    def _error(self, message: str, at: int, lane: int | None) -> EmulationError:
        who = "" if lane is None else f", {self.lanes.thread(lane)}"
        text = self.kernel.code[at].text if at < len(self.kernel.code) else "the end of the kernel"
        return EmulationError(f"{message}{who}: {text}")
