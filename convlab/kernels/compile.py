"""`jit`: the one decorator of every CPU kernel, with its compile options and its cache.

Compiled kernels are kept on disk, under NUMBA_CACHE_DIR or the user's cache directory, under a hash
of every file of convlab.kernels: Numba's own stamp covers one file, and a kernel inlines its neighbours.
Where no directory can be written they live in memory only.
"""

import contextlib
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
    Cache,
    CompileResultCacheImpl,
    _CacheLocator,
    _SourceFileBackedLocatorMixin,
)
from numba.core.registry import CPUDispatcher

from . import linking

# nogil: plans run side by side in Python threads. The numpy error model divides without a branch.
# _nrt: kernels own no memory, so no reference is counted when they look at an array.
# fastmath only allows a multiply and an add to fuse: NaN, infinities, signs and order stay as written.
OPTIONS: dict[str, Any] = {
    "nopython": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "_nrt": False,
}  # fmt: skip


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


class _WholeCacheImpl(CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]


class _PartCacheImpl(_WholeCacheImpl):
    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"part-{super().get_filename_base(fullname, abiflags)}"

    def reduce(self, result: Any) -> Any:
        return linking.reduced(result)

    def rebuild(self, target: Any, payload: Any) -> Any:
        return linking.rebuilt(target, *payload)


class _WholeCache(Cache):
    _impl_class = _WholeCacheImpl


class _PartCache(Cache):
    _impl_class = _PartCacheImpl


class _Dispatcher(CPUDispatcher):
    """Compiles with convlab's options, into what a compiler of `linking` makes, and keeps that in a cache on disk."""

    compiler: ClassVar[Any]
    cache: ClassVar[type[Cache]]

    def __init__(self, py_func: Callable[..., Any], **_: Any) -> None:
        super().__init__(py_func, targetoptions=OPTIONS, pipeline_class=self.compiler)
        # RuntimeError is numba's "no locator available": no directory can be written.
        with contextlib.suppress(RuntimeError):
            self._cache = self.cache(py_func)


class _PartDispatcher(_Dispatcher):
    """A kernel as other compiled functions call it.

    It compiles once for a number's type, where Numba's own compiles for every literal it is given: a kernel that is
    called with constants in five places would be compiled five times, and what calls it with it.
    """

    compiler, cache = linking.PartCompiler, _PartCache

    def get_call_template(self, args: Any, kws: Any) -> Any:
        args = tuple(types.unliteral(arg) for arg in args)
        return super().get_call_template(args, {name: types.unliteral(arg) for name, arg in kws.items()})

    def add_overload(self, result: Any) -> None:
        # Numba knows a compiled function by its entry point. Nothing but a name: its library will do.
        result = result._replace(entry_point=result.library)
        self.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        self.overloads[tuple(result.signature.args)] = result


class Kernel(_Dispatcher):
    """A kernel as Python calls it. In compiled functions its name means its part."""

    compiler, cache = linking.WholeCompiler, _WholeCache

    def __init__(self, py_func: Callable[..., Any], **_: Any) -> None:
        super().__init__(py_func)
        self.part = _PartDispatcher(py_func)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return self.part.get_call_template(args, kws)

    def get_overload(self, signature: Any) -> Any:
        return self.part.get_overload(signature)

    def get_compile_result(self, signature: Any) -> Any:
        return self.part.get_compile_result(signature)


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel with convlab's options. Work is spread over threads by `cpu.parallel.split`, not by `prange`."""
    return Kernel(function)
