"""The command line: what it prints, how it exits, what it says of bad input."""

import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import Stub, registering

from convlab import ConvProblem, reference, registry
from convlab.cli import main
from convlab.harness import images, peak

SMALL = "mb1ic4ih6oc4oh6kh3ph1"
QUICK = ("--min-time", "0.001", "--threads", "1")
STUB = ("--algorithm", "stub", *QUICK)


@pytest.fixture(autouse=True)
def _quick_peak(monkeypatch):
    """No kernel is compiled for a peak that no test looks at."""
    monkeypatch.setattr(peak, "fma_peak", lambda threads, dtype: 1e11)


@pytest.fixture
def stubs():
    with registering() as register:
        yield register


@pytest.fixture
def stub(stubs):
    stubs(Stub())


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def rerun_line(output):
    return shlex.split(output.partition("rerun with:\n")[2].partition("\n\n")[0].replace("\\\n", ""))


# -- the group


def test_help_imports_nothing_heavy():
    code = (
        "import sys, convlab.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'numba', 'scipy', 'hypothesis', 'rich', 'PIL', 'convlab.cli.bench'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.endswith("set()\n")
    for command in ("bench", "list", "explain", "check"):
        assert f"  {command} " in output


@pytest.mark.parametrize("command", [(), ("bench",), ("list",), ("explain",), ("check",)])
def test_help_fits_80_columns(command):
    output = run(*command, "--help")
    assert max(map(len, output.splitlines())) <= 80


def test_python_m_convlab():
    output = subprocess.run([sys.executable, "-m", "convlab", "--help"], capture_output=True, text=True, check=True)
    assert output.stdout.startswith("Usage: convlab ")


def test_unknown_command():
    assert "No such command 'benhc'" in run("benhc", code=2)


# -- bench


def test_bench_prints_a_table_and_its_rerun_line(stub):
    output = run("bench", SMALL, *STUB)
    assert max(map(len, output.splitlines())) <= 80
    for part in ("algorithm", "GFLOP/s", "workspace", "of bound", "stub", "FMA peak: 100 GFLOP/s", "numba"):
        assert part in output
    assert rerun_line(output) == [
        "convlab",
        "bench",
        SMALL,
        "--algorithm",
        "stub",
        "--threads",
        "1",
        "--min-time",
        "0.001",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--kernel", "3"),
        ("--kernel", "5x3", "--channels", 8, "--filters", 4, "--size", "9x7", "--stride", "2", "--dilation", "1x2"),
        ("--kernel", "2", "--channels", 4, "--size", "6", "--batch", 2, "--groups", 4),
        (SMALL, "--dtype", "complex64", "--bias", "--layout", "channels_last"),
        (SMALL, "--direction", "backward_data", "--activation", "tanh"),
        (SMALL, "--padding-mode", "circular", "--dtype", "int8"),
        ("g2mb1ic4iw9oc4ow9kw3pw1",),
        ("mb1ic1ih5oc1oh5kh3ph0",),
        ("ic2id4oc2kd3pd1",),
    ],
)
def test_rerun_line_runs_the_same(stub, words):
    if words == ("--kernel", "3"):
        words = (*words, "--size", 12)
    output = run("bench", *words, *STUB)
    line = rerun_line(output)
    again = run(*line[1:])
    assert rerun_line(again) == line
    assert again.splitlines()[0] == output.splitlines()[0]


def test_sizes_describe_the_problem(stub):
    first = run("bench", "--kernel", 3, "--size", 12, "--channels", 8, *STUB).splitlines()[0]
    assert first == "mb1ic8ih12oc64oh12kh3ph1 (float32, channels_first, forward)"


def test_default_problem(monkeypatch):
    from convlab.cli.options import DEFAULT, from_sizes

    assert from_sizes() == ConvProblem.from_descriptor(DEFAULT)


def test_several_descriptors_and_json(stub, tmp_path):
    file = tmp_path / "results.json"
    run("bench", SMALL, "ic2ih5oc2kh1", *STUB, "--json", file)
    reports = json.loads(file.read_text())["reports"]
    assert [r["problem"]["descriptor"] for r in reports] == [SMALL, "mb1ic2ih5oc2oh5kh1"]
    (row,) = reports[0]["rows"]
    assert {"median", "low", "high", "calls"} == set(row["timing"])
    assert {"max_error", "bound_fraction", "kind", "stated"} == set(row["accuracy"])
    assert {
        "algorithm", "status", "peer", "reason", "first_call", "workspace_bytes", "prepared_bytes",
        "effective_flops", "peak_fraction",
    } <= set(row)  # fmt: skip
    assert reports[0]["rerun"].startswith(f"convlab bench {SMALL}")
    assert reports[0]["machine"]["versions"]["numpy"] == np.__version__


def test_wrong_result_exits_1(stubs):
    stubs(Stub("right"), Stub("wrong", off=1))
    output = run("bench", SMALL, "--algorithm", "right", "--algorithm", "wrong", *QUICK, code=1)
    assert "wrong: wrong result" in output
    assert "right" in output


