"""What an SM of each compute capability has, and GPUs by name."""

import math
from dataclasses import dataclass

from .tools import Capability

PARTITIONS = 4  # of an SM; a warp lives in one
_REGISTER_UNIT = 256  # a warp's registers come in multiples of this
_RESERVED, _SHARED_UNIT = 1024, 128  # bytes of shared memory: a block's own overhead, and what it is rounded up to


@dataclass(frozen=True)
class Multiprocessor:
    """An SM: CUDA C++ Programming Guide, "Compute Capabilities", its tables of specifications and of throughput.

    shared, block_shared: bytes of shared memory of an SM and the most of one block. fp32, fp64: multiply-adds a clock.
    tensor_fp16, tensor_tf32: of the tensor cores, dense, summed in float32 (0: they have none); from the peaks that
    NVIDIA prints of the GPUs below. On sm_90 it takes wgmma, the instruction of four warps, to reach them; mma.sync
    falls short of them.
    """

    warps: int
    blocks: int
    shared: int
    block_shared: int
    fp32: int
    fp64: int
    tensor_fp16: int
    tensor_tf32: int
    registers: int = 65536


SMS: dict[Capability, Multiprocessor] = {
    (7, 5): Multiprocessor(32, 16, 65536, 65536, 64, 2, 512, 0),
    (8, 0): Multiprocessor(64, 32, 167936, 166912, 64, 32, 1024, 512),
    (8, 6): Multiprocessor(48, 16, 102400, 101376, 128, 2, 512, 256),
    (8, 9): Multiprocessor(48, 24, 102400, 101376, 128, 2, 256, 128),
    (9, 0): Multiprocessor(64, 32, 233472, 232448, 128, 64, 2048, 1024),
    (10, 0): Multiprocessor(64, 32, 233472, 232448, 128, 64, 4096, 2048),
    (12, 0): Multiprocessor(48, 24, 102400, 101376, 128, 2, 256, 128),
}


@dataclass(frozen=True)
class Gpu:
    """A GPU. clock: boost, in GHz. bandwidth: of its memory as specified, in GB/s."""

    name: str
    capability: Capability
    sms: int
    clock: float
    bandwidth: float

    @property
    def sm(self) -> Multiprocessor:
        return SMS[self.capability]

    @property
    def peak(self) -> float:
        """float32 FLOP/s without tensor cores."""
        return self.peak_of("fp32")

    def peak_of(self, unit: str) -> float:
        """FLOP/s of the multiply-adds of a Multiprocessor's field, at the boost clock."""
        return 2e9 * self.sms * getattr(self.sm, unit) * self.clock


# NVIDIA's data sheets and architecture white papers (Turing 2018, A100 2020, GA102 2021, Ada 2022, H100 2022,
# Blackwell 2025): the fp32 peaks that they print are these SMs at these clocks. Those of tensor cores are, too, but for
# the H100, the H200 and the B200, where they are printed for a clock that is 6 to 8 % lower.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("T4", (7, 5), 40, 1.590, 320),
        Gpu("A100", (8, 0), 108, 1.410, 1555),
        Gpu("A6000", (8, 6), 84, 1.800, 768),
        Gpu("RTX4090", (8, 9), 128, 2.520, 1008),
        Gpu("H100", (9, 0), 132, 1.980, 3350),
        Gpu("H200", (9, 0), 132, 1.980, 4800),
        Gpu("B200", (10, 0), 148, 1.965, 8000),
        Gpu("RTX5090", (12, 0), 170, 2.407, 1792),
    )
}


@dataclass(frozen=True)
class Occupancy:
    """How many blocks and warps an SM holds at once, and what limits them."""

    blocks: int
    warps: int
    fraction: float  # of the warps that it could hold
    limit: str


def occupancy(capability: Capability, threads: int, registers: int, shared: int) -> Occupancy:
    """Of blocks of `threads` threads with so many registers each and `shared` bytes of shared memory a block.

    The formula of NVIDIA's occupancy calculator.
    """
    sm = SMS[capability]
    warps = math.ceil(threads / 32)
    reserved = _RESERVED if capability >= (8, 0) else 0
    limits = {"warps": sm.warps // warps, "blocks": sm.blocks}
    if registers:
        of_warp = math.ceil(registers * 32 / _REGISTER_UNIT) * _REGISTER_UNIT
        limits["registers"] = sm.registers // of_warp // PARTITIONS * PARTITIONS // warps
    if shared:
        used = math.ceil((shared + reserved) / _SHARED_UNIT) * _SHARED_UNIT
        limits["shared memory"] = sm.shared // used if shared <= sm.block_shared else 0
    limit = min(limits, key=lambda name: limits[name])
    blocks = limits[limit]
    return Occupancy(blocks, blocks * warps, blocks * warps / sm.warps, limit)
