"""Awkward memory: arrays between guard bands, views with odd strides, foreign byte order."""

import math
from typing import Any

import numpy as np

_GUARD = 256  # bytes on either side, and a multiple of the cache line, so that alignment inside is as outside
_PATTERN = 0xAA


class Guarded:
    """An array inside a larger allocation, whose surroundings must stay as they were.

    `array` starts on a cache line, `offset` items later if asked, and is filled with NaN (integers: a pattern).
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, offset: int = 0, device: Any = None) -> None:
        """device: of a Context; None for the host's memory."""
        nbytes = math.prod(shape) * dtype.itemsize
        self._raw: Any = np.full(nbytes + 3 * _GUARD, _PATTERN, np.uint8)
        away = 0 if device is not None else 64 - self._raw.ctypes.data % 64  # what a device allocates is aligned
        start = _GUARD + away + offset * dtype.itemsize
        self._inside, self._on_device = slice(start, start + nbytes), device is not None
        fill_with_garbage(self._raw[self._inside].view(dtype))
        if device is not None:
            self._raw = device.array(self._raw)
        self.array: Any = self._raw[self._inside].view(dtype).reshape(*shape)

    @property
    def values(self) -> np.ndarray:
        """What is in the array."""
        return self.array.copy_to_host() if self._on_device else self.array

    def put(self, values: np.ndarray) -> None:
        """Write values to the array."""
        if self._on_device:
            self.array.copy_to_device(values)
        else:
            self.array[...] = values

    @property
    def intact(self) -> bool:
        """Whether nothing was written outside the array."""
        raw = self._raw.copy_to_host() if self._on_device else self._raw
        bands = raw[: self._inside.start], raw[self._inside.stop :]
        return all(bool((band == _PATTERN).all()) for band in bands)


def fill_with_garbage(array: np.ndarray) -> None:
    """NaN in every element; a conspicuous pattern in those of an integer array."""
    array[...] = np.nan if array.dtype.kind in "fc" else np.frombuffer(bytes([_PATTERN]) * 8, array.dtype)[0]


def odd_view(shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """An array full of garbage, and a view of it of this shape: axes transposed, every second element, the
    last axis backwards."""
    base = np.empty([2 * n + 1 for n in reversed(shape)], dtype)
    fill_with_garbage(base)
    steps = [slice(1, None, 2)] * (len(shape) - 1)
    return base, base.T[(*steps, slice(-2, None, -2))]


def with_odd_strides(array: np.ndarray) -> np.ndarray:
    """The same values in an `odd_view`."""
    view = odd_view(array.shape, array.dtype)[1]
    view[...] = array
    return view


def with_zero_strides(array: np.ndarray) -> np.ndarray:
    """The same array with stride 0 along axes of length one, as indexing with None makes them."""
    strides = [0 if n == 1 else stride for n, stride in zip(array.shape, array.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(array, array.shape, strides)


def byte_swapped(array: np.ndarray) -> np.ndarray:
    """The same values in the other byte order."""
    return array.astype(array.dtype.newbyteorder())
