"""Imports go downward only, along the layers of the design."""

import ast
from pathlib import Path

import pytest

import convlab

# From the top down: a module imports from lower rows. Two files of one idea may also know each other.
LAYERS = (
    ("cli", "__main__"),
    ("harness", "testing"),
    ("functional", "grad", "signal"),
    ("plan",),
    ("explain",),
    ("select",),
    ("registry",),
    ("algorithms",),
    ("nominal",),
    ("bounds",),
    ("arrays",),
    ("algorithm",),
    ("problem", "descriptor"),
    ("geometry",),
    ("errors", "units"),
    ("emulator", "machinecode"),
    ("kernels",),
    ("reference",),
)
HEIGHT = {name: len(LAYERS) - i for i, row in enumerate(LAYERS) for name in row}
ONE_IDEA = {"cli", "__main__"}, {"functional", "grad", "signal"}, {"problem", "descriptor"}

# Third-party packages that belong to one place.
ONLY_IN = {
    "hypothesis": ("testing",),
    "click": ("cli",),
    "rich": ("cli", "harness"),
    "PIL": ("cli", "harness"),
    "numba": ("kernels", "emulator", "machinecode", "algorithms", "arrays", "harness", "cli"),
    "scipy": (),
    "torch": (),
}


def imports(path, root):
    """(line, module) of every import in a file, those of the package itself as dotted names below it."""
    package = path.relative_to(root.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: -node.level]) if node.level else []
            full = ".".join(base + ([node.module] if node.module else []))
            if full == root.name:  # from . import plan: the names are modules
                for alias in node.names:
                    yield node.lineno, f"{full}.{alias.name}"
            else:
                yield node.lineno, full


def violations(root):
    """What breaks the layers in a source tree, one line each."""
    found = []
    for path in sorted(root.rglob("*.py")):
        own = ".".join(path.relative_to(root).with_suffix("").parts)
        top = own.split(".")[0]
        if own == "__init__":
            continue
        if top not in HEIGHT:
            found.append(f"{own} is in no layer")
            continue
        for line, name in imports(path, root):
            where = f"{path.relative_to(root)}:{line} imports {name}"
            first = name.split(".")[0]
            if first in ONLY_IN and top not in ONLY_IN[first]:
                found.append(f"{where}, which belongs to {ONLY_IN[first] or 'no layer'}")
            if first != root.name:
                continue
            target = name.split(".")[1] if "." in name else "__init__"
            if top == "kernels" and target != "kernels":
                found.append(f"{where}: kernels import no other convlab module")
            elif "cpu" in own and ".cuda" in name:
                found.append(f"{where}: the cpu never needs cuda")
            elif target not in HEIGHT:  # the package itself, for its version or its public names
                if top not in ("cli", "__main__"):
                    found.append(f"{where}: the top of the package is above all layers but the command line")
            elif target == top or any({top, target} <= idea for idea in ONE_IDEA):
                continue
            elif HEIGHT[target] >= HEIGHT[top]:
                found.append(f"{where}, which is not below {top}")
    return found


def test_imports_go_downward():
    assert violations(Path(convlab.__file__).parent) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("bounds.py", "from .plan import Plan"),
        ("bounds.py", "from . import registry"),
        ("bounds.py", "import convlab.select"),
        ("algorithm.py", "def late():\n    from .bounds import normwise"),
        ("harness/timing.py", "from ..testing import check"),
        ("harness/timing.py", "from ..cli import main"),
        ("kernels/cpu/direct.py", "from ...problem import ConvProblem"),
        ("kernels/cpu/direct.py", "from ..cuda import direct"),
        ("kernels/direct.py", "from .. import reference"),
        ("emulator/memory.py", "from ..problem import ConvProblem"),
        ("emulator/memory.py", "from ..machinecode import report"),
        ("kernels/cuda/gemm.py", "from ...emulator import Device"),
        ("select.py", "import hypothesis"),
        ("plan.py", "from convlab import conv2d"),
        ("utils.py", "import math"),
    ],
)
def test_planted_import_is_caught(tmp_path, file, line):
    path = tmp_path / "convlab" / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert len(violations(tmp_path / "convlab")) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("plan.py", "from . import select"),
        ("kernels/cpu/direct.py", "from .simd import fma"),
        ("kernels/cpu/direct.py", "from ..taps import Taps"),
        ("emulator/device.py", "from ..kernels.cuda.compile import ptx"),
        ("testing/conformance.py", "import hypothesis"),
        ("cli/bench.py", "from .. import __version__"),
        ("grad.py", "from .functional import resolve_backend"),
    ],
)
def test_downward_import_is_not(tmp_path, file, line):
    path = tmp_path / "convlab" / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert violations(tmp_path / "convlab") == []
