"""kernels.jit: compiled kernels are kept on disk, never served stale, and do without a disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import convlab

INNER = """
from ..compile import jit

@jit
def inner(x):
    return x + 1
"""
OUTER = """
from ..compile import jit
from .inner import inner

@jit
def outer(x):
    return 10 * inner(x)
"""
CALL = "from convlab.kernels.cpu.outer import outer; print(outer(1), sum(outer.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path):
    """convlab's kernels alone, as a package of their own with two more, and a way to run code that imports it."""
    root = tmp_path / "site" / "convlab"
    shutil.copytree(Path(convlab.__file__).parent / "kernels", root / "kernels")
    (root / "__init__.py").write_text("")
    (root / "kernels" / "cpu" / "__init__.py").write_text("")
    (root / "kernels" / "cpu" / "inner.py").write_text(INNER)
    (root / "kernels" / "cpu" / "outer.py").write_text(OUTER)

    def run(code=CALL, **environment):
        merged = os.environ | {"PYTHONPATH": str(root.parent), "NUMBA_CACHE_DIR": str(tmp_path / "cache")} | environment
        env = {name: value for name, value in merged.items() if value is not None}
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    run.cpu = root / "kernels" / "cpu"
    return run


def test_compiled_once_and_again_after_an_edit_of_what_it_calls(package):
    assert package() == ["20", "0"]
    assert package() == ["20", "1"]
    (package.cpu / "inner.py").write_text(INNER.replace("x + 1", "x + 2"))
    assert package() == ["30", "0"]
    assert package() == ["30", "1"]
    (package.cpu / "inner.py").write_text(INNER)
    assert package()[0] == "20"


def test_compiled_again_after_an_edit_of_another_kernel(package):
    assert package() == ["20", "0"]
    with (package.cpu / "half.py").open("a") as file:
        file.write("# an edit\n")
    assert package() == ["20", "0"]


def test_each_cpu_has_kernels_of_its_own(package):
    assert package() == ["20", "0"]
    assert package(NUMBA_CPU_NAME="generic") == ["20", "0"]
    assert package() == ["20", "1"]


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"])
def test_kernels_live_in_memory_where_nothing_can_be_written(package, tmp_path, variable):
    (tmp_path / "file").write_text("")  # under a file nobody makes a directory, not even root
    nowhere = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")) | {variable: str(tmp_path / "file" / "cache")}
    for _ in range(2):
        assert package(**nowhere) == ["20", "0"]
    assert (tmp_path / "file").read_text() == ""


def test_kept_in_the_users_cache_directory(package, tmp_path):
    for _ in range(2):
        seen = package(NUMBA_CACHE_DIR=None, XDG_CACHE_HOME=str(tmp_path / "user"))
    assert seen == ["20", "1"]
    assert list((tmp_path / "user" / "convlab").rglob("*.nbi"))
    assert not list(package.cpu.rglob("*.nbi"))
