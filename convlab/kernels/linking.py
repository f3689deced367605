"""How compiled kernels are put together: each is optimised once, and becomes machine code once.

Numba links what a function calls into the function's own module, and then optimises and translates that module as a
whole: a kernel at the bottom of four callers is compiled five times, which was two thirds of a first call. Here a
kernel that another one calls is a `Part`: LLVM's passes have run over it, and no machine code was made. What is
`simd.outlined()` is linked into its callers after their own passes, what is not before, to be inlined. Machine code
is made of a `Whole`, which is what Python calls.

To everyone else, as to a user's own @njit function that calls a kernel, a Part is any library of Numba's.
"""

from collections.abc import Iterable
from typing import Any

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder


class _Linked(JITCodeLibrary):
    """A function's module, and apart from it the outlined parts that it calls, also through parts inlined in it."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.outlined = False
        self.inlined: dict[Part, None] = {}
        self.calls: dict[Part, None] = {}  # each behind those that it calls itself

    def add_linking_library(self, library: Any) -> None:
        if not isinstance(library, Part):
            super().add_linking_library(library)
            return
        library._ensure_finalized()
        self.calls |= library.calls
        (self.calls if library.outlined else self.inlined)[library] = None

    def _optimize_final_module(self) -> None:
        _link(self._final_module, self.inlined)
        super()._optimize_final_module()


class Part(_Linked):
    """A kernel for other kernels to call. `shared`: its module, as others may link it."""

    shared: Any
    _shared_module: Any  # numba's name for what anyone may link

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self.shared = _shareable(self._final_module)
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        self._ensure_finalized()
        if self._shared_module is None:
            self._shared_module = _link(self.shared.clone(), reversed(self.calls))
        return self._shared_module

    def reduced(self) -> Any:
        """What `loaded` makes a Part of."""
        return self.name, self.outlined, self._get_module_for_linking().as_bitcode()

    @classmethod
    def loaded(cls, codegen: Any, name: str, outlined: bool, bitcode: bytes) -> "Part":
        part = cls(codegen, name)
        part.outlined, part._final_module = outlined, binding.parse_bitcode(bitcode)
        part._finalize_final_module()
        return part


def _shareable(module: Any) -> Any:
    """A module whose functions may be in several others, which keep one of each and drop what nobody calls."""
    for function in module.functions:
        if not function.is_declaration and function.linkage == binding.Linkage.external:
            function.linkage = "linkonce_odr"
    return module


def _link(module: Any, parts: Iterable[Part]) -> Any:
    """A module with those parts that are called in it by then, so callers must come first."""
    for part in parts:
        module.link_in(part.shared, preserve=True)
    return module


class Whole(_Linked):
    """What Python calls: with everything that it calls, in machine code."""

    def _optimize_final_module(self) -> None:
        super()._optimize_final_module()
        _link(self._final_module, reversed(self.calls))


class WholeCompiler(CompilerBase):
    """Numba's compiler, into a Whole."""

    def define_pipelines(self) -> list[Any]:
        state = self.state
        state.library = Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class PartCompiler(CompilerBase):
    """Numba's compiler, into a Part: nothing that Python could call."""

    def define_pipelines(self) -> list[Any]:
        state = self.state
        state.library = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = True
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


def reduced(result: Any) -> tuple[Any, ...]:
    """The result of compiling a Part as what `rebuilt` takes, to be kept on disk."""
    result.fndesc.typemap = result.fndesc.calltypes = None  # of no use any more, and not to be pickled
    return result.library.reduced(), result.fndesc, result.signature


def rebuilt(target: Any, library: Any, fndesc: Any, signature: Any) -> Any:
    """The inverse of `reduced`; target: Numba's target context."""
    fields = dict.fromkeys(CompileResult._fields)
    fields |= {"target_context": target, "typing_context": target.typing_context, "fndesc": fndesc}
    fields |= {"signature": signature, "library": Part.loaded(target.codegen(), *library), "objectmode": False}
    return CompileResult(**fields)
