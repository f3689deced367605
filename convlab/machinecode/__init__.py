"""CUDA kernels as machine code, read without a GPU: registers, spills, occupancy, what the hot loop is made of.

    code = compiled(kernel, types, (9, 0), threads=256)
    print(code.report())
    assert not code.misses(ffma=0.85)

and what that bounds: `modelled` time on a GPU of `GPUS`. Needs ptxas and nvdisasm (the extra `cuda-static`).
"""

from .hardware import GPUS, Gpu, occupancy
from .loops import Loop
from .model import Modelled, modelled
from .report import MachineCode, assembled, compiled

__all__ = ["GPUS", "Gpu", "Loop", "MachineCode", "Modelled", "assembled", "compiled", "modelled", "occupancy"]
