"""Which algorithms there are: entry points, found by name and loaded when first asked for.

The entry-point group is the backend, the entry's name the algorithm's, its value an Algorithm subclass.
Built-in algorithms come in by the same door as a plugin's. Listing reads metadata and imports nothing.
A plugin that fails to load is warned about once, kept in `plugin_failures()`, and harms nothing else.
"""

import difflib
import functools
import threading
import warnings
from importlib.metadata import EntryPoint, entry_points

from .algorithm import Algorithm
from .errors import BackendError, ConvlabError, UnsupportedError

BACKENDS = ("cpu", "cuda")
ALGORITHMS, PEERS = "convlab.algorithms", "convlab.peers"

_registered: dict[tuple[str, str], Algorithm] = {}
_loaded: dict[tuple[str, str, str], Algorithm | None] = {}
_failures: dict[tuple[str, str], Exception] = {}
_lock = threading.RLock()


@functools.cache
def _entries(group: str, backend: str) -> dict[str, EntryPoint]:
    """Entry points of one kind and backend. Of two with one name the first distribution found wins, loudly."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"{group}.{backend}"):
        if entry.name not in found:
            found[entry.name] = entry
        elif found[entry.name].value != entry.value:
            warnings.warn(
                f"two plugins call their {backend} algorithm {entry.name!r}: "
                f"{found[entry.name].value} is used, {entry.value} is not",
                stacklevel=2,
            )
    return found


def check_backend(backend: str) -> str:
    """The backend's name, or a BackendError that lists the valid ones."""
    if backend not in BACKENDS:
        raise BackendError(f"backend={backend!r} is unknown; valid are 'auto', {', '.join(map(repr, BACKENDS))}")
    return backend


def algorithms(backend: str | None = None) -> list[tuple[str, str]]:
    """The (name, backend) of every algorithm that "auto" may choose from, sorted. Imports none of them."""
    backends = BACKENDS if backend is None else (check_backend(backend),)
    with _lock:
        names = {(name, b) for b in backends for name in _entries(ALGORITHMS, b)}
        names |= {key for key in _registered if key[1] in backends}
    return sorted(names, key=lambda key: (BACKENDS.index(key[1]), key[0]))


def peers(backend: str = "cpu") -> list[str]:
    """Names of the other libraries that can be compared with on a backend. Imports none of them."""
    return sorted(_entries(PEERS, check_backend(backend)))


def is_peer(name: str, backend: str = "cpu") -> bool:
    """Whether get_algorithm(name, backend) is another library, which promises less than the interface says."""
    return name in peers(backend) and (name, backend) not in algorithms(backend)


def get_algorithm(name: str, backend: str = "cpu") -> Algorithm:
    """The algorithm or peer of that name.

    Raises UnsupportedError with the nearest names if there is none, BackendError if its plugin fails to load.
    """
    check_backend(backend)
    with _lock:
        if (name, backend) in _registered:
            return _registered[name, backend]
        for group in (ALGORITHMS, PEERS):
            if name in _entries(group, backend):
                algorithm = _load(group, backend, name)
                if algorithm is None:
                    raise BackendError(f"algorithm {name!r} ({backend}) failed to load: {_failures[name, backend]}")
                return algorithm
    raise UnsupportedError(_unknown(name, backend))


def available(backend: str) -> tuple[Algorithm, ...]:
    """Every algorithm of a backend that loads, sorted by name; those that fail are left to plugin_failures()."""
    with _lock:
        return _available(check_backend(backend))


@functools.cache
def _available(backend: str) -> tuple[Algorithm, ...]:
    """Kept until something else is registered: every call of "auto" asks."""
    names = {*_entries(ALGORITHMS, backend), *(name for name, b in _registered if b == backend)}
    loaded = [_registered.get((name, backend)) or _load(ALGORITHMS, backend, name) for name in sorted(names)]
    return tuple(algorithm for algorithm in loaded if algorithm is not None)


def register(algorithm: Algorithm, *, override: bool = False) -> None:
    """Add an Algorithm instance to this process's registry, under its own name and backend.

    A name that is taken is refused unless `override` is given.
    """
    if not isinstance(algorithm, Algorithm):
        raise TypeError(f"register() takes an Algorithm instance, not {algorithm!r}")
    key = (algorithm.name, check_backend(algorithm.backend))
    with _lock:
        if not override and key in algorithms(algorithm.backend):
            raise ConvlabError(f"algorithm {key[0]!r} ({key[1]}) exists; pass override=True to replace it")
        _registered[key] = algorithm
        _available.cache_clear()


def unregister(name: str, backend: str = "cpu") -> None:
    """Undo `register`; what came by entry point appears again."""
    with _lock:
        if _registered.pop((name, backend), None) is None:
            raise UnsupportedError(f"algorithm {name!r} ({backend}) was not added by register()")
        _available.cache_clear()


def plugin_failures() -> dict[tuple[str, str], Exception]:
    """What failed to load so far: (name, backend) → the exception."""
    return dict(_failures)


def _load(group: str, backend: str, name: str) -> Algorithm | None:
    key = (group, backend, name)
    if key not in _loaded:
        entry = _entries(group, backend)[name]
        try:
            algorithm = entry.load()()
            if not isinstance(algorithm, Algorithm) or (algorithm.name, algorithm.backend) != (name, backend):
                raise TypeError(f"{entry.value} is not an Algorithm with name={name!r} and backend={backend!r}")
            _loaded[key] = algorithm
        except Exception as error:  # a plugin may fail in any way; it must not take the others with it
            _loaded[key], _failures[name, backend] = None, error
            warnings.warn(f"convlab plugin {name!r} ({backend}, {entry.value}) failed to load: {error!r}", stacklevel=3)
    return _loaded[key]


def _unknown(name: str, backend: str) -> str:
    known = [n for n, _ in algorithms(backend)] + peers(backend)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"algorithm={name!r} is unknown on {backend}.{hint} Valid are 'auto', {', '.join(map(repr, known))}"
