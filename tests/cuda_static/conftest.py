"""Proofs of the CUDA kernels on machines without a GPU: `tox -e cuda-static`.

They need what the extra `cuda-static` installs. Without it nothing here is collected: there is nothing to skip.
"""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent

if importlib.util.find_spec("numba_cuda") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cuda_static)


@pytest.fixture
def device():
    """An emulated device of compute capability 8.0."""
    from convlab.emulator import Device

    return Device((8, 0))
