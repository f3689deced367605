"""Calling a kernel's driver from Python, within what Numba's thread pools can take."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numba

from ..errors import BackendError

_one_region = threading.Lock()
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _layer() -> str:
    """Numba's thread pool; once one has started it stays."""
    return str(numba.threading_layer())


def launch(driver: Callable[..., None], *arguments: Any, threads: int) -> None:
    """Call a driver from Python with that many threads: driver(*arguments[:-1], threads, arguments[-1]).

    Guards what Numba's thread pools cannot take: "workqueue" dies of two regions at a time, and OpenMP dies in
    a forked child of a process that has used it (raises BackendError there; one thread works).
    """
    *inputs, output = arguments
    if threads > 1 and _forked and _layer() == "omp":
        raise BackendError(
            "threads > 1 do not work in a forked process after OpenMP ran in its parent; "
            "use threads=1, or start processes by 'spawn' or 'forkserver'"
        )
    if threads > 1 and _layer() == "workqueue":
        with _one_region:
            driver(*inputs, threads, output)
    else:
        driver(*inputs, threads, output)
