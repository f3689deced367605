"""FFTW, as pyFFTW brings it: plans made once a size, and the addresses by which compiled kernels execute them.

pyFFTW's own objects take Python's lock for every transform, and a transform of 128² points takes 30 µs. FFTW's symbols
are found through pyFFTW's extension module, which links to it, and the package itself is not imported (that takes
0.2 s, most of it SciPy's). Executing a plan is safe from any thread.

Plans are estimated, never measured: making one takes no time worth mentioning, and the same size gives the same plan,
so the same bits (as long as nobody feeds FFTW wisdom about these sizes). They are of one thread, for the same reason.
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

_FORWARD, _BACKWARD, _ESTIMATE = -1, 1, 1 << 6  # of fftw3.h
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
def real_lines(dtype: np.dtype, points: int, lines: int, distance: int, spectrum: int) -> Lines:
    """`lines` real lines of so many points, `distance` elements apart, to points // 2 + 1 complex numbers each,
    `spectrum` complex numbers apart; and back, which destroys the spectrum."""
    n = ctypes.byref(ctypes.c_int(points))
    forth = _plan(dtype, "many_dft_r2c", 1, n, lines, (None, 1, distance), (None, 1, spectrum))
    back = _plan(dtype, "many_dft_c2r", 1, n, lines, (None, 1, spectrum), (None, 1, distance))
    return Lines(forth, back, _address(dtype, "execute_dft_r2c"), _address(dtype, "execute_dft_c2r"))


@functools.cache
def complex_lines(dtype: np.dtype, points: int, lines: int, step: int, source: int, target: int | None = None) -> Lines:
    """`lines` complex lines whose points are `step` elements apart, the lines `source` elements; to lines `target`
    elements apart in another array (None: in place). dtype is that of the parts."""
    n, place = ctypes.byref(ctypes.c_int(points)), target is None
    other = source if target is None else target
    there, here = (None, step, source), (None, step, other)
    plans = [
        _plan(dtype, "many_dft", 1, n, lines, *pair, sign=sign, in_place=place)
        for pair, sign in (((there, here), _FORWARD), ((here, there), _BACKWARD))
    ]
    return Lines(*plans, *[_address(dtype, "execute_dft")] * 2)


def _symbol(dtype: np.dtype, name: str) -> Any:
    return getattr(_library(), f"{'fftwf' if dtype == np.float32 else 'fftw'}_{name}")


def _address(dtype: np.dtype, name: str) -> int:
    return ctypes.cast(_symbol(dtype, name), ctypes.c_void_p).value or 0


def _plan(
    dtype: np.dtype, name: str, rank: int, n: Any, lines: int, source: Any, target: Any, sign: int = 0,
    in_place: bool = False,
) -> int:  # fmt: skip
    """Address of a plan. An estimate reads and writes nothing: the arrays need no memory, only an alignment."""
    make = _symbol(dtype, f"plan_{name}")
    make.restype = ctypes.c_void_p
    arrays = [ctypes.c_void_p(_ALIGNMENT), ctypes.c_void_p(_ALIGNMENT if in_place else 2 * _ALIGNMENT)]
    sides = [(array, *map(_integer, side)) for array, side in zip(arrays, (source, target), strict=True)]
    signs = [ctypes.c_int(sign)] if sign else []
    with _lock:
        plan = make(ctypes.c_int(rank), n, ctypes.c_int(lines), *sides[0], *sides[1], *signs, ctypes.c_uint(_ESTIMATE))
    if not plan:
        raise BackendError(f"FFTW makes no plan for {lines} lines ({name})")
    return int(plan)


def _integer(value: int | None) -> Any:
    return None if value is None else ctypes.c_int(value)
