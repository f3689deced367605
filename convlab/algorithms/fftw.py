"""FFTW, as pyFFTW brings it: plans made once a size, and the addresses by which compiled kernels execute them.

pyFFTW's own objects take Python's lock for every transform, and a transform of 128² points takes 30 µs. FFTW's symbols
are found through pyFFTW's extension module, which links to it, and the package itself is not imported (that takes
0.2 s, most of it SciPy's). Executing a plan is safe from any thread.

Plans are estimated unless they are asked to be measured: making one takes no time worth mentioning, and the same size
gives the same plan, so the same bits, whatever FFTW has learnt of others. They are of one thread, for the same reason.
Measured plans execute in 0.66 to 0.99 of the time of estimated ones (blocks of 64 to 1024 points a side, lines of 2000
to 20 000, Zen 4), but the four of a block take 0.1 to 1.8 s to make, once for this user on this machine (wisdom.py).
"""

import ctypes
import functools
import threading
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError
from . import wisdom

_FORWARD, _BACKWARD, _MEASURE, _ESTIMATE = -1, 1, 0, 1 << 6  # of fftw3.h
# What pointers are multiples of: FFTW's plans hold for arrays that are aligned as those they were made with.
_ALIGNMENT = 64
# Plans are kept, as they are small and cannot be destroyed while a kernel may use them.
_lock = threading.Lock()


class Lines(NamedTuple):
    """Transforms of many lines: the plan forth and back, and the functions that execute them (addresses).

    What a function is given: plan, source, target.
    """

    forth: int
    back: int
    execute_forth: int
    execute_back: int


@functools.cache
def _library() -> ctypes.CDLL:
    package = find_spec("pyfftw")
    places = [] if package is None else package.submodule_search_locations or []
    files = [Path(place) / f"pyfftw{suffix}" for place in places for suffix in EXTENSION_SUFFIXES]
    try:
        library = ctypes.CDLL(str(next(file for file in files if file.exists())))
        # From now on planners wait for each other, pyFFTW's among them.
        library.fftw_make_planner_thread_safe()
        library.fftwf_make_planner_thread_safe()
    except StopIteration:
        raise BackendError("pyFFTW is not installed") from None
    except (OSError, AttributeError) as error:
        raise BackendError(f"pyFFTW's FFTW cannot be used: {error}") from error
    return library


@functools.cache
def missing() -> str | None:
    """Why FFTW cannot be used here, if it cannot."""
    try:
        _library()
    except BackendError as error:
        return str(error)
    return None


@functools.cache
def real_lines(
    dtype: np.dtype, points: int, lines: int, distance: int, spectrum: int, measured: bool = False
) -> Lines:  # fmt: skip
    """`lines` real lines of so many points, `distance` elements apart, to points // 2 + 1 complex numbers each,
    `spectrum` complex numbers apart; and back, which destroys the spectrum."""
    image = _Side(distance, 1, ((lines - 1) * distance + points) * dtype.itemsize)
    other = _Side(spectrum, 1, ((lines - 1) * spectrum + points // 2 + 1) * 2 * dtype.itemsize)
    forth = _plan(dtype, "many_dft_r2c", points, lines, image, other, measured=measured)
    back = _plan(dtype, "many_dft_c2r", points, lines, other, image, measured=measured)
    return Lines(forth, back, _address(dtype, "execute_dft_r2c"), _address(dtype, "execute_dft_c2r"))


@functools.cache
def complex_lines(
    dtype: np.dtype, points: int, lines: int, step: int, source: int, target: int | None = None, measured: bool = False
) -> Lines:  # fmt: skip
    """`lines` complex lines whose points are `step` elements apart, the lines `source` elements; to lines `target`
    elements apart in another array (None: in place). dtype is that of the parts."""

    def side(distance: int) -> _Side:
        return _Side(distance, step, ((lines - 1) * distance + (points - 1) * step + 1) * 2 * dtype.itemsize)

    here, there = side(source), None if target is None else side(target)
    forth = _plan(dtype, "many_dft", points, lines, here, there, _FORWARD, measured)
    back = _plan(dtype, "many_dft", points, lines, there or here, here if there else None, _BACKWARD, measured)
    return Lines(forth, back, *[_address(dtype, "execute_dft")] * 2)


class _Side(NamedTuple):
    """Elements from line to line and from point to point of an array, and its bytes."""

    distance: int
    step: int
    size: int


def _prefix(dtype: np.dtype) -> str:
    return "fftwf" if dtype == np.float32 else "fftw"


def _symbol(dtype: np.dtype, name: str) -> Any:
    return getattr(_library(), f"{_prefix(dtype)}_{name}")


def _address(dtype: np.dtype, name: str) -> int:
    return ctypes.cast(_symbol(dtype, name), ctypes.c_void_p).value or 0


@functools.cache
def precision(dtype: np.dtype) -> wisdom.Precision:
    """What FFTW knows about transforms of this dtype."""
    return wisdom.Precision(_library(), _prefix(dtype))


def _plan(
    dtype: np.dtype, name: str, points: int, lines: int, source: _Side, target: _Side | None, sign: int = 0,
    measured: bool = False,
) -> int:  # fmt: skip
    """Address of a plan; target: None for in place."""
    make = _symbol(dtype, f"plan_{name}")
    make.restype = ctypes.c_void_p
    n = ctypes.byref(ctypes.c_int(points))
    sizes = [side.size for side in (source, target) if side is not None]
    memory, at = None, 0
    if measured:
        memory = np.zeros(sum(sizes) + (len(sizes) + 1) * _ALIGNMENT, np.uint8)
        at = memory.ctypes.data
    # An estimate reads and writes nothing: its arrays need no memory, only an alignment.
    arrays = [(at // _ALIGNMENT + 1) * _ALIGNMENT]
    arrays.append(arrays[0] if target is None else -(-(arrays[0] + source.size) // _ALIGNMENT) * _ALIGNMENT)
    sides: list[Any] = []
    for array, side in zip(arrays, (source, target or source), strict=True):
        sides += [ctypes.c_void_p(array), None, ctypes.c_int(side.step), ctypes.c_int(side.distance)]
    signs = [ctypes.c_int(sign)] if sign else []
    flags = ctypes.c_uint(_MEASURE if measured else _ESTIMATE)
    with _lock, (wisdom.kept if measured else wisdom.without)(precision(dtype)):
        plan = make(ctypes.c_int(1), n, ctypes.c_int(lines), *sides, *signs, flags)
    if not plan:
        raise BackendError(f"FFTW makes no plan for {lines} lines of {points} points ({name})")
    return int(plan)
