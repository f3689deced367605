"""What a launch executed and moved, instruction by instruction."""

from dataclasses import dataclass

import numpy as np

from . import traffic
from .lanes import WARP, Array
from .parse import Instruction

# Modifiers that do not change what is executed.
_QUIET = {"rn", "nc", "sync", "aligned", "uni", "volatile", "relaxed", "weak"}


@dataclass(frozen=True)
class Traffic:
    """Accesses to one memory: by warps, in sectors or wavefronts, and how few would do for the same bytes."""

    requests: int
    transactions: int
    ideal: int
    bytes: int

    @property
    def excess(self) -> float:
        """Transactions over the ideal: 1 is a memory used as well as can be."""
        return self.transactions / self.ideal if self.ideal else 1.0


class Counters:
    """Counts of one launch.

    issued: a row an instruction of `code`, (warps, lanes) that it was issued to; the last row is the end of the code.
    accesses: for "global" and "shared" memory a row an instruction, the fields of a Traffic.
    read, written: bytes of global memory that were, each counted once: what no kernel of that result can avoid.
    function: the kernel's name in Python. ptx, threads, dynamic_shared: the text, and what a block was launched with.
    """

    def __init__(self, name: str, code: list[Instruction]) -> None:
        self.name, self.code = name, code
        self.issued = np.zeros((len(code) + 1, 2), np.int64)
        self.accesses = {space: np.zeros((len(code), 4), np.int64) for space in ("global", "shared")}
        self.blocks = self.warps = self.barriers = self.divergences = 0
        self.read = self.written = 0
        self.function, self.ptx, self.threads, self.dynamic_shared = name, "", 0, 0

    def access(self, space: str, instruction: int, offsets: Array, lanes: Array, width: int) -> None:
        """Count an access of `width` bytes at each of the offsets, by lanes in their order."""
        count = traffic.sectors if space == "global" else traffic.wavefronts
        self.accesses[space][instruction] += (*count(offsets, lanes, width), lanes.size * width)

    @property
    def instructions(self) -> int:
        """Executed warp instructions."""
        return int(self.issued[:-1, 0].sum())

    @property
    def lane_efficiency(self) -> float:
        """The fraction of the lanes of executed warp instructions that had work."""
        return float(self.issued[:-1, 1].sum() / max(WARP * self.instructions, 1))

    @property
    def shared(self) -> Traffic:
        """Shared memory's traffic, in wavefronts."""
        return Traffic(*self.accesses["shared"].sum(axis=0).tolist())

    @property
    def device(self) -> Traffic:
        """Global memory's traffic, in sectors of 32 bytes."""
        return Traffic(*self.accesses["global"].sum(axis=0).tolist())

    def by_opcode(self) -> dict[str, int]:
        """Executed warp instructions of each opcode, without modifiers that change nothing: {"fma.f32": 512, …}."""
        counts: dict[str, int] = {}
        for instruction, warps in zip(self.code, self.issued[:-1, 0].tolist(), strict=True):
            if warps:
                name = ".".join(part for part in instruction.opcode.split(".") if part not in _QUIET)
                counts[name] = counts.get(name, 0) + warps
        return counts

    def worst(self, space: str, limit: int = 4) -> list[tuple[str, int]]:
        """The instructions with most transactions beyond the ideal: (text, how many beyond)."""
        beyond = self.accesses[space][:, 1] - self.accesses[space][:, 2]
        order = [int(i) for i in np.argsort(-beyond, kind="stable")[:limit] if beyond[i] > 0]
        return [(self.code[i].text, int(beyond[i])) for i in order]

    def report(self) -> str:
        """The counts, in lines to be read."""
        counts, total = self.by_opcode(), max(self.instructions, 1)
        shared, device = self.shared, self.device
        work = f"{counts.get('fma.f32', 0) / total:.1%} fma.f32, {self.lane_efficiency:.1%} of the lanes at work"
        once = f"{device.bytes} bytes requested, {self.read} read and {self.written} written at least once"
        lines = [
            f"{self.instructions} warp instructions of {self.warps} warps in {self.blocks} blocks: {work}",
            f"{self.barriers} barriers, {self.divergences} branches that diverged",
            f"shared memory: {shared.transactions} wavefronts, {shared.excess:.2f} of the ideal",
            f"global memory: {device.transactions} sectors, {device.excess:.2f} of the ideal; {once}",
        ]
        for space, cause in (("shared", "bank conflicts"), ("global", "uncoalesced")):
            lines += [f"  {cause}: {extra} more at {text}" for text, extra in self.worst(space)]
        most = sorted(counts.items(), key=lambda item: -item[1])[:8]
        return "\n".join([*lines, "  most: " + ", ".join(f"{name} {n}" for name, n in most)])
