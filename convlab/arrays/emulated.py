"""Arrays of an emulated device (convlab.emulator)."""

from typing import Any

import numpy as np

from ..emulator import Device, DeviceArray
from ..errors import BackendError
from .device import OnDevice


class Emulated(OnDevice):
    """Launches are done when they return: streams have nothing to order."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def stream(self, asked: Any, first: Any) -> Any:
        return None

    def own(self, value: Any) -> DeviceArray:
        if not isinstance(value, DeviceArray) or value.device is not self.device:
            raise BackendError(f"an array of {type(value).__module__} is not in this emulated device's memory")
        return value

    def view(self, array: DeviceArray, shape: tuple[int, ...], strides: tuple[int, ...]) -> DeviceArray:
        return array.as_strided(shape, strides)

    def upload(self, values: np.ndarray, stream: Any) -> DeviceArray:
        return self.device.array(values)

    def download(self, array: DeviceArray, stream: Any) -> np.ndarray:
        return array.copy_to_host()

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return np.empty(shape, dtype)

    def new_stream(self) -> Any:
        return None

    def send(self, values: np.ndarray, array: DeviceArray, stream: Any = None) -> None:
        array.copy_to_device(values)

    def fetch(self, array: DeviceArray, values: np.ndarray, stream: Any = None) -> None:
        values[...] = array.copy_to_host()

    def wait(self) -> None:
        return None

    def mark(self, stream: Any) -> Any:
        return None

    def after(self, mark: Any, stream: Any) -> None:
        return None
