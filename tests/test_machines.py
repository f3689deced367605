"""Other processors and other thread pools than this machine's first choice, each in an interpreter of its own."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

CHECK = """
import convlab
from convlab.kernels.cpu import simd
from convlab.testing import PROPERTIES

for dtype in "{}".split():
    problem = convlab.ConvProblem.forward((1, 5, 9, 8), (19, 5, 3, 3), padding=1, dtype=dtype)
    for name in ("direct", "im2col", "winograd"):
        PROPERTIES["equivalence"].holds(convlab.get_algorithm(name), problem, 0)
print(simd.VECTOR_BYTES, simd.HAS_FMA)
"""


def run(code, **environment):
    env = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def output(code, **environment):
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def without_avx512():
    """The features of this processor but for AVX-512; without them it is one of AVX2."""
    features = llvm.get_host_cpu_features()
    if not features.get("avx512f"):
        pytest.skip("this processor has no AVX-512 to be left out")
    return ",".join(f"{'+' if has and 'avx512' not in name else '-'}{name}" for name, has in features.items())


def test_processor_with_16_byte_vectors_and_no_fma():
    assert output(CHECK.format("float16 float32 float64"), NUMBA_CPU_NAME="generic") == ["16", "False"]


def test_processor_with_avx2():
    assert output(CHECK.format("float32"), NUMBA_CPU_FEATURES=without_avx512()) == ["32", "True"]


# The tests of the vector type, all of them again; the last line says on how wide a register.
VECTORS = f"""
import pytest

code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", {str(Path(__file__).with_name("test_vector.py"))!r}])
from convlab.kernels.cpu import simd

print(int(code), simd.VECTOR_BYTES, simd.HAS_FMA)
"""


def test_vectors_on_16_byte_registers():
    assert output(VECTORS, NUMBA_CPU_NAME="generic")[-3:] == ["0", "16", "False"]


def test_vectors_on_avx2():
    assert output(VECTORS, NUMBA_CPU_FEATURES=without_avx512())[-3:] == ["0", "32", "True"]


FORK = """
import os, numpy, numba, convlab

rng = numpy.random.default_rng(0)
x, w = rng.random((1, 4, 50), numpy.float32), rng.random((32, 4, 3), numpy.float32)

def call(threads):
    return convlab.conv1d(x, w, algorithm="direct", threads=threads)

expected = call(2)
child = os.fork()
if child == 0:
    assert numpy.array_equal(call(1), expected)
    try:
        call(2)
    except convlab.BackendError as error:
        assert "threads=1" in str(error)
        os._exit(7)
    os._exit(8)
print(numba.threading_layer(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), numpy.array_equal(call(2), expected))
"""


def test_forked_process_after_openmp_is_told_to_use_one_thread():
    done = run(FORK, NUMBA_THREADING_LAYER="omp", NUMBA_NUM_THREADS="2")
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip("Numba finds no OpenMP here")
    assert done.stdout.split() == ["omp", "7", "True"], done.stderr


SIDE_BY_SIDE = """
import threading, numba, numpy, convlab

rng = numpy.random.default_rng(0)
w = rng.random((32, 4, 3), numpy.float32)
xs = [rng.random((1, 4, 3000), numpy.float32) for _ in range(2)]
plans = [convlab.plan(x.shape, w, algorithm="direct", threads=2) for x in xs]
expected = [convlab.conv1d(x, w, algorithm="direct", threads=1) for x in xs]
right = []

def call(plan, x, result):
    for _ in range(100):
        right.append(numpy.array_equal(plan(x), result))

callers = [threading.Thread(target=call, args=both) for both in zip(plans, xs, expected)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(numba.threading_layer(), len(right), all(right))
"""


def test_plans_run_side_by_side_on_the_simplest_pool():
    """Numba's own "workqueue" ends the process where two Python threads enter it at once."""
    seen = output(SIDE_BY_SIDE, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2")
    assert seen == ["workqueue", "200", "True"]
