"""Arrays in the host's memory: NumPy's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import ArraySpec
from ..errors import BackendError, DTypeError, ProblemError
from .interface import Arrays, check_cast, check_shape, overlap

# Scratch arrays start on a cache line of their own, as vector loads like it.
_CACHE_LINE = 64


class Host(Arrays):
    """NumPy arrays. Nothing is asynchronous: there are no streams."""

    def stream(self, asked: Any, first: Any) -> Any:
        if asked is not None:
            raise BackendError("stream= belongs to backend='cuda'; the cpu backend has none")

    def operand(self, name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype, stream: Any = None) -> np.ndarray:
        """Native and aligned; any strides are kept."""
        array = np.asarray(value)
        if array.shape != shape:
            check_shape(name, array.shape, shape)
        if array.dtype != dtype:
            check_cast(name, array.dtype, dtype)
            return array.astype(dtype)
        if not array.dtype.isnative or not _readable(array):
            return array.astype(dtype, order="C")
        return array

    def contiguous(self, value: Any, dtype: np.dtype, stream: Any = None) -> np.ndarray:
        return np.array(value, dtype, order="C")

    def allocate(self, spec: ArraySpec, threads: int) -> np.ndarray:
        """On a cache line."""
        return _array(_bytes(spec.nbytes(threads)), spec, threads)

    def batched(self, array: np.ndarray) -> np.ndarray:
        return array[None]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, like: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def check_out(self, out: Any, shape: tuple[int, ...], dtype: np.dtype, inputs: Mapping[str, Any]) -> np.ndarray:
        if not isinstance(out, np.ndarray):
            raise ProblemError(f"out must be a NumPy array, not {type(out).__name__}")
        check_shape("out", out.shape, shape)
        if out.dtype != dtype:
            raise DTypeError(f"out has dtype {out.dtype}; it must be {dtype}")
        if not out.flags.writeable:
            raise ProblemError("out is read-only; it must be writeable")
        for name, array in inputs.items():
            if isinstance(array, np.ndarray) and overlap(out, array):
                raise ProblemError(f"out overlaps {name} in memory; give it memory of its own")
        return out

    def target(self, result: np.ndarray, stream: Any = None) -> tuple[np.ndarray, bool]:
        return (result, False) if _readable(result) else (np.empty(result.shape, result.dtype), True)

    def copy(self, source: np.ndarray, result: np.ndarray, stream: Any = None) -> None:
        result[...] = source

    def to_host(self, array: np.ndarray) -> np.ndarray:
        return array

    def wait(self) -> None:
        return None

    def mark(self, stream: Any) -> Any:
        return None

    def after(self, mark: Any, stream: Any) -> None:
        return None


HOST = Host()


def _readable(array: np.ndarray) -> bool:
    flags = array.flags
    return flags.aligned and (flags.c_contiguous or all(stride % array.itemsize == 0 for stride in array.strides))


def _bytes(count: int) -> np.ndarray:
    raw = np.empty(count + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + count]


def _array(raw: np.ndarray, spec: ArraySpec, threads: int) -> np.ndarray:
    return raw.view(spec.dtype).reshape((threads, *spec.shape) if spec.per_thread else spec.shape)


class Arena:
    """Memory that plans work in one after the other, and that is kept between them up to `most` bytes: fresh memory
    takes longer to be mapped than many a plan to be made and called. For one plan at a time."""

    def __init__(self, most: int) -> None:
        self._most, self._raw = most, _bytes(0)

    def arrays(self, specs: Mapping[str, ArraySpec], threads: int) -> dict[str, np.ndarray]:
        """`allocate` for each spec, in the memory that the last call gave too, if that is enough."""
        sizes = [spec.nbytes(threads) for spec in specs.values()]
        total = sum(size + -size % _CACHE_LINE for size in sizes)
        raw = self._raw if total <= self._raw.size else _bytes(total)
        if total <= self._most:
            self._raw = raw
        found, start = {}, 0
        for (name, spec), size in zip(specs.items(), sizes, strict=True):
            found[name] = _array(raw[start : start + size], spec, threads)
            start += size + -size % _CACHE_LINE
        return found
