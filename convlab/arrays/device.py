"""Arrays in a CUDA device's memory, the real one's and the emulated one's alike.

Arrays of any library that shows them by `__cuda_array_interface__` (version 3: CuPy, PyTorch, numba, the emulator) are
read and written where they are. NumPy arrays are copied to the device and their results back, for which alone the host
waits. Everything else is queued on the stream of the call.
"""

import sys
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import ArraySpec
from ..errors import DTypeError, ProblemError
from .interface import Arrays, check_cast, check_shape, on_device, overlap


class OnDevice(Arrays):
    """What is the same on every device. Beside `device` and the streams, a device is views and copies."""

    @abstractmethod
    def own(self, value: Any) -> Any:
        """An array of any library on this device, as one that kernels can be launched with: a view."""

    @abstractmethod
    def view(self, array: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
        """The same memory with another shape and other strides, in bytes."""

    @abstractmethod
    def upload(self, values: np.ndarray, stream: Any) -> Any:
        """A copy of a NumPy array on the device."""

    @abstractmethod
    def download(self, array: Any, stream: Any) -> np.ndarray:
        """A copy of a contiguous array as a NumPy array, which the host waits for."""

    @abstractmethod
    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An uninitialised NumPy array in page-locked memory, which the device copies itself."""

    @abstractmethod
    def new_stream(self) -> Any:
        """A stream beside the others."""

    @abstractmethod
    def send(self, values: np.ndarray, array: Any, stream: Any = None) -> None:
        """Copy a contiguous NumPy array to one on the device; if it is pinned and there is a stream, queue the copy."""

    @abstractmethod
    def fetch(self, array: Any, values: np.ndarray, stream: Any = None) -> None:
        """Copy a contiguous array on the device to a NumPy array, as `send` does."""

    def operand(self, name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype, stream: Any = None) -> Any:
        """Any strides that are whole elements are kept."""
        if not on_device(value):
            values = np.asarray(value)
            check_shape(name, values.shape, shape)
            if values.dtype != dtype:
                check_cast(name, values.dtype, dtype)
            return self.upload(np.ascontiguousarray(values, dtype), stream)
        interface = value.__cuda_array_interface__
        check_shape(name, interface["shape"], shape)
        found = np.dtype(interface["typestr"])
        if found != dtype:
            check_cast(name, found, dtype)
        array = self.own(value)
        if found == dtype and _whole(array):
            return array
        return self.contiguous(array, dtype, stream)

    def contiguous(self, value: Any, dtype: np.dtype, stream: Any = None) -> Any:
        from ..kernels.cuda.copy import copy

        if not on_device(value):
            return self.upload(np.array(value, dtype, order="C"), stream)
        array = self.own(value)
        made = self.device.empty(array.shape, dtype)
        copy(array, made, stream or 0)
        return made

    def allocate(self, spec: ArraySpec, threads: int) -> Any:
        """A device has no threads in this sense: per_thread is once."""
        return self.device.empty(spec.shape, spec.dtype)

    def batched(self, array: Any) -> Any:
        own = self.own(array) if on_device(array) else array
        if isinstance(own, np.ndarray):
            return own[None]
        return self.view(own, (1, *own.shape), (own.dtype.itemsize * max(own.size, 1), *own.strides))

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, like: Any) -> Any:
        if not on_device(like):
            return np.empty(shape, dtype)
        library = type(like).__module__.split(".")[0]
        if library == "torch":
            return like.new_empty(shape, dtype=getattr(sys.modules["torch"], dtype.name))
        if library == "cupy":
            return type(like)(shape, dtype)
        return self.device.empty(shape, dtype)

    def check_out(self, out: Any, shape: tuple[int, ...], dtype: np.dtype, inputs: Mapping[str, Any]) -> Any:
        if isinstance(out, np.ndarray):
            found, read_only, here = out.dtype, not out.flags.writeable, out
        elif on_device(out):
            interface = out.__cuda_array_interface__
            found, read_only, here = np.dtype(interface["typestr"]), interface["data"][1], _place(out)
        else:
            raise ProblemError(f"out must be a NumPy array or one on the device, not {type(out).__name__}")
        check_shape("out", out.shape, shape)
        if found != dtype:
            raise DTypeError(f"out has dtype {found}; it must be {dtype}")
        if read_only:
            raise ProblemError("out is read-only; it must be writeable")
        for name, array in inputs.items():
            if on_device(array) and on_device(out) and out.size and overlap(here, _place(array)):
                raise ProblemError(f"out overlaps {name} in memory; give it memory of its own")
        return out

    def target(self, result: Any, stream: Any = None) -> tuple[Any, bool]:
        if on_device(result):
            array = self.own(result)
            if _whole(array):
                return array, False
        return self.device.empty(tuple(result.shape), _dtype(result)), True

    def to_host(self, array: Any) -> np.ndarray:
        return self.download(self.own(array), None)

    def copy(self, source: Any, result: Any, stream: Any = None) -> None:
        from ..kernels.cuda.copy import copy

        if on_device(result):
            copy(source, self.own(result), stream or 0)
        else:
            result[...] = self.download(source, stream)


def _dtype(array: Any) -> np.dtype:
    return np.dtype(array.__cuda_array_interface__["typestr"]) if on_device(array) else array.dtype


def _whole(array: Any) -> bool:
    """Whether all strides are whole elements, and the elements aligned."""
    item = array.dtype.itemsize
    aligned = array.__cuda_array_interface__["data"][0] % item == 0
    return aligned and all(stride % item == 0 for stride in array.strides)


class _Place:
    """Where an array is, as NumPy takes it: addresses to reason about, not to read."""

    def __init__(self, interface: Mapping[str, Any]) -> None:
        self.__array_interface__ = {key: interface.get(key) for key in ("shape", "typestr", "data", "strides")}
        self.__array_interface__["version"] = 3


def _place(value: Any) -> np.ndarray:
    interface = value.__cuda_array_interface__
    return np.asarray(_Place(interface)) if interface["data"][0] else np.empty(0)
