"""Hypothesis profiles, and a cache of compiled kernels that belongs to this run alone."""

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# A test run judges the kernels as they are now: it starts from an empty cache, unless it is given one (CI keeps
# none; someone who edits tests again and again may). Set before anything can import numba.
if "NUMBA_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="convlab-tests-")  # removed when the process ends
    os.environ["NUMBA_CACHE_DIR"] = _cache.name

# Kernels compile on their first example, so no deadline and no complaint that the first is slow.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=100, derandomize=True, **_common)
settings.register_profile("long", max_examples=1000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def registered():
    """Register an instance for one test; gives its name."""
    from convlab import registry

    added = set()

    def add(algorithm):
        registry.register(algorithm, override=True)
        added.add((algorithm.name, algorithm.backend))
        return algorithm.name

    yield add
    for key in added & set(registry.algorithms()):  # a test may have unregistered its own
        registry.unregister(*key)


@pytest.fixture
def only_peer(monkeypatch):
    """Make an instance the one installed peer for one test; gives its name."""
    from convlab import registry

    def install(algorithm):
        entries, group = registry._entries, (registry.PEERS, algorithm.backend)
        found = {algorithm.name: "an entry point"}
        monkeypatch.setattr(registry, "_entries", lambda *asked: found if asked == group else entries(*asked))
        monkeypatch.setitem(registry._loaded, (*group, algorithm.name), algorithm)
        return algorithm.name

    return install
