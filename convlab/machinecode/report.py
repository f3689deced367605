"""A kernel's machine code in figures, and what it misses of what it is held to."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..kernels.cuda.compile import ptx
from . import listing, opcodes, tools
from .hardware import Occupancy, occupancy
from .listing import Instruction, Usage
from .loops import Loop, loops
from .tools import Capability


@dataclass(frozen=True)
class MachineCode:
    """A kernel as it is for a compute capability, with blocks of `threads` threads."""

    name: str
    capability: Capability
    threads: int
    dynamic_shared: int
    usage: Usage
    code: tuple[Instruction, ...]
    loops: tuple[Loop, ...]

    @property
    def hot(self) -> Loop | None:
        """The loop with most products: on tensor cores first, then float32; of equals the shortest."""
        key = lambda loop: (loop.kinds["tensor"], loop.kinds["ffma"], -len(loop.code))  # noqa: E731
        return max(self.loops, key=key, default=None)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(opcodes.kind(instruction) for instruction in self.code)

    @property
    def occupancy(self) -> Occupancy:
        return occupancy(self.capability, self.threads, self.usage.registers, self.usage.shared + self.dynamic_shared)

    def misses(
        self,
        *,
        ffma: float | None = None,
        tensor: float | None = None,
        registers: int | None = None,
        warps: int | None = None,
        local: bool = False,
        double: bool = False,
    ) -> list[str]:
        """What it is held to and is not, in words: at least a share of multiply-adds in the hot loop, or of products on
        tensor cores, at most so many registers, at least so many warps on an SM; local memory (spills) and float64 only
        where they are allowed."""
        found, usage, hot, kinds = [], self.usage, self.hot, self.kinds
        share = hot.ffma_share if hot else 0.0
        if ffma is not None and share < ffma:
            found.append(f"{share:.1%} of the hot loop are multiply-adds, not {ffma:.0%}")
        on_tensor = hot.tensor_share if hot else 0.0
        if tensor is not None and on_tensor < tensor:
            found.append(f"{on_tensor:.1%} of the hot loop are products on tensor cores, not {tensor:.0%}")
        if registers is not None and usage.registers > registers:
            found.append(f"{usage.registers} registers, more than {registers}")
        if warps is not None and self.occupancy.warps < warps:
            found.append(f"{self.occupancy.warps} warps on an SM, fewer than {warps}")
        if not local and (kinds["local"] or usage.stack or usage.spill_stores or usage.spill_loads):
            spilled = f"{usage.spill_stores} + {usage.spill_loads} bytes spilled"
            found.append(f"local memory: {kinds['local']} accesses, a stack of {usage.stack} bytes, {spilled}")
        if not double and kinds["fp64"]:
            found.append(f"{kinds['fp64']} instructions on float64")
        return found

    def report(self) -> str:
        """The figures, in lines to be read."""
        usage, holds, hot = self.usage, self.occupancy, self.hot
        spilled = f"{usage.spill_stores} bytes spilled, {usage.shared + self.dynamic_shared} bytes of shared memory"
        held = f"{holds.warps} warps = {holds.fraction:.0%}, limited by {holds.limit}"
        lines = [
            f"{tools.architecture(self.capability)}: {usage.registers} registers, {spilled}",
            f"{holds.blocks} blocks of {self.threads} threads on an SM, {held}",
        ]
        if hot is None:
            return "\n".join([*lines, f"{len(self.code)} instructions, no loop"])
        kinds = ", ".join(f"{count} {kind}" for kind, count in hot.kinds.most_common())
        pipes = ", ".join(f"{name} {clocks:g}" for name, clocks in hot.pipes.items() if clocks)
        share = f"{hot.ffma_share:.1%} multiply-adds"
        if hot.kinds["tensor"]:
            share = f"{hot.tensor_share:.1%} products on tensor cores"
        lines += [
            f"hot loop: {len(hot.code)} instructions, {share}: {kinds}",
            f"clocks a warp and pass: {pipes}; at most {hot.peak_fraction:.0%} of the {hot.unit} peak",
        ]
        if hot.flops:
            bytes_ = {"global": hot.global_bytes, "shared": hot.shared_bytes}
            lines.append(", ".join(f"{n / hot.flops:.4f} {name} bytes a flop" for name, n in bytes_.items()))
        return "\n".join(lines)


def assembled(text: str, capability: Capability, threads: int, dynamic_shared: int = 0) -> MachineCode:
    """The machine code of the only kernel in a PTX text. threads: of a block; dynamic_shared: bytes of one."""
    cubin, log = tools.assemble(text, capability)
    ((name, usage),) = listing.usages(log).items()
    code = listing.instructions(tools.disassemble(cubin))[name]
    found = tuple(loops(code, capability))
    return MachineCode(name, capability, threads, dynamic_shared, usage, tuple(code), found)


def compiled(
    kernel: Any, types: tuple[Any, ...], capability: Capability, threads: int, dynamic_shared: int = 0
) -> MachineCode:
    """The machine code of a @cuda.jit kernel for numba types as its arguments'."""
    return assembled(ptx(kernel, types, capability), capability, threads, dynamic_shared)
