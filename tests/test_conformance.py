"""Every installed algorithm keeps every property; and each property catches an algorithm that breaks it."""

import itertools

import numpy as np
import pytest
from hypothesis import settings
from stubs import Honest

import convlab
from convlab import reference, registry
from convlab.problem import DIRECTIONS, DTYPES, LAYOUTS, join_shape
from convlab.testing import PROPERTIES, check, plain_problems

MAX_EXAMPLES = settings().max_examples
CPU = [name for name, _ in registry.algorithms("cpu")]


@pytest.mark.parametrize("wanted", PROPERTIES)
@pytest.mark.parametrize("name", CPU)
def test_algorithm_keeps_property(name, wanted):
    failures = check(name, properties=[wanted], max_examples=MAX_EXAMPLES)
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CPU)
def test_every_direction_and_layout_in_every_dtype(name, dtype):
    """None is left to chance: one channel and a kernel that reaches into the padding, and many channels."""
    algorithm = registry.get_algorithm(name, "cpu")
    for direction, layout in itertools.product(DIRECTIONS, LAYOUTS):
        plain = plain_problems((direction,), (dtype,), (layout,), (1, 2, 3))
        tiny = [
            convlab.ConvProblem.forward(
                join_shape(1, 1, (2,) * ndim, layout), (1, 1) + (2,) * ndim, padding=1, layout=layout, dtype=dtype,
                direction=direction,
            )
            for ndim in (1, 2, 3)
        ]  # fmt: skip
        for problem in (*tiny, *plain):
            if algorithm.why_not(problem) is None:
                PROPERTIES["equivalence"].holds(algorithm, problem, 0)
                PROPERTIES["strides"].holds(algorithm, problem, 0)


class OffByOneTap(Honest):
    def prepare(self, problem, weight, ctx):
        return np.roll(weight, 1, axis=-1)


