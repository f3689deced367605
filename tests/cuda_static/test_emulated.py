"""`convlab bench` and `check` with --emulate: what they print, and that they notice what is wrong."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from numba import cuda, float32
from rich.console import Console

from convlab import Algorithm, ConvProblem, register, registry, unregister
from convlab.arrays import using
from convlab.cli import main
from convlab.emulator import Device
from convlab.harness import benchmark, render
from convlab.kernels.cuda.compile import launch
from convlab.machinecode import GPUS

EMULATE = ("--backend", "cuda", "--emulate")
SMALL = "mb1ic4ih6oc4oh6kh3ph1"


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@cuda.jit
def racing(y):
    """Every thread reads what another has just written."""
    s, t = cuda.shared.array(64, float32), cuda.threadIdx.x & 63
    s[t] = t
    y[t] = s[63 - t]


@cuda.jit
def constant(y):
    y[cuda.threadIdx.x] = 1


class Stub(Algorithm):
    """An algorithm that launches one kernel on the first 64 results."""

    name, backend = "stub", "cuda"

    def __init__(self, kernel):
        self.kernel = kernel

    def why_not(self, problem):
        return None

    def prepare(self, problem, weight, ctx):
        return None

    def run(self, problem, operands, state, workspace, out, ctx):
        launch(self.kernel, 1, 64, (out.reshape(out.size),), ctx.stream or 0)


@pytest.fixture
def stub():
    def install(kernel):
        register(Stub(kernel))

    yield install
    unregister("stub", "cuda")


@pytest.mark.parametrize(("kernel", "tile"), [(1, "pointwise 64x64"), (3, "im2col 64x64")])
def test_bench(kernel, tile):
    output = run("bench", "--kernel", kernel, *EMULATE)
    assert tile in output
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "emulated, for the H100 (compute capability 9.0)" in output
    assert "No race" in output
    assert "model µs is no measurement" in output
    assert "--gpu H100" in output


def test_figures(tmp_path):
    path = tmp_path / "found.json"
    run("bench", "mb2ic16ih8oc32oh8kh1", *EMULATE, "--gpu", "A100", "--json", path)
    report = json.loads(path.read_text())["reports"][0]
    assert report["emulated"]["name"] == "A100"
    row = next(row for row in report["rows"] if row["algorithm"] == "pointwise")
    (kernel,) = row["kernels"]
    assert (row["status"], kernel["name"], kernel["launches"], kernel["spilled"]) == ("ok", "gemm 64x64", 1, 0)
    assert kernel["compulsory"] == 4 * (2 * 16 * 64 + 16 * 32 + 2 * 32 * 64)
    assert kernel["ffma"] > 0.75
    assert 0 < row["accuracy"]["bound_fraction"] <= 1
    moved = kernel["compulsory"] / (GPUS["A100"].bandwidth * 1e9)
    assert moved <= kernel["seconds"] < 1e-4


def test_products_on_tensor_cores(tmp_path):
    """Their share is told apart from that of multiply-adds, and their pipe bounds the model."""
    path = tmp_path / "found.json"
    options = (*EMULATE, "--algorithm", "im2col-mma", "--algorithm", "im2col", "--gpu", "A100", "--json", path)
    output = run("bench", "mb1ic64ih8oc64oh8kh1", *options)
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "T: share of products on tensor cores" in output
    rows = {row["algorithm"]: row["kernels"][0] for row in json.loads(path.read_text())["reports"][0]["rows"]}
    assert rows["im2col"]["tensor"] is None
    assert rows["im2col-mma"]["ffma"] is None
    assert f" {100 * rows['im2col-mma']['tensor']:.0f}T " in output
    assert rows["im2col-mma"]["seconds"] < rows["im2col"]["seconds"]
    refused = run("bench", SMALL, *EMULATE, "--algorithm", "im2col-mma", "--gpu", "T4", code=1)
    assert "im2col-mma: it needs compute capability 8.0, this device has 7.5" in refused


def test_race_is_a_failure(stub):
    stub(racing)
    output = run("bench", SMALL, *EMULATE, "--algorithm", "stub", code=1)
    assert "stub: raised EmulationError: " in output
    assert "race" in output


def test_unwritten_results_are_a_failure(stub):
    stub(constant)
    assert "wrong result" in run("bench", SMALL, *EMULATE, "--algorithm", "stub", code=1)
    output = run("check", "stub", *EMULATE, "--property", "equivalence", code=1)
    assert "0 of 1 properties hold" in output
    assert "convlab check stub --backend cuda --emulate --property equivalence" in output.replace("\n", " ")


def test_check_of_every_algorithm(monkeypatch):
    monkeypatch.setattr(registry, "algorithms", lambda backend=None: [("pointwise", "cuda")])
    output = run("check", *EMULATE, "--property", "inputs_unchanged", "--max-examples", 1)
    assert "pointwise (cuda): 1 of 1 properties hold" in output


def test_timed_on_a_device_without_copies():
    """What `bench` does on a GPU: operands are there, times end when it is done, copies are told apart."""
    with using(Device()) as device:
        report = benchmark(
            ConvProblem.from_descriptor(SMALL), names=["direct"], min_time=1e-3, threads=1, backend="cuda"
        )
    (row,) = report.timed
    assert row.accuracy.ok
    assert report.peak is None
    assert min(*report.transfers.pageable, *report.transfers.pinned) > 0
    assert report.transfers.overlapped is None  # one image is not cut
    assert {counters.function for counters in device.launches} == {"pack", "direct"}
    console = Console(width=80, record=True, file=io.StringIO())
    render(report, console)
    text = " ".join(console.export_text().split())
    assert "Not in it: copies. To the device and back: pageable " in text
    assert "Overlapped" not in text


def test_unknown_gpu():
    result = CliRunner().invoke(main, ["bench", *EMULATE, "--gpu", "H1000"])
    assert result.exit_code == 2
    assert "--gpu H1000: unknown; valid are T4, A100" in result.output


def test_picture(tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "picture.png"
    image.fromarray(np.full((9, 12), 100, np.uint8)).save(path)
    output = run("bench", "--image", path, "--kernel", 3, *EMULATE)
    assert "--image" in output.partition("rerun with:")[2]
