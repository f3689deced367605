"""What a Plan asks of the arrays of a backend."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..algorithm import ArraySpec
from ..errors import DTypeError, ProblemError


def on_device(value: Any) -> bool:
    """Whether this is an array in a CUDA device's memory, of whichever library."""
    return hasattr(value, "__cuda_array_interface__")


class Arrays(ABC):
    """Arrays in one memory.

    device: what algorithms allocate with (`empty(shape, dtype)`, `array(values)`); None for the host's memory.
    stream: in all methods, what `stream` gave.
    """

    device: Any = None

    @abstractmethod
    def stream(self, asked: Any, first: Any) -> Any:
        """The stream of a call that was asked for one (or None), and whose first array is `first`."""

    @abstractmethod
    def operand(self, name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype, stream: Any = None) -> Any:
        """`value` as an array of this shape and dtype that kernels can read in place; copied only if it must be.

        Raises ProblemError for another shape, DTypeError for a dtype that does not cast safely.
        """

    @abstractmethod
    def contiguous(self, value: Any, dtype: np.dtype, stream: Any = None) -> Any:
        """A copy of its own, in C order and of this dtype."""

    @abstractmethod
    def allocate(self, spec: ArraySpec, threads: int) -> Any:
        """An uninitialised array for a spec; with a leading axis of threads where it is per thread."""

    @abstractmethod
    def batched(self, array: Any) -> Any:
        """A view with an axis of length one in front."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: np.dtype, like: Any) -> Any:
        """An uninitialised result, of the library of `like`."""

    @abstractmethod
    def check_out(self, out: Any, shape: tuple[int, ...], dtype: np.dtype, inputs: Mapping[str, Any]) -> Any:
        """`out` if it is a writeable array of exactly this shape and dtype that overlaps no input."""

    @abstractmethod
    def target(self, result: Any, stream: Any = None) -> tuple[Any, bool]:
        """(what an algorithm writes to, whether that is to be copied to `result` afterwards)"""

    @abstractmethod
    def copy(self, source: Any, result: Any, stream: Any = None) -> None:
        """Copy a target to its result."""

    @abstractmethod
    def to_host(self, array: Any) -> np.ndarray:
        """What is in a contiguous array."""

    @abstractmethod
    def wait(self) -> None:
        """Let the host wait until everything queued is done."""

    @abstractmethod
    def mark(self, stream: Any) -> Any:
        """The work on a stream up to here, for `after`."""

    @abstractmethod
    def after(self, mark: Any, stream: Any) -> None:
        """Let what comes on the stream wait for a mark, without the host waiting."""


def check_cast(name: str, dtype: np.dtype, to: np.dtype) -> None:
    """Refuse a cast that could lose."""
    if not np.can_cast(dtype, to, "safe"):
        raise DTypeError(f"{name} is {dtype}, which does not cast safely to this convolution's {to}")


def check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape) != expected:
        raise ProblemError(f"{name} has shape {tuple(shape)}; it must be {expected}")


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share an element; whether they may, where that takes long to find out."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10**6)  # type: ignore[arg-type]  # the stub knows only the two special values
    except np.exceptions.TooHardError:  # undecided within reason: refuse, rather than compute a wrong answer
        return True
