"""`jit`, `launch` and `ptx`: CUDA kernels compiled where they are first launched, or where no device is."""

import contextlib
import functools
import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from numba import cuda
from numba.cuda.core.errors import NumbaPerformanceWarning

# What of a kernel's own options its code depends on.
_OPTIONS = ("fastmath", "launch_bounds", "opt", "lineinfo", "debug")
_patching = threading.RLock()


def jit(threads: int, blocks: int = 1, name: str = "") -> Callable[[Callable[..., Any]], Any]:
    """A kernel whose blocks have `threads` threads, and of which an SM shall hold `blocks` blocks at least.

    That bounds the registers of a thread: 65536 / (threads · blocks). It is compiled at its first launch for the types
    of its arguments; a multiply and an add fuse, nothing else of IEEE arithmetic is given up. name: what profilers and
    reports call it, if that is not the function's name.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        function.__name__ = name or function.__name__
        return cuda.jit(launch_bounds=(threads, blocks))(function)

    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """A function for kernels to call, which becomes a part of their code."""
    return cuda.jit(function, device=True, forceinline=True)


def launch(
    kernel: Any, grid: int | Sequence[int], block: int | Sequence[int], arguments: Sequence[Any], stream: Any = 0,
    shared: int = 0,
) -> None:  # fmt: skip
    """Launch a kernel where its arrays are: on the current device, or on the emulated one (convlab.emulator) they say.

    stream: one of numba's, or 0 for the default stream. shared: bytes of dynamic shared memory.
    """
    emulated = next((a.device for a in arguments if hasattr(a, "device") and hasattr(a.device, "launch")), None)
    if emulated is not None:
        emulated.launch(kernel, grid, block, *arguments, shared=shared)
    else:
        shape = (tuple(n) if isinstance(n, Sequence) else n for n in (grid, block))
        _configured(kernel, *shape, stream, shared)(*arguments)


@functools.lru_cache(maxsize=1024)
def _configured(kernel: Any, grid: Any, block: Any, stream: Any, shared: int) -> Any:
    """The kernel ready to be launched, without numba's warning that a small problem does not fill a GPU."""
    with _patching, warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        return kernel[grid, block, stream, shared]


@contextlib.contextmanager
def compiling_for(capability: tuple[int, int]) -> Iterator[None]:
    """Let numba.cuda compile for a compute capability, (8, 0), whatever device is or is not there.

    A kernel that calls a @cuda.jit(device=True) function makes numba ask the driver for the device to compile it for.
    """
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    with _patching:
        ask = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            yield
        finally:
            dispatcher.get_current_device = ask


def ptx(kernel: Any, types: tuple[Any, ...], capability: tuple[int, int]) -> str:
    """The PTX of a kernel, a @cuda.jit dispatcher or a plain function, whose arguments have these numba types.

    Needs no device.
    """
    own = getattr(kernel, "targetoptions", {})
    options = {name: own[name] for name in _OPTIONS if own.get(name) is not None}
    with compiling_for(capability):
        text, _ = cuda.compile_ptx(getattr(kernel, "py_func", kernel), types, cc=capability, **options)
    return text
