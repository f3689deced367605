"""The arrays of a backend: what a Plan takes, allocates and gives, in the host's memory or a CUDA device's.

    arrays = of("cuda", x, w)      # where these values are, or on the device in use
    a = arrays.operand("x", x, shape, dtype, stream)

`using(device)` has backend="cuda" run on another device than the current one, an emulated one for instance:

    from convlab.emulator import Device
    with convlab.arrays.using(Device((9, 0))) as device:
        y = convlab.conv2d(x, w, backend="cuda")
    print(device.launches[-1].report())
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from ..errors import BackendError
from .host import HOST, Host
from .interface import Arrays, on_device

D = TypeVar("D")

__all__ = ["HOST", "Arrays", "Host", "dtype_of", "given", "of", "on_device", "using"]

_in_use: contextvars.ContextVar[Any] = contextvars.ContextVar("device in use", default=None)


@contextlib.contextmanager
def using(device: D) -> Iterator[D]:
    """Let backend="cuda" mean this convlab.emulator.Device, in this thread, for data that are on no device yet."""
    token = _in_use.set(device)
    try:
        yield device
    finally:
        _in_use.reset(token)


def of(backend: str, *values: Any) -> Arrays:
    """The arrays of a backend; on cuda those of the device that the first of the values on one is on.

    Raises BackendError if there is no such device, or a value on a device is meant for the cpu.
    """
    there = [value for value in values if on_device(value)]
    if backend == "cpu":
        if there:
            raise BackendError(f"backend='cpu' takes no {_named(there[0])} on a CUDA device; copy it to the host")
        return HOST
    emulated = next((v.device for v in there if hasattr(v.device, "launches")), None) if there else _in_use.get()
    if emulated is not None:
        from .emulated import Emulated

        return Emulated(emulated)
    from .cuda import current

    return current()


def given(value: Any) -> Any:
    """`value` as it is if it is on a device, else as a NumPy array."""
    return value if on_device(value) else np.asarray(value)


def dtype_of(value: Any) -> np.dtype:
    """NumPy's dtype of an array of any library."""
    return np.dtype(value.__cuda_array_interface__["typestr"]) if on_device(value) else value.dtype


def _named(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__.split('.')[0]} array" if kind.__module__ else kind.__name__
