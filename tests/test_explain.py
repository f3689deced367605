"""`Plan.explain()` and `convlab explain`: what is said of a choice, and the numbers in it."""

import pytest
from fakes import Stub, registering

from convlab import ConvProblem, Cost
from convlab.explain import explanation
from convlab.select import rank
from convlab.units import in_bytes, in_words, memory, plural, short

VGG = ConvProblem.from_descriptor("mb1ic64ih224oc64oh224kh3ph1")


@pytest.fixture
def stubs():
    with registering() as register:
        yield register


def test_explanation_reads_from_problem_to_refusals(stubs):
    stubs(
        Stub("stub-a", seconds=1e-9, workspace_elements=5000), Stub("stub-b", seconds=2e-9),
        Stub("stub-c", seconds=None), Stub("stub-d", stated=False),
        Stub("stub-e", refusal="no reason " * 20),
    )  # fmt: skip
    candidates = [c for c in rank(VGG) if c.name.startswith("stub-")]
    text = explanation(VGG, candidates, "stub-a")
    flat = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "1.85 billion multiply-adds" in flat
    assert "arithmetic is what bounds this problem" in flat
    assert "2.00 times as fast as stub-b, the next. It needs 19.5 KiB of workspace." in flat
    assert "not stated" in text
    assert "unknown" in text
    assert "stub-e: no reason no reason" in text
    positions = [
        flat.index(part) for part in ("1.85 billion", "stub-a is chosen", "estimate ms", "Where stub-a", "stub-e:")
    ]
    assert positions == sorted(positions)


def test_explanation_of_what_was_named(stubs):
    stubs(Stub("stub-a", seconds=1e-9), Stub("stub-b", seconds=3e-9), Stub("stub-c", seconds=None))
    candidates = [c for c in rank(VGG) if c.name.startswith("stub-")]
    assert "stub-b was named: by estimate it takes 3.00 times as long" in explanation(VGG, candidates, "stub-b")
    assert "stub-c was named; it states no cost" in explanation(VGG, candidates, "stub-c")
    assert "stub-a is the only candidate" in explanation(VGG, candidates[:1], "stub-a")


def test_explanation_of_a_problem_that_memory_bounds(stubs):
    stubs(Stub())
    depthwise = ConvProblem.from_descriptor("g96mb1ic96ih112oc96oh112kh3ph1")
    candidates = [c for c in rank(depthwise) if c.name == "stub"]
    assert "memory is what bounds this problem" in " ".join(explanation(depthwise, candidates, "stub").split())


def test_explanation_of_nothing(stubs):
    class Instant(Stub):
        def cost(self, problem):
            return Cost(())

    stubs(Instant("stub-a"), Instant("stub-b"), Stub("stub-c", seconds=1e-6))
    empty = ConvProblem.forward((0, 1, 8), (0, 1, 3))
    candidates = [c for c in rank(empty) if c.name.startswith("stub-")]
    assert "no slower than stub-b" in " ".join(explanation(empty, candidates, "stub-a").split())
    assert "1000000 times as long as stub-a" in " ".join(explanation(empty, candidates, "stub-c").split())


def test_units():
    assert [short(v) for v in (0, 0.0123, 0.9996, 1.234, 9.996, 45.67, 99.96, 12345.6)] == [
        "0.000", "0.012", "1.00", "1.23", "10.0", "45.7", "100", "12346",
    ]  # fmt: skip
    assert [in_bytes(n) for n in (0, 512, 1024, 1.5 * 2**20)] == ["0 B", "512 B", "1.00 KiB", "1.50 MiB"]
    assert [memory(n) for n in (None, 0, 1024)] == ["?", "-", "1.00 KiB"]
    assert [in_words(n) for n in (7, 230_400, 1_849_688_064)] == ["7", "230 thousand", "1.85 billion"]
    assert [plural(n, "thread") for n in (1, 2)] == ["1 thread", "2 threads"]
