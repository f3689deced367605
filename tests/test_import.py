"""`import convlab` is cheap, and asks nothing of the machine."""

import os
import subprocess
import sys

HEAVY = ("numba", "llvmlite", "scipy", "hypothesis", "rich", "PIL", "click", "pyfftw", "torch")


def run(code, **environment):
    """Run code in a fresh interpreter; None unsets a variable."""
    merged = {**os.environ, **environment}
    env = {name: value for name, value in merged.items() if value is not None}
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_leaves_heavy_packages_alone():
    code = f"import sys, convlab; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_describing_problems_and_errors_needs_no_numba():
    code = (
        "import sys, convlab, numpy\n"
        "convlab.ConvProblem.from_descriptor('mb1ic64ih56oc64oh56kh3ph1').macs\n"
        "convlab.algorithms()\n"
        "try: convlab.conv2d(numpy.ones((1, 3, 4, 4)), numpy.ones((1, 4, 3, 3)))\n"
        "except convlab.ProblemError: print('numba' in sys.modules)"
    )
    assert run(code) == "False\n"


def test_works_without_a_home(tmp_path):
    nowhere = str(tmp_path / "missing" / "home")
    code = (
        "import convlab, numpy\n"
        "print(convlab.conv1d(numpy.ones((1, 1, 4), 'f4'), numpy.ones((1, 1, 2), 'f4')).tolist())"
    )
    environment = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), None)
    assert run(code, HOME=nowhere, **environment) == "[[[2.0, 2.0, 2.0]]]\n"


def test_works_with_an_unwritable_home(tmp_path):
    """A file where the home should be: nobody can write there, not even root, as which CI may run."""
    (tmp_path / "home").write_text("")
    code = "import convlab, numpy; print(convlab.conv1d(numpy.ones((1, 1, 2)), numpy.ones((1, 1, 2))).tolist())"
    environment = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), None)
    assert run(code, HOME=str(tmp_path / "home"), **environment) == "[[[2.0]]]\n"


def test_public_names_exist():
    run("import convlab; [getattr(convlab, name) for name in convlab.__all__]; convlab.grad.conv2d_weight")
