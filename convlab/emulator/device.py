"""A device that runs numba.cuda kernels where there is none: memory, arrays in it, launches."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np

from ..kernels.cuda.compile import ptx
from .counters import Counters
from .faults import EmulationError
from .lanes import Array, Grid
from .launch import WRITTEN, Operand, launch
from .parse import Module, parse

_ALIGNMENT = 256  # bytes, of every allocation
_POISON = 0xFF  # in memory that nothing has written: NaN as a float


@functools.lru_cache(maxsize=256)
def _module(kernel: Any, types: tuple[Any, ...], capability: tuple[int, int]) -> tuple[str, Module]:
    """A kernel compiled, and read, once: a second launch costs neither."""
    text = ptx(kernel, types, capability)
    return text, parse(text)


class Device:
    """An emulated device of a compute capability.

        device = Device((9, 0))
        x, y = device.array(np.ones(1000, np.float32)), device.empty(1000, np.float32)
        counters = device.launch(kernel, 4, 256, x, y)
        y.copy_to_host()

    sms: multiprocessors, for those who choose a kernel by them. launches: the Counters of every launch so far.
    """

    def __init__(self, capability: tuple[int, int] = (8, 0), sms: int = 108) -> None:
        self.capability, self.sms = capability, sms
        self.launches: list[Counters] = []

    def empty(self, shape: int | Sequence[int], dtype: Any) -> "DeviceArray":
        """An array that nothing has written yet: a kernel that reads it is at fault."""
        dtype = np.dtype(dtype)
        lengths = (shape,) if isinstance(shape, int) else tuple(shape)
        size = math.prod(lengths) * dtype.itemsize
        values, written = (_allocated(size, fill).view(dtype).reshape(lengths) for fill in (_POISON, 0))
        return DeviceArray(self, Operand(values, written))

    def array(self, values: Any) -> "DeviceArray":
        """A copy of a NumPy array."""
        values = np.asarray(values)
        copy = self.empty(values.shape, values.dtype)
        copy.copy_to_device(values)
        return copy

    def launch(
        self,
        kernel: Any,
        grid: int | Sequence[int],
        block: int | Sequence[int],
        *arguments: Any,
        shared: int = 0,
        max_steps: int = 10_000_000,
    ) -> Counters:
        """Run a @cuda.jit kernel, or the only one of a PTX text. shared: bytes of dynamic shared memory.

        Arguments are arrays of this device, NumPy arrays (copied there and back, as numba does), or numbers.
        Raises EmulationError for whatever a kernel may not do, and after max_steps instructions of a batch of blocks.
        """
        shape = Grid(_three(grid), _three(block))
        staged = [self.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
        operands = [a.operand if isinstance(a, DeviceArray) else a for a in staged]
        if isinstance(kernel, str):
            text, module = kernel, parse(kernel)
        else:
            types = tuple(numba.typeof(a.values if isinstance(a, Operand) else a) for a in operands)
            text, module = _module(kernel, types, self.capability)
        (only,) = module.kernels.values()
        counters = launch(module, only, shape, operands, shared, max_steps)
        counters.ptx, counters.threads, counters.dynamic_shared = text, shape.block_threads, shared
        counters.function = getattr(getattr(kernel, "py_func", None), "__name__", only.name)
        self.launches.append(counters)
        for argument, copy in zip(arguments, staged, strict=True):
            if argument is not copy and argument.flags.writeable:
                argument[...] = copy.copy_to_host()
        return counters


class DeviceArray:
    """An array in the memory of an emulated device. Only kernels reach what is in it, and copies to the host.

    Slices, reshaped and transposed arrays are views, as NumPy's are. `operand`: what a launch reads and writes.
    """

    def __init__(self, device: Device, operand: Operand) -> None:
        self.device, self.operand = device, operand

    @property
    def shape(self) -> tuple[int, ...]:
        return self.operand.values.shape

    @property
    def strides(self) -> tuple[int, ...]:
        return self.operand.values.strides

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.operand.values.dtype

    @property
    def ndim(self) -> int:
        return self.operand.values.ndim

    @property
    def size(self) -> int:
        return self.operand.values.size

    @property
    def nbytes(self) -> int:
        return self.operand.values.nbytes

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """So that whoever looks for device arrays finds one. The pointer means nothing outside of this emulator."""
        own = self.operand.values.__array_interface__
        return {key: own[key] for key in ("shape", "typestr", "data", "strides")} | {"version": 3, "stream": None}

    def __len__(self) -> int:
        return len(self.operand.values)

    def __getitem__(self, key: Any) -> "DeviceArray":
        return self._view(lambda array: array[key])

    def reshape(self, *shape: Any) -> "DeviceArray":
        return self._view(lambda array: array.reshape(*shape))

    def transpose(self, *axes: Any) -> "DeviceArray":
        return self._view(lambda array: array.transpose(*axes))

    def view(self, dtype: Any) -> "DeviceArray":
        return self._view(lambda array: array.view(dtype))

    def as_strided(self, shape: Sequence[int], strides: Sequence[int]) -> "DeviceArray":
        """A view of this shape and these strides, in bytes, from the first element on."""
        return self._view(lambda array: np.lib.stride_tricks.as_strided(array, shape, strides))

    def _view(self, make: Callable[[Array], Any]) -> "DeviceArray":
        values, written = (make(array) for array in self.operand)
        if np.size(values) and not np.may_share_memory(values, self.operand.values):
            raise EmulationError("the host can take views of device memory; what is in it, copy_to_host() gives")
        return DeviceArray(self.device, Operand(np.asarray(values), np.asarray(written)))

    def copy_to_host(self) -> Array:
        """A NumPy array of what is in it; what nothing has written is NaN, or the integer with all bits set."""
        return self.operand.values.copy()

    def copy_to_device(self, values: Any) -> None:
        """Write values of this shape into it."""
        self.operand.values[...] = values
        self.operand.written.view(np.uint8)[...] = WRITTEN


def _allocated(size: int, fill: int) -> Array:
    """Bytes that begin at a multiple of the alignment, as a device's allocations do."""
    memory = np.full(size + _ALIGNMENT, fill, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT
    return memory[start : start + size]


def _three(shape: int | Sequence[int]) -> tuple[int, int, int]:
    given = (shape,) if isinstance(shape, int) else tuple(shape)
    x, y, z = (int(n) for n in (*given, 1, 1)[:3])
    return x, y, z
