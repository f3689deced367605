"""What `convlab bench` runs: timing, data, accuracy, reports, pictures."""

import io
import json
import math
import shlex

import numpy as np
import pytest
from fakes import Stub, registering
from rich.console import Console

from convlab import ConvProblem, ProblemError, UnsupportedError, bounds, reference
from convlab.harness import as_json, benchmark, compare, interleave, render
from convlab.harness.accuracy import measure
from convlab.harness.case import Case
from convlab.harness.data import operands
from convlab.harness.load import Others
from convlab.harness.peak import Peak, unit
from convlab.harness.rerun import bench_command, folded
from convlab.harness.timing import LEAD_IN, ROUNDS, summary

SMALL = ConvProblem.from_descriptor("mb2ic4ih6oc4oh6kh3ph1")


@pytest.fixture
def stubs():
    with registering() as register:
        yield register


def bench(names, problem=SMALL, **options):
    return benchmark(
        problem, names=names, min_time=0.001, threads=1, measure_peak=lambda threads, dtype: 1e11, **options
    )


def rendered(report):
    file = io.StringIO()
    render(report, Console(file=file, width=80, highlight=False))
    return file.getvalue()


# -- timing


class Clock:
    """A clock that only moves when a candidate is called."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def candidate(self, name, seconds):
        def call():
            self.now += seconds
            self.calls.append(name)

        return call


def test_candidates_take_turns():
    clock = Clock()
    result = interleave({"a": clock.candidate("a", 0.01), "b": clock.candidate("b", 0.02)}, 1.0, clock=clock)
    turns = [name for i, name in enumerate(clock.calls) if i == 0 or clock.calls[i - 1] != name]
    # Every second round goes backwards, so that one's turn follows the other's and its own alike: a b, b a, a b …
    assert turns == (["a", "b"] * ROUNDS)[: len(turns)]
    assert len(turns) - 1 in (ROUNDS, ROUNDS + 1)  # one more where the sum of the samples rounds below min_time
    assert result["a"].median == pytest.approx(0.01)
    assert result["b"].spread == pytest.approx(0, abs=1e-12)


def test_untimed_calls_come_first():
    clock = Clock()
    timing = interleave({"a": clock.candidate("a", 0.01)}, 1.0, clock=clock)["a"]
    untimed = len(clock.calls) - timing.calls
    assert untimed * 0.01 >= ROUNDS * LEAD_IN * 0.99


def test_time_is_bounded_for_a_slow_candidate():
    clock = Clock()
    timing = interleave({"slow": clock.candidate("slow", 2.0)}, 1.0, clock=clock)["slow"]
    assert timing.calls == 3
    assert len(clock.calls) == 4


def test_short_times_have_fewer_turns_as_long_as_their_lead_in():
    clock = Clock()
    calls = {name: clock.candidate(name, 0.01) for name in "ab"}
    interleave(calls, 2.5 * LEAD_IN, clock=clock)
    first_turn = clock.calls[: clock.calls.index("b")]
    assert len(first_turn) * 0.01 == pytest.approx(2 * LEAD_IN, abs=0.021)


def test_others_are_counted():
    with Others() as others:
        sum(range(10**6))
    assert others.processors is None or others.processors >= 0


def test_idle_ticks_are_nobodys_and_other_systems_tell_nothing(monkeypatch, tmp_path):
    stat = tmp_path / "stat"
    monkeypatch.setattr("convlab.harness.load._STAT", stat)
    for busy, expected in ((0, 0), (10**6, 100)):
        stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\n")
        with Others() as others:
            stat.write_text(f"cpu {busy} 0 0 5000 7 0 0 0 0 0\n")
        assert others.processors >= expected
        assert (others.processors == 0) == (busy == 0)
    stat.unlink()
    with Others() as unknown:
        pass
    assert unknown.processors is None


def test_progress_is_told_before_each_turn():
    clock, seen = Clock(), []
    interleave({"a": clock.candidate("a", 0.25)}, 1.0, clock=clock, on_turn=lambda name, part: seen.append(part))
    assert seen == [0, 0.25, 0.5, 0.75]


def test_quartiles():
    timing = summary([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (timing.low, timing.median, timing.high, timing.spread, timing.calls) == (2, 3, 4, 1, 5)


def test_peak_is_the_best_and_has_a_real_dtype():
    rates = iter((1.0, 5.0, 3.0))
    peak = Peak(lambda threads, dtype: next(rates), 2, np.dtype(np.float32))
    for _ in range(3):
        peak()
    assert peak.flops == 5
    assert unit(np.dtype(np.complex128)) == np.float64
    assert unit(np.dtype(np.float16)) == np.float32
    assert unit(np.dtype(np.int8)) is None


# -- data and accuracy


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64", "int8", "uint16"])
@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
def test_operands_are_the_same_every_time_and_results_keep_their_scale(dtype, direction):
    problem = ConvProblem.from_descriptor("mb2ic32ih12oc32oh12kh3ph1", dtype=dtype, direction=direction)
    first, again = operands(problem), operands(problem)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first[0].dtype == dtype
    if problem.dtype.kind in "fc":
        assert 0.5 < np.abs(reference.solve(problem, *first)).std() * (1 + (problem.dtype.kind == "c")) < 2


def test_given_operands_are_checked():
    with pytest.raises(ProblemError, match="weights has shape"):
        operands(SMALL, weights=np.ones((1, 1, 3, 3), np.float32))
    x, _, bias = operands(SMALL.replace(has_bias=True), data=np.ones(SMALL.x_shape, np.float32))
    assert (x == 1).all()
    assert bias.shape == (4,)


def test_accuracy_is_a_fraction_of_the_bound():
    arrays = operands(SMALL)
    expected = reference.solve(SMALL, *arrays)
    model = bounds.componentwise(SMALL)
    limit = model.bound(SMALL, arrays)
    half = measure(SMALL, arrays, expected + limit / 2, expected, model)
    assert half.bound_fraction == pytest.approx(0.5)
    assert half.max_error == pytest.approx(limit.max() / 2)
    assert half.ok
    assert half.stated
    assert not measure(SMALL, arrays, expected + 2 * limit, expected, model).ok


def test_accuracy_without_a_model_is_held_to_the_normwise_bound():
    arrays = operands(SMALL)
    expected = reference.solve(SMALL, *arrays)
    found = measure(SMALL, arrays, expected, expected, None)
    assert (found.kind, found.stated, found.bound_fraction) == ("normwise", False, 0)


def test_one_nan_is_a_failure():
    arrays = operands(SMALL)
    expected = reference.solve(SMALL, *arrays)
    result = expected.copy()
    result[0, 0, 0, 0] = np.nan
    assert not measure(SMALL, arrays, result, expected, bounds.componentwise(SMALL)).ok


def test_large_integers_are_compared_exactly():
    problem = SMALL.replace(dtype=np.dtype(np.int64))
    expected = np.full(problem.y_shape, 2**62, np.int64)
    model = bounds.componentwise(problem)
    assert measure(problem, (), expected, expected, model).ok
    assert not measure(problem, (), expected + 1, expected, model).ok


# -- benchmark and report


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int16"])
@pytest.mark.parametrize("direction", ["forward", "backward_data", "backward_weights"])
def test_every_direction_is_checked_and_timed(stubs, direction, dtype):
    report = bench(stubs(Stub()), SMALL.replace(direction=direction, dtype=np.dtype(dtype)))
    (row,) = report.timed
    assert row.timing.calls >= 3
    assert row.first_call > 0
    assert row.accuracy.ok
    assert report.flops == SMALL.macs * (8 if dtype == "complex64" else 2)
    assert (report.peak is None) == (dtype == "int16")


def test_bias_activation_and_layout(stubs):
    problem = SMALL.replace(has_bias=True, activation="gelu", layout="channels_last")
    assert bench(stubs(Stub()), problem).timed


def test_rows_by_outcome(stubs):
    names = stubs(
        Stub("right"), Stub("wrong", off=1), Stub("raises", error=RuntimeError("out of luck")),
        Stub("refuses", refusal="it is a Tuesday"),
    )  # fmt: skip
    report = bench(names)
    assert [row.algorithm for row in report.timed] == ["right"]
    assert {row.algorithm: row.reason for row in report.refused} == {"refuses": "it is a Tuesday"}
    failed = {row.algorithm: row.reason for row in report.failed}
    assert failed["raises"] == "raised RuntimeError: out of luck"
    assert failed["wrong"].startswith("wrong result: the largest |error| is 1")


def test_broken_algorithm_is_a_failure(stubs):
    class Broken(Stub):
        def cost(self, problem):
            return 1 / 0

    report = bench([*stubs(Broken("broken")), *stubs(Stub())])
    assert [row.algorithm for row in report.timed] == ["stub"]
    assert report.failed[0].reason == "its cost() raised ZeroDivisionError: division by zero"


def test_an_element_that_is_not_written_is_a_failure(stubs):
    class Forgetful(Stub):
        def run(self, problem, operands, state, workspace, out, ctx):
            before = out[0, 0, 0, 0].copy()
            super().run(problem, operands, state, workspace, out, ctx)
            out[0, 0, 0, 0] = before

    assert bench(stubs(Forgetful())).failed


def test_thread_counts_share_one_run(stubs):
    seen = []

    class Counting(Stub):
        def run(self, problem, operands, state, workspace, out, ctx):
            seen.append(ctx.threads)
            super().run(problem, operands, state, workspace, out, ctx)

    reports = compare(SMALL, names=stubs(Counting()), threads=(1, 2), min_time=0.001, measure_peak=lambda n, dtype: n)
    assert [(report.threads, report.peak, len(report.timed)) for report in reports] == [(1, 1, 1), (2, 2, 1)]
    turns = [n for i, n in enumerate(seen) if i == 0 or seen[i - 1] != n]
    assert turns[:4] == [1, 2, 1, 2]  # the first calls, then a round


def test_a_peer_may_get_another_layout(stubs, only_peer):
    class Last(Stub):
        def why_not(self, problem):
            return None if problem.layout == "channels_last" else "channels_last only"

    name = only_peer(Last("last"))
    (report,) = compare(SMALL, names=stubs(Stub()), peers=[name], min_time=0.001, layouts={name: "channels_last"})
    assert {row.algorithm for row in report.timed} == {"stub", "last"}
    assert report.problem.layout == "channels_first"


def test_weights_prepared_in_each_call_but_not_a_peers(stubs, only_peer):
    class Counting(Stub):
        prepared_so_far = runs = 0

        def prepare(self, problem, weight, ctx):
            self.prepared_so_far += 1
            return super().prepare(problem, weight, ctx)

        def run(self, *arguments):
            self.runs += 1
            super().run(*arguments)

    own, peer = Counting("own"), Counting("peer")
    (report,) = compare(SMALL, names=stubs(own), peers=[only_peer(peer)], min_time=0.001, prepared=False)
    assert len(report.timed) == 2
    assert not report.prepared
    assert own.prepared_so_far == own.runs > 1
    assert peer.prepared_so_far == 1


@pytest.mark.parametrize("direction", ["forward", "backward_weights"])
def test_what_allocates_its_result_is_timed_without_the_copy(stubs, direction):
    class Allocating(Stub):
        def compute(self, problem, operands, state, ctx):
            self.seen = problem, operands, ctx.threads
            return state

    problem = SMALL.replace(direction=direction)
    algorithm = Allocating()
    (name,) = stubs(algorithm)
    row, call = Case.of(problem).first(name, "cpu", 2)
    assert row.accuracy.ok
    assert (call() is None) == (direction == "backward_weights")
    assert algorithm.seen[0] == problem
    assert len(algorithm.seen[1]) == 2
    assert algorithm.seen[2] == 2


def test_unknown_name_is_refused_before_anything_runs(stubs):
    with pytest.raises(UnsupportedError, match="Did you mean 'stubby'"):
        bench([*stubs(Stub("stubby")), "stuby"])


def test_auto_is_one_of_the_algorithms(stubs):
    stubs(Stub("quick-stub", seconds=1e-12))
    report = bench(["auto"])
    assert report.auto == "quick-stub"
    assert [row.algorithm for row in report.rows] == ["quick-stub"]


def test_report_fits_80_columns_and_says_everything(stubs):
    names = stubs(
        Stub("a-name-of-20-letters", workspace_elements=300_000), Stub("prepares", prepared_elements=1000),
        Stub("states-nothing", stated=False), Stub("wrong", off=1),
        Stub("refuses", refusal="of [every] kind of reason, at a length that does not fit into a line, " * 3),
    )  # fmt: skip
    text = rendered(bench(names))
    assert max(map(len, text.splitlines())) <= 80
    assert "a-name-of-20-letters" in text
    assert "1.14 MiB" in text
    assert "prepares 3.91 KiB" in text
    assert "* states no bound on its error" in text
    assert "of [every] kind" in text
    assert "FMA peak: 100 GFLOP/s on 1 thread" in text
    assert "…" not in text
    assert " ".join(text.partition("rerun with:\n")[2].replace("\\\n", "").split()).startswith(
        "convlab bench mb2ic4ih6oc4oh6kh3ph1 --algorithm a-name-of-20-letters"
    )


def test_report_on_a_terminal_that_knows_ascii_only(stubs):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render(bench(stubs(Stub())), Console(file=file, width=80, highlight=False))
    file.flush()
    assert b"+-" in file.buffer.getvalue()


def test_json_has_every_number_and_no_infinity(stubs):
    names = stubs(Stub("right"), Stub("nan", off=math.nan))
    text = json.dumps(as_json(bench(names)), allow_nan=False)
    found = json.loads(text)
    assert found["problem"]["descriptor"] == SMALL.descriptor
    right, wrong = found["rows"]
    assert right["status"] == "ok"
    assert right["effective_flops"] == pytest.approx(2 * SMALL.macs / right["timing"]["median"])
    assert right["peak_fraction"] == pytest.approx(right["effective_flops"] / 1e11)
    assert wrong["status"] == "failed"
    assert wrong["accuracy"]["max_error"] is None
    assert wrong["timing"] is None


def test_rerun_line_is_quoted_and_folds():
    line = bench_command(
        SMALL.replace(activation="relu", has_bias=True), ["--image", "my photo's copy.png"],
        backend="cpu", algorithms=["direct"], peers=["torch"], threads=2, min_time=0.5,
    )  # fmt: skip
    words = shlex.split(line)
    assert words[:4] == ["convlab", "bench", "--image", "my photo's copy.png"]
    assert words[-4:] == ["--threads", "2", "--min-time", "0.5"]
    assert {"--bias", "--activation", "relu", "--algorithm", "--against"} <= set(words)
    for width in (20, 40, 80, 300):
        assert shlex.split(folded(line, width).replace("\\\n", "")) == words
    assert max(map(len, folded(line, 80).splitlines())) <= 80