def test_exception_exits_1_and_is_named(stubs):
    stubs(Stub("raises", error=ZeroDivisionError("by zero")))
    assert "raises: raised ZeroDivisionError: by zero" in run("bench", SMALL, "--algorithm", "raises", *QUICK, code=1)


def test_nothing_that_runs_exits_1(stubs):
    stubs(Stub("refuses", refusal="it is a Tuesday"))
    assert "refuses: it is a Tuesday" in run("bench", SMALL, "--algorithm", "refuses", *QUICK, code=1)


def test_peer(stub, only_peer):
    only_peer(Stub("other"))
    for asked in ("other", "all"):
        output = run("bench", SMALL, *STUB, "--against", asked)
        assert "Other libraries: other." in output
        assert re.search(r"^other .* \? ", output, re.MULTILINE)  # what memory it takes
        assert "--against other" in " ".join(output.split())
    assert "that is no peer" in run("bench", SMALL, *STUB, "--against", "stub", code=2)
    assert "Did you mean 'other'" in run("bench", SMALL, *STUB, "--against", "othr", code=2)


def test_no_peer_installed(stub, monkeypatch):
    monkeypatch.setattr(registry, "peers", lambda backend="cpu": [])
    assert "no cpu peer is installed" in run("bench", SMALL, *STUB, "--against", "all", code=2)


def test_backend_without_algorithms(monkeypatch):
    monkeypatch.setattr(registry, "_entries", lambda group, backend: {})
    output = run("bench", SMALL, "--backend", "cuda", code=2)
    assert output == "Error: backend='cuda' has no algorithm installed\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mb1xc4",), "descriptor 'mb1xc4' is not understood from 'xc4'"),
        (("ic4ih8",), "lacks oc"),
        ((SMALL, "--kernel", "3"), "give a DESCRIPTOR or --kernel, not both"),
        (("--kernel", "3x3x3"), "'3x3x3' is not a positive integer N"),
        (("--kernel", "0"), "'0' is not a positive integer N"),
        (("--size", "-4"), "'-4' is not a positive integer N"),
        (("--stride", "two"), "'two' is not a positive integer N"),
        (("--channels", "0"), "0 is not in the range x>=1"),
        (("--groups", "3"), "groups=3 does not divide the 64 in-channels"),
        (("--kernel", "4", "--size", "1"), "spans 4 elements"),
        (("--dtype", "float128"), "'float128' is not one of"),
        (("--dtype", "int8", "--activation", "gelu"), "activation='gelu' is not defined for int8"),
        (("--direction", "backward_data", "--padding-mode", "circular"), "has no backward_data"),
        ((SMALL, "--algorithm", "stubb"), "Did you mean 'stub'"),
        (("--weights", "w.npy"), "--weights and --output go with --image"),
        ((SMALL, "--image", "a.png"), "not both: the picture gives the sizes"),
        (("--image", "a.png", "--channels", "3"), "--channels cannot go with --image"),
        (("--image", "a.png", "--weights", "w.npy", "--kernel", "3"), "give --weights or --kernel, not both"),
        (("--image", "a.png", "--bias"), "neither --direction nor --bias"),
        (("--image", "a.png", "--dtype", "int8"), "--dtype int8 cannot go with --image"),
        (("--image", "missing.png"), "--image missing.png cannot be read as a picture"),
        ((SMALL, "--json", "missing/file.json"), "missing/file.json"),
        (("mb1ic1ih1000000oc100000oh1000000kh1",), "does not fit into memory"),
    ],
)
def test_bad_input_is_one_clear_error(stub, words, message):
    output = run("bench", *words, code=2)
    assert message in " ".join(output.split())
    assert len([line for line in output.splitlines() if line.startswith("Error: ")]) == 1


def test_every_installed_algorithm(monkeypatch):
    monkeypatch.undo()  # the peak is measured, too
    output = run("bench", SMALL, *QUICK)
    table = output.partition("Time: ")[0]
    for name, _ in registry.algorithms("cpu"):
        assert name in table
    assert re.search(r"FMA peak: [\d.]+ GFLOP/s", output)


# -- pictures


@pytest.fixture
def photo(tmp_path):
    pytest.importorskip("PIL")
    path = tmp_path / "a photo.png"
    images.save(path, np.random.default_rng(0).random((3, 12, 10)))
    return path


def test_picture_is_filtered_by_a_gaussian(stub, photo, tmp_path):
    output = tmp_path / "blurred.png"
    text = run("bench", "--image", photo, "--kernel", "5", "--output", output, *STUB)
    assert "g3mb1ic3ih12iw10oc3oh12ow10" in text
    assert "as stub computed it" in " ".join(text.split())
    pixels = images.load(photo)
    problem = ConvProblem.forward((1, 3, 12, 10), (3, 1, 5, 5), padding=2, groups=3)
    expected = reference.solve(problem, pixels[None], np.broadcast_to(images.gaussian((5, 5)), (3, 1, 5, 5)))[0]
    np.testing.assert_allclose(images.load(output), np.clip(expected, 0, 1), atol=0.6 / 255)


