"""kernels.linking: what a kernel calls is optimised once, and is there for every caller, from memory and from disk."""

import os
import subprocess
import sys

import numba
import pytest

from convlab.kernels.compile import jit
from convlab.kernels.cpu import simd
from convlab.kernels.linking import Part, Whole


@jit
def leaf(x):
    simd.outlined()
    return x * 3


@jit
def middle(x):
    return leaf(x) + 1


@jit
def stem(x):
    simd.outlined()
    return middle(x) + leaf(x + 2)


@jit
def root(x):
    return stem(x) - middle(x)


def wanted(x):
    return 3 * x + 1 + 3 * (x + 2) - (3 * x + 1)


def library(kernel):
    (result,) = kernel.overloads.values()
    return result.library


def defined(module):
    """Names of the functions in a module that are not only declared."""
    return {name for f in module.functions if not f.is_declaration for name in NAMES if f"{name}B" in f.name}


NAMES = ("leaf", "middle", "stem", "root")


def test_each_kernel_is_optimised_without_the_outlined_ones_it_calls():
    assert root(5) == wanted(5)
    assert isinstance(library(root), Whole)
    assert all(isinstance(library(kernel.part), Part) for kernel in (leaf, middle, stem))
    assert defined(library(stem.part).shared) == {"stem"}
    assert defined(library(middle.part).shared) == {"middle"}
    assert defined(library(root)._final_module) == {"root", "stem", "leaf"}


def test_a_kernel_that_others_call_is_no_machine_code_until_python_calls_it():
    assert root(5) == wanted(5)
    assert not stem.overloads
    assert stem(5) == 3 * 5 + 1 + 3 * 7
    assert isinstance(library(stem), Whole)


@pytest.mark.parametrize("parallel", [False, True])
def test_any_compiled_function_calls_them(parallel):
    @numba.njit(parallel=parallel)
    def user(n):
        total = 0
        for i in numba.prange(n):
            total += root(i)
        return total

    assert user(10) == sum(map(wanted, range(10)))


PACKAGE = """
from convlab.kernels.compile import jit
from convlab.kernels.cpu import simd

@jit
def leaf(x):
    simd.outlined()
    return x * 3

@jit
def stem(x):
    simd.outlined()
    return leaf(x) + 1

@jit
def first(x):
    return stem(x)

@jit
def second(x):
    return stem(x) + leaf(x)
"""


def test_parts_are_kept_on_disk_for_other_callers(tmp_path):
    (tmp_path / "kept.py").write_text(PACKAGE)

    def run(name):
        hits = "sum(k.part.stats.cache_hits.values()) for k in (kept.stem, kept.leaf)"
        code = f"import kept; print(kept.{name}(1), *({hits}))"
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert run("first") == ["4", "0", "0"]
    assert run("second") == ["7", "1", "1"]
    assert run("second") == ["7", "0", "0"]  # all of it is in the machine code of `second`
    assert run("first") == ["4", "0", "0"]