class IgnoresBias(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        if problem.has_bias:
            problem, operands = problem.replace(has_bias=False), (operands[0], None)
        super().run(problem, operands, state, workspace, out, ctx)


class WritesBesideOut(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        base = out
        while base.base is not None:
            base = base.base
        before = out.ctypes.data - base.ctypes.data - 1
        if before >= 0 and base.dtype == np.uint8:  # stay inside the kit's own memory
            base[before] += 1


class ModifiesInput(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        operands[0][...] = 0


class KeepsTheWeights(Honest):
    def prepare(self, problem, weight, ctx):
        return weight


class ReadsItsWorkspace(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        out += workspace["scratch"][0, 0]


class AddsToOut(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        result = np.zeros_like(out)
        super().run(problem, operands, state, workspace, result, ctx)
        out += result


class DependsOnThreads(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        if ctx.threads == 3 and problem.dtype == np.float32:
            out[...] = np.nextafter(out, np.float32(np.inf))


class SpreadsNaN(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        if np.isnan(operands[0]).any():
            out[...] = np.nan


class SwallowsNaN(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        if out.dtype.kind == "f":
            out[np.isnan(out)] = 0


class WrongOnStrideTwo(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        if 2 in problem.stride:
            out[..., -1] += 1


class ForgetsTheOddChannel(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        first = operands[0].copy()
        if problem.direction == "forward" and problem.in_channels % 2:
            first[(..., -1) if problem.layout == "channels_last" else (slice(None), -1)] = 0
        super().run(problem, (first, operands[1]), state, workspace, out, ctx)


class MixesImages(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        if problem.direction == "forward" and problem.batch > 1:
            out[0] = out[1]


class RoundsTooEarly(Honest):
    """Exact to half precision only, though it claims float32's."""

    def prepare(self, problem, weight, ctx):
        return weight.astype(np.float16).astype(problem.dtype) if problem.dtype == np.float32 else weight.copy()


class Saturates(Honest):
    """Integers clip where they should wrap."""

    def run(self, problem, operands, state, workspace, out, ctx):
        if problem.dtype.kind != "i" or problem.direction == "backward_weights":
            return super().run(problem, operands, state, workspace, out, ctx)
        wide = problem.replace(dtype=np.dtype(np.float64), activation=None)
        info = np.iinfo(problem.dtype)
        exact = reference.solve(wide, operands[0], state, operands[1])
        clipped = np.clip(exact, info.min, info.max, dtype=np.float64).astype(problem.dtype)
        out[...] = reference.activate(clipped, problem.activation)


class Raises(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        if problem.layout == "channels_last":
            raise RuntimeError("no such kernel")
        super().run(problem, operands, state, workspace, out, ctx)


class RefusesEverything(Honest):
    def why_not(self, problem):
        return "it is Sunday"


def test_honest_algorithm_passes_everything(registered):
    outcomes = []
    assert check(registered(Honest()), max_examples=25, on_progress=outcomes.append) == []
    assert [outcome.property for outcome in outcomes] == list(PROPERTIES)
    assert all(outcome.examples >= 25 for outcome in outcomes)


@pytest.mark.parametrize(
    ("fault", "caught_by"),
    [
        (OffByOneTap, "equivalence"),
        (OffByOneTap, "delta_kernel"),
        (IgnoresBias, "equivalence"),
        (WritesBesideOut, "guard_bands"),
        (ModifiesInput, "inputs_unchanged"),
        (KeepsTheWeights, "guard_bands"),
        (ReadsItsWorkspace, "guard_bands"),
        (AddsToOut, "guard_bands"),
        (AddsToOut, "out"),
        (DependsOnThreads, "threads"),
        (SpreadsNaN, "nonfinite"),
        (SwallowsNaN, "nonfinite"),
        (WrongOnStrideTwo, "equivalence"),
        (ForgetsTheOddChannel, "equivalence"),
        (ForgetsTheOddChannel, "exact_integers"),
        (MixesImages, "batch_independence"),
        (RoundsTooEarly, "equivalence"),
        (Saturates, "linearity"),
        (Saturates, "equivalence"),
        (Raises, "strides"),
        (RefusesEverything, "unbatched"),
    ],
)
def test_fault_is_caught(registered, fault, caught_by):
    (failure,) = check(registered(fault()), properties=[caught_by], max_examples=200)
    assert failure.property == caught_by
    assert failure.rerun == f"convlab check stub --backend cpu --property {caught_by} --seed 0 --max-examples 200"


def test_failure_is_the_smallest_problem(registered):
    (failure,) = check(registered(WrongOnStrideTwo()), properties=["equivalence"], max_examples=200)
    problem = failure.problem
    assert 2 in problem.stride
    assert (problem.batch, problem.groups, problem.padding_mode, problem.activation) == (1, 1, "zeros", None)
    assert max(problem.in_size + problem.kernel) <= 2
    assert "allowed" in failure.message
    (failure,) = check(registered(ForgetsTheOddChannel()), properties=["equivalence"], max_examples=200)
    assert (failure.problem.in_channels, failure.problem.out_channels, failure.problem.macs) == (1, 1, 1)


def test_failure_names_an_error_of_the_algorithm(registered):
    (failure,) = check(registered(Raises()), properties=["equivalence"], max_examples=100)
    assert failure.message == "RuntimeError: no such kernel"
    assert failure.problem.layout == "channels_last"
    assert failure.rerun in str(failure)


def test_failure_that_comes_and_goes_is_told(registered):
    class Moody(Honest):
        calls = 0

        def run(self, problem, operands, state, workspace, out, ctx):
            super().run(problem, operands, state, workspace, out, ctx)
            Moody.calls += 1
            if Moody.calls == 20:
                out[...] += 1

    (failure,) = check(registered(Moody()), properties=["equivalence"], max_examples=100)
    assert failure.message.endswith("(on some runs only)")


def test_algorithm_that_accepts_little_is_still_tried(registered):
    class OnlyDepthwiseThree(Honest):
        def why_not(self, problem):
            wanted = problem.groups == problem.in_channels > 1 and problem.kernel == (3, 3) and problem.stride == (1, 1)
            return None if wanted and problem.dtype == np.float32 and problem.direction == "forward" else "no"

    outcomes = []
    assert check(registered(OnlyDepthwiseThree()), max_examples=20, on_progress=outcomes.append) == []
    assert all(outcome.examples >= 20 for outcome in outcomes)


def test_property_about_something_else_is_not_counted(registered):
    class OnlyIntegers(Honest):
        def why_not(self, problem):
            return None if problem.dtype == np.int16 else "integers only"

    outcomes = []
    assert check(registered(OnlyIntegers()), max_examples=5, on_progress=outcomes.append) == []
    examples = {outcome.property: outcome.examples for outcome in outcomes}
    assert examples["nonfinite"] == examples["exact_integers"] == 0
    assert examples["equivalence"] >= 5


def test_same_seed_tries_the_same_problems(registered):
    def tried(seed):
        class Recorder(Honest):
            def run(self, problem, *others):
                seen.append(problem)
                super().run(problem, *others)

        seen = []
        assert check(registered(Recorder()), properties=["equivalence"], max_examples=10, seed=seed) == []
        return seen

    assert tried(1) == tried(1) != tried(2)


class DependsOnMuchMore(Honest):
    def run(self, problem, operands, state, workspace, out, ctx):
        super().run(problem, operands, state, workspace, out, ctx)
        if ctx.threads == 3 and problem.dtype == np.float32:
            out += 1


def test_peer_may_differ_in_the_last_bits_but_not_by_more(only_peer):
    only_peer(DependsOnThreads())
    assert check("stub", properties=["threads"], max_examples=200) == []
    only_peer(DependsOnMuchMore())
    (failure,) = check("stub", properties=["threads"], max_examples=200)
    assert "allowed" in failure.message


@pytest.mark.parametrize("method", ["why_not", "cost", "workspace", "prepared", "error_model"])
def test_algorithm_that_raises_when_asked_fails(registered, method):
    def ask(self, problem, *others):
        if problem.dtype == np.float64:
            raise TypeError("not that")
        return getattr(super(Asked, self), method)(problem, *others)

    Asked = type("Asked", (Honest,), {method: ask})
    (failure,) = check(registered(Asked()), properties=["exact_integers"], max_examples=100)
    assert failure.message == f"its {method}() raised TypeError: not that"
    assert failure.problem.dtype == np.float64


def test_unknown_names(registered):
    with pytest.raises(convlab.UnsupportedError, match="Valid are 'auto'"):
        check("no-such-algorithm")
    registered(Honest())
    with pytest.raises(convlab.ProblemError, match="property='equivalency' is unknown; valid are 'equivalence'"):
        check("stub", properties=["equivalency"])
