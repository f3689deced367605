"""Run numba.cuda kernels without a GPU: the PTX that they compile to, on NumPy, with every access checked and counted.

    device = Device((9, 0))
    counters = device.launch(kernel, grid, block, x, y)
    print(counters.report())

All threads of a batch of blocks step through the PTX together, an instruction at a time, so divergence, barriers,
shared and local memory, atomics, shuffles, votes, cp.async, mma.sync and ldmatrix behave as on a device. An
EmulationError is raised for accesses out of bounds, misaligned, or of what nothing has written; for races; for
barriers and warp operations that not everybody reaches. Counted are warp instructions, sectors of global memory,
wavefronts of shared memory (bank conflicts), divergence. What it cannot tell is time: for that see `machinecode`.

Needs numba-cuda and NVIDIA's compiler as wheels (the extra `cuda-static`), no driver. Problems must be small: it does
some ten million multiply-adds a second.
"""

from .counters import Counters, Traffic
from .device import Device, DeviceArray
from .faults import EmulationError

__all__ = ["Counters", "Device", "DeviceArray", "EmulationError", "Traffic"]
