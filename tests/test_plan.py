"""Plan: what a call accepts, what it refuses, and what is done once."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stubs import Honest

import convlab
from convlab import ConvProblem, DTypeError, ProblemError, UnsupportedError, reference, select
from convlab.arrays import HOST
from convlab.plan import Plan, make_plan, resolve_threads
from convlab.testing import operands, problems

PROBLEM = ConvProblem.forward((2, 3, 5, 6), (4, 3, 3, 2), has_bias=True, padding=1)


def plan_of(problem, arrays, algorithm=None, **options):
    candidate = select.consider(algorithm or Honest(), problem, convlab.Context(threads=2))
    weight, bias = (None, None) if problem.direction == "backward_weights" else arrays[1:]
    return Plan(problem, candidate, weight, bias, threads=2, **options)


@pytest.fixture
def arrays():
    return operands(PROBLEM, 0)


@given(problems(), st.integers(0, 100))
def test_every_direction(problem, seed):
    arrays = operands(problem, seed)
    plan = plan_of(problem, arrays)
    result = plan(arrays if problem.direction == "backward_weights" else arrays[0])
    assert result.dtype == problem.dtype
    assert result.shape == problem.result_shape
    with np.errstate(over="ignore"):
        expected = reference.solve(problem, *arrays).astype(problem.dtype)
    assert np.allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_attributes(arrays):
    plan = plan_of(PROBLEM, arrays)
    assert plan.algorithm == "stub"
    assert plan.problem is PROBLEM
    assert plan.threads == 2
    assert plan.workspace_bytes == 2 * 7 * 4
    assert plan.prepared_bytes == 0
    assert repr(plan) == f"<Plan stub: {PROBLEM}>"


def test_weights_and_bias_are_copied_and_prepared_once(arrays):
    class Counting(Honest):
        prepared_times = 0

        def prepare(self, problem, weight, ctx):
            Counting.prepared_times += 1
            return super().prepare(problem, weight, ctx)

    x, w, bias = arrays
    plan = plan_of(PROBLEM, arrays, Counting())
    before = plan(x)
    w[...], bias[...] = 0, 0
    assert np.array_equal(plan(x), before)
    assert Counting.prepared_times == 1


def test_out_is_filled_and_returned(arrays):
    plan = plan_of(PROBLEM, arrays)
    expected = plan(arrays[0])
    out = np.full(PROBLEM.y_shape[::-1], np.nan, np.float32).T
    assert plan(arrays[0], out=out) is out
    assert np.array_equal(out, expected)


def test_out_of_bytes_between_items_is_filled(arrays):
    """Strides that are no whole number of elements: no kernel can write there, the plan copies."""
    record = np.zeros(PROBLEM.y_shape, np.dtype([("pad", "u1"), ("value", "f4")]))
    plan = plan_of(PROBLEM, arrays)
    plan(arrays[0], out=record["value"])
    assert np.array_equal(record["value"], plan(arrays[0]))
    assert not record["pad"].any()


def test_unbatched(arrays):
    problem = PROBLEM.replace(batch=1)
    plan = plan_of(problem, arrays, unbatched=True)
    x, out = arrays[0][0], np.empty(problem.y_shape[1:], np.float32)
    result = plan(x)
    assert result.shape == out.shape
    assert plan(x, out=out) is out
    assert np.array_equal(result, out)
    with pytest.raises(ProblemError, match=r"x has shape \(1, 3, 5, 6\); it must be \(3, 5, 6\)"):
        plan(x[None])


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (lambda x: np.empty((2, 4, 5, 8), "f4"), ProblemError, r"out has shape .*8\); it must be \(2, 4, 5, 7\)"),
        (lambda x: np.empty((2, 4, 5, 7), "f8"), DTypeError, "out has dtype float64; it must be float32"),
        (lambda x: np.empty((2, 4, 5, 7), ">f4"), DTypeError, "out has dtype >f4; it must be float32"),
        (lambda x: [[]], ProblemError, "out must be a NumPy array, not list"),
        (lambda x: np.broadcast_to(np.float32(0), (2, 4, 5, 7)), ProblemError, "out is read-only"),
    ],
)  # fmt: skip
def test_out_is_refused(arrays, out, error, message):
    with pytest.raises(error, match=message):
        plan_of(PROBLEM, arrays)(arrays[0], out=out(arrays[0]))


def test_overlap_is_refused():
    problem = ConvProblem.forward((1, 1, 8), (1, 1, 1))
    memory = np.zeros(17, np.float32)
    plan = plan_of(problem, operands(problem, 0))
    x = memory[:16:2].reshape(1, 1, 8)
    with pytest.raises(ProblemError, match="out overlaps x in memory; give it memory of its own"):
        plan(x, out=x)
    with pytest.raises(ProblemError, match="out overlaps x"):
        plan(x, out=memory[:8].reshape(1, 1, 8))
    plan(x, out=memory[1::2].reshape(1, 1, 8))  # interleaved, but not one element shared


def test_overlap_with_a_gradient_is_refused():
    problem = ConvProblem.forward((1, 1, 4), (1, 1, 4), padding=((0, 3),), direction="backward_weights")
    x, grad = operands(problem, 0)
    with pytest.raises(ProblemError, match="out overlaps grad_output"):
        plan_of(problem, (x, grad))((x, grad), out=grad)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 3, 5, 5), "f4"), ProblemError, r"x has shape \(2, 3, 5, 5\); it must be \(2, 3, 5, 6\)"),
        (np.zeros((2, 3, 5, 6), "f8"), DTypeError, "x is float64, which does not cast safely to .* float32"),
        (np.zeros((2, 3, 5, 6), "c8"), DTypeError, "x is complex64"),
        (np.zeros((2, 3, 5, 6), "O"), DTypeError, "x is object"),
    ],
)
def test_input_is_refused(arrays, x, error, message):
    with pytest.raises(error, match=message):
        plan_of(PROBLEM, arrays)(x)


def test_what_casts_safely_is_taken(arrays):
    plan = plan_of(PROBLEM, arrays)
    x = np.arange(180, dtype=np.uint8).reshape(PROBLEM.x_shape)
    expected = plan(x.astype(np.float32))
    for same in (x, x.tolist(), x.astype(np.float16), x.astype(">f4"), x.astype("f4")[..., ::-1][..., ::-1]):
        if isinstance(same, list):
            same = np.array(same, np.int16)
        assert np.array_equal(plan(same), expected)


@pytest.mark.parametrize(
    ("bias", "error", "message"),
    [
        (np.zeros(3), ProblemError, r"bias has shape \(3,\); it must be \(4,\)"),
        (np.zeros((4, 1)), ProblemError, r"bias has shape \(4, 1\); it must be \(4,\)"),
        (np.zeros(4, complex), DTypeError, "bias is complex128, which has no meaning in a float32 convolution"),
        (np.zeros(4, bool), DTypeError, "bias is bool"),
    ],
)
def test_bias_is_refused(arrays, bias, error, message):
    with pytest.raises(error, match=message):
        plan_of(PROBLEM, (arrays[0], arrays[1], bias))


def test_bias_is_cast(arrays):
    x, w, bias = arrays
    expected = plan_of(PROBLEM, (x, w, bias))(x)
    assert np.array_equal(plan_of(PROBLEM, (x, w, bias.astype(np.float64)))(x), expected)


def test_empty_result_never_reaches_the_algorithm():
    class Unreachable(Honest):
        def run(self, *arguments):
            raise AssertionError

    for problem in (PROBLEM.replace(batch=0), PROBLEM.replace(out_channels=0)):
        arrays = operands(problem, 0)
        assert plan_of(problem, arrays, Unreachable())(arrays[0]).shape == problem.y_shape


def test_one_call_at_a_time():
    inside, most, gate = [], [], threading.Event()

    class Watching(Honest):
        def run(self, *arguments):
            inside.append(1)
            most.append(len(inside))
            gate.wait(0.05)
            inside.pop()

    arrays = operands(PROBLEM, 0)
    plan = plan_of(PROBLEM, arrays, Watching())
    calls = [threading.Thread(target=plan, args=(arrays[0],)) for _ in range(3)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert most == [1, 1, 1]


def test_separate_plans_run_side_by_side():
    together = threading.Barrier(2, timeout=10)

    class Meeting(Honest):
        def run(self, *arguments):
            together.wait()

    arrays = operands(PROBLEM, 0)
    plans = [plan_of(PROBLEM, arrays, Meeting()) for _ in range(2)]
    calls = [threading.Thread(target=plan, args=(arrays[0],)) for plan in plans]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert not together.broken


def test_a_call_that_fails_frees_the_plan():
    class Failing(Honest):
        def run(self, *arguments):
            raise MemoryError

    arrays = operands(PROBLEM, 0)
    plan = plan_of(PROBLEM, arrays, Failing())
    for _ in range(2):
        with pytest.raises(MemoryError):
            plan(arrays[0])


def test_workspace_limit(registered):
    name = registered(Honest())
    _, w, bias = operands(PROBLEM, 0)
    options = {"algorithm": name, "threads": 2}
    assert make_plan(PROBLEM, w, bias, workspace_limit=56, **options).workspace_bytes == 56
    with pytest.raises(
        UnsupportedError, match="algorithm='stub' cannot run .* needs 56 bytes .* workspace_limit is 55"
    ):
        make_plan(PROBLEM, w, bias, workspace_limit=55, **options)


def test_named_algorithm_never_falls_back(registered):
    class Choosy(Honest):
        def why_not(self, problem):
            return "only on Sundays"

    with pytest.raises(UnsupportedError, match="algorithm='stub' cannot run .*: only on Sundays"):
        make_plan(PROBLEM, *operands(PROBLEM, 0)[1:], algorithm=registered(Choosy()))


def test_workspace_starts_on_a_cache_line():
    for dtype in (np.float16, np.complex128):
        array = HOST.allocate(convlab.ArraySpec((3, 5), np.dtype(dtype), per_thread=True), 2)
        assert array.shape == (2, 3, 5)
        assert array.ctypes.data % 64 == 0


def test_threads_by_default(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    assert resolve_threads(None) >= 1
    assert resolve_threads(3) == 3
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert resolve_threads(None) == 1
    with pytest.raises(ProblemError, match="threads must be at least 1, not 0"):
        resolve_threads(0)
