"""`jit`: the one decorator of every CPU kernel, with its compile options and its cache.

Compiled kernels are kept on disk, under NUMBA_CACHE_DIR or the user's cache directory, under a hash
of every file of convlab.kernels: Numba's own stamp covers one file, and a kernel inlines its neighbours.
Where no directory can be written they live in memory only.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numba
import platformdirs
from numba import types
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    _CacheLocator,
    _SourceFileBackedLocatorMixin,
)
from numba.core.registry import CPUDispatcher

# nogil: plans run side by side in Python threads. The numpy error model divides without a branch.
# _nrt: kernels own no memory, so no reference is counted when they look at an array.
# fastmath only allows a multiply and an add to fuse: NaN, infinities, signs and order stay as written.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "_nrt": False}


@functools.cache
def source_stamp() -> str:
    """A hash of all kernel sources: any edit or upgrade gives another."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _Locator(_SourceFileBackedLocatorMixin, _CacheLocator):
    """Where a kernel is kept: a directory for each state of the sources.

    The state is in the path and not in the stamp alone, because Numba unpickles an old index before it compares
    stamps, and types that have since moved cannot be unpickled.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        base = numba.config.CACHE_DIR or platformdirs.user_cache_dir("convlab", appauthor=False)
        # The file's own stamp as well: a plugin's kernels may use this decorator too.
        state = hashlib.sha256(f"{source_stamp()} {self.get_source_stamp()}".encode()).hexdigest()[:16]
        self._cache_path = os.path.join(base, state, self.get_suitable_cache_subpath(py_file))

    def get_cache_path(self) -> str:
        return self._cache_path


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]


class _KernelCache(FunctionCache):
    _impl_class = _CacheImpl


class _Kernel(CPUDispatcher):
    """A dispatcher that compiles once for a number's type, where Numba's own compiles for every literal it is given.

    A kernel that is called with constants in five places would be compiled five times, and what calls it with it.
    """

    def get_call_template(self, args: Any, kws: Any) -> Any:
        args = tuple(types.unliteral(arg) for arg in args)
        return super().get_call_template(args, {name: types.unliteral(arg) for name, arg in kws.items()})


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel with convlab's options. Work is spread over threads by `cpu.parallel.split`, not by `prange`."""
    dispatcher = _Kernel(function, targetoptions=OPTIONS | {"nopython": True})
    try:
        dispatcher._cache = _KernelCache(function)
    except RuntimeError:  # numba: "no locator available", no directory can be written
        return dispatcher
    return dispatcher