def test_picture_rerun_line(stub, photo, tmp_path):
    np.save(tmp_path / "w.npy", np.eye(3))
    words = ("--image", photo, "--weights", tmp_path / "w.npy", "--stride", 2, "--output", tmp_path / "o.png")
    line = rerun_line(run("bench", *words, *STUB))
    assert line[2:12] == [*map(str, words), "--algorithm", "stub"]
    assert rerun_line(run(*line[1:])) == line


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_picture_by_weights_of_its_own(stub, photo, tmp_path, layout):
    grey = np.full((1, 3, 1, 1), 1 / 3)
    np.save(tmp_path / "w.npy", grey)
    output = tmp_path / "grey.png"
    words = ("--image", photo, "--weights", tmp_path / "w.npy", "--layout", layout, "--output", output)
    text = run("bench", *words, *STUB, "--dtype", "float64")
    assert text.startswith("mb1ic3ih12iw10oc1oh12ow10")
    np.testing.assert_allclose(images.load(output), images.load(photo).mean(0, keepdims=True), atol=0.6 / 255)


def test_picture_that_nothing_filtered(stubs, photo, tmp_path):
    stubs(Stub("wrong", off=1))
    output = run("bench", "--image", photo, "--output", tmp_path / "o.png", "--algorithm", "wrong", *QUICK, code=1)
    assert "wrong: wrong result" in output
    assert not (tmp_path / "o.png").exists()


def test_picture_output_is_refused_first(stub, photo):
    assert "no picture format" in run("bench", "--image", photo, "--output", "o.xyz", *STUB, code=2)


def test_without_pillow(stub, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert "pip install convlab[images]" in run("bench", "--image", "a.png", code=2)


# -- list, explain, check


def test_list_names_all_and_where_they_come_from(stub):
    output = run("list")
    assert re.search(r"stub +cpu +algorithm +register\(\), in this process", output)
    for name, backend in registry.algorithms():
        assert re.search(rf"^{name} +{backend} ", output, re.MULTILINE)
    assert max(map(len, output.splitlines())) <= 80


def test_list_imports_none_of_them():
    code = (
        "import sys; from convlab.cli import main\n"
        "try: main(['list'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith(('convlab.algorithms.', 'convlab_peers', 'numba'))])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.endswith("[]\n")


def test_explain(stubs):
    stubs(Stub("quick-stub", seconds=1e-4), Stub("slow-stub", seconds=1e3))
    output = run("explain", "mb1ic64ih224oc64oh224kh3ph1", "--threads", "1")
    assert "quick-stub is chosen" in output
    assert max(map(len, output.splitlines())) <= 80


def test_explain_a_peer(stub, only_peer):
    output = " ".join(run("explain", SMALL, "--algorithm", only_peer(Stub("other", seconds=None))).split())
    assert "other was named; it states no cost" in output
    assert "What memory it takes is unknown." in output


def test_explain_one_that_is_named(stubs):
    stubs(Stub("quick-stub", seconds=1e-12), Stub("slow-stub", seconds=1e9))
    assert "slow-stub was named" in run("explain", SMALL, "--algorithm", "slow-stub")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mb1xc4",), "is not understood"),
        ((SMALL, "--algorithm", "stubb"), "Did you mean 'stub'"),
        ((SMALL, "--workspace-limit", "much"), "workspace_limit='much' is not a size"),
    ],
)
def test_explain_bad_input(stub, words, message):
    assert message in " ".join(run("explain", *words, code=2).split())


def test_check_passes(stub):
    output = run("check", "stub", "--max-examples", 2, "--property", "equivalence", "--property", "out")
    assert re.search(r"^ok +equivalence +\d+ problems$", output, re.MULTILINE)
    assert "stub (cpu): 2 of 2 properties hold" in output


def test_check_fails_with_the_smallest_problem_and_the_line_that_reruns_it(stubs):
    stubs(Stub("wrong", off=1))
    output = run("check", "wrong", "--max-examples", 3, "--property", "equivalence", code=1)
    assert "FAILED  equivalence" in output
    assert "wrong (cpu): 0 of 1 properties hold" in output
    assert re.search(r"smallest +\w*ic\w+ \(", output)
    line = shlex.split(re.search(r"rerun +(convlab .*)", output)[1])
    assert "FAILED  equivalence" in run(*line[1:], code=1)


def test_check_unknown(stub):
    assert "Did you mean 'stub'" in run("check", "stbu", code=2)
    assert "property='luck' is unknown" in run("check", "stub", "--property", "luck", code=2)


def test_check_without_hypothesis(stub, monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == "hypothesis" or m.startswith("convlab.testing")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert "pip install convlab[testing]" in run("check", "stub", code=2)
