"""Arrays of the current CUDA device, through numba: whether there is one, its memory, its streams."""

import functools
import importlib.util
from typing import Any

import numpy as np

from ..errors import BackendError
from ..units import in_bytes
from .device import OnDevice
from .interface import on_device

# The oldest compute capability that the kernels are made and checked for (convlab.machinecode).
OLDEST = (7, 5)

_WITHOUT = "--emulate, in Python convlab.arrays.using(convlab.emulator.Device()), runs the kernels without one"


def numba_cuda() -> Any:
    """numba.cuda, or BackendError where the package numba-cuda is not installed."""
    if importlib.util.find_spec("numba_cuda") is None:
        raise BackendError("backend='cuda' needs the package numba-cuda: pip install 'convlab[cuda]'")
    from numba import cuda

    return cuda


def current() -> "Cuda":
    """The arrays of the current device; BackendError where there is no driver, no device, or too old a one."""
    cuda = numba_cuda()
    try:
        device = cuda.get_current_device()
    except ImportError as error:  # numba's CudaSupportError, which is one
        text = str(error)
        what = "no CUDA device is visible" if "NO_DEVICE" in text or "no CUDA-capable" in text else "no CUDA driver"
        raise BackendError(f"backend='cuda': {what} here; {_WITHOUT}") from error
    capability = tuple(device.compute_capability)
    if capability < OLDEST:
        name = device.name.decode() if isinstance(device.name, bytes) else device.name
        raise BackendError(
            f"backend='cuda': the {name} has compute capability {capability[0]}.{capability[1]}; "
            f"the kernels need {OLDEST[0]}.{OLDEST[1]}"
        )
    return _on(cuda, getattr(device, "id", 0), capability)


@functools.lru_cache(maxsize=16)
def _on(cuda: Any, number: int, capability: tuple[int, ...]) -> "Cuda":
    """One a device, so that what algorithms keep for a device is found again."""
    return Cuda(cuda, capability)


class Memory:
    """What algorithms allocate with."""

    def __init__(self, cuda: Any, capability: tuple[int, ...]) -> None:
        self._cuda, self.capability = cuda, capability

    @property
    def sms(self) -> int:
        """Its multiprocessors."""
        return int(self._cuda.get_current_device().MULTIPROCESSOR_COUNT)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An uninitialised array. Raises BackendError where the device has no memory left."""
        try:
            return self._cuda.device_array(shape, dtype)
        except Exception as error:
            raise self._refused(error, int(np.prod(shape)) * np.dtype(dtype).itemsize) from error

    def array(self, values: np.ndarray, stream: Any = 0) -> Any:
        """A copy of a NumPy array."""
        try:
            return self._cuda.to_device(values, stream)
        except Exception as error:
            raise self._refused(error, values.nbytes) from error

    def _refused(self, error: Exception, asked: int) -> Exception:
        if "OUT_OF_MEMORY" not in str(error):
            return error
        free, total = self._cuda.current_context().get_memory_info()
        return BackendError(
            f"out of device memory: {in_bytes(asked)} were asked for, {in_bytes(free)} of {in_bytes(total)} are free"
        )


class Cuda(OnDevice):
    """Views of other libraries' arrays are numba's."""

    def __init__(self, cuda: Any, capability: tuple[int, ...]) -> None:
        self._cuda, self.device = cuda, Memory(cuda, capability)

    def stream(self, asked: Any, first: Any) -> Any:
        """A stream of any library, or its handle; by default the one that the first array says it is made on.

        0 is the legacy default stream, on which PyTorch and CuPy work too unless they are told otherwise.
        """
        if asked is None and on_device(first):
            asked = first.__cuda_array_interface__.get("stream")
        if asked is None:
            return 0
        for name in ("ptr", "cuda_stream"):  # CuPy's, PyTorch's
            asked = getattr(asked, name, asked)
        return self._cuda.external_stream(asked) if isinstance(asked, int) and asked else asked

    def operand(self, name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype, stream: Any = None) -> Any:
        if on_device(value):
            made_on = value.__cuda_array_interface__.get("stream")
            if made_on is not None and made_on != _handle(stream):
                self.after(self.mark(self._cuda.external_stream(made_on)), stream)
        return super().operand(name, value, shape, dtype, stream)

    def own(self, value: Any) -> Any:
        return self._cuda.as_cuda_array(value, sync=False)

    def view(self, array: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
        interface = dict(array.__cuda_array_interface__, shape=shape, strides=strides, stream=None)
        return self._cuda.from_cuda_array_interface(interface, owner=array, sync=False)

    def upload(self, values: np.ndarray, stream: Any) -> Any:
        return self.device.array(values, stream or 0)

    def download(self, array: Any, stream: Any) -> np.ndarray:
        values = array.copy_to_host(stream=stream or 0)
        if stream:
            stream.synchronize()
        return values

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return self._cuda.pinned_array(shape, dtype)

    def new_stream(self) -> Any:
        return self._cuda.stream()

    def send(self, values: np.ndarray, array: Any, stream: Any = None) -> None:
        array.copy_to_device(values, stream=stream or 0)

    def fetch(self, array: Any, values: np.ndarray, stream: Any = None) -> None:
        array.copy_to_host(values, stream=stream or 0)

    def wait(self) -> None:
        self._cuda.synchronize()

    def mark(self, stream: Any) -> Any:
        event = self._cuda.event(timing=False)
        event.record(stream or 0)
        return event

    def after(self, mark: Any, stream: Any) -> None:
        mark.wait(stream or 0)


def _handle(stream: Any) -> int | None:
    """What the array interface calls a stream: 1 is the legacy default stream."""
    return int(stream.handle) if stream else 1
