"""FFTW's wisdom: what it measured for a plan, kept in the user's cache directory so that it is measured once.

FFTW has one wisdom a precision in a process, which pyFFTW's user may have filled, and it would let an estimate follow
it too. So that a plan depends on what it was asked for and nothing else, what is there is put aside while ours is made:
an estimate sees no wisdom, a measured plan sees convlab's. (What another thread makes FFTW measure meanwhile is lost.)

A file is for one FFTW on one processor: a line with a hash of the rest, then what FFTW exports. What does not agree
with its hash is as good as none. It is written whole or not; of two processes that measure at once the later one's
stays.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import platformdirs

# Another number for other files: when what convlab plans changes in a way that makes old wisdom wrong.
_FORMAT = 1
# Seconds after which FFTW takes the best of what it has measured, for one plan. Blocks of 2 to 1000 points a side take
# 0.05 to 0.5, lines of 20 000 take 1.
_LONGEST, _UNLIMITED = 5.0, -1.0
# Lines of wisdom that says nothing: what FFTW it is of, and the bracket that ends it.
_EMPTY = 2


class Precision:
    """The functions for wisdom of one precision; prefix: "fftw" (double) or "fftwf" (single)."""

    def __init__(self, library: Any, prefix: str) -> None:
        self.prefix = prefix
        self.version = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(library, f"{prefix}_version")))
        self._export = getattr(library, f"{prefix}_export_wisdom_to_string")
        self._export.restype = ctypes.c_void_p
        self._import = getattr(library, f"{prefix}_import_wisdom_from_string")
        self._forget = getattr(library, f"{prefix}_forget_wisdom")
        self._limit = getattr(library, f"{prefix}_set_timelimit")

    def known(self) -> bytes:
        """All wisdom there is."""
        text = self._export()
        if not text:
            return b""
        try:
            return ctypes.string_at(text)
        finally:
            free = ctypes.CDLL(None).free
            free.argtypes = [ctypes.c_void_p]
            free(text)

    def replace(self, text: bytes) -> None:
        """Have this wisdom and no other; none, where FFTW cannot read it."""
        self._forget()
        if text:
            self._import(ctypes.c_char_p(text))

    def limit(self, seconds: float) -> None:
        self._limit(ctypes.c_double(seconds))


@contextlib.contextmanager
def without(precision: Precision) -> Iterator[None]:
    """No wisdom, for an estimate."""
    theirs = precision.known()
    if theirs.count(b"\n") <= _EMPTY:
        yield
        return
    precision.replace(b"")
    try:
        yield
    finally:
        precision.replace(theirs)


@contextlib.contextmanager
def kept(precision: Precision) -> Iterator[None]:
    """convlab's wisdom, for a measured plan; what is learnt is kept."""
    theirs, path = precision.known(), path_of(precision)
    ours = read(path)
    precision.replace(ours)
    precision.limit(_LONGEST)
    try:
        yield
        learnt = precision.known()
        if set(learnt.split(b"\n")) - set(ours.split(b"\n")):  # FFTW keeps no order
            write(path, learnt)
    finally:
        precision.limit(_UNLIMITED)
        precision.replace(theirs)


def path_of(precision: Precision) -> Path:
    """Where the wisdom is kept of this FFTW on this processor."""
    return Path(platformdirs.user_cache_dir("convlab", appauthor=False)) / "fftw" / _name(precision)


@functools.cache
def _name(precision: Precision) -> str:
    try:
        bound = version("pyfftw")
    except PackageNotFoundError:
        bound = ""
    what = (_FORMAT, bound, precision.version, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return f"{precision.prefix}-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"


def read(path: Path) -> bytes:
    """What `write` wrote; nothing where there is no such file, or another."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return b""
    return text if digest == _digest(text) else b""


def write(path: Path, text: bytes) -> None:
    """Keep it, where a file can be written."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(text) + b"\n" + text)
            os.replace(name, path)
        except OSError:
            os.unlink(name)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
