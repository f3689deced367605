"""rank and pick: one list of candidates, its order, and the words of its refusals."""

import numpy as np
import pytest
from stubs import Honest

import convlab
from convlab import ConvProblem, ProblemError, UnsupportedError, bounds, nominal, registry, select

PROBLEM = ConvProblem.from_descriptor("mb1ic64ih56oc64oh56kh3ph1")


class Priced(Honest):
    """Costs a number of flops."""

    flops = 1e9

    def cost(self, problem):
        return convlab.Cost((convlab.Stage("multiply", self.flops, 1e3),))


@pytest.fixture
def only(monkeypatch):
    """Make these the only algorithms there are."""

    def use(*algorithms):
        monkeypatch.setattr(registry, "available", lambda backend: algorithms)

    return use


def named(name, base=Priced, **attributes):
    return type(name, (base,), {"name": name, **attributes})()


def test_order_is_by_estimate_then_unpriced_then_refused(only):
    slow, fast = named("slow", flops=2e9), named("fast", flops=1e9)
    unpriced, unbounded = named("unpriced", Honest), named("unbounded", error_model=lambda self, problem: None)
    refusing = named("refusing", why_not=lambda self, problem: "no")
    only(refusing, unpriced, slow, unbounded, fast)
    ranked = select.rank(PROBLEM)
    assert [c.name for c in ranked] == ["fast", "slow", "unbounded", "unpriced", "refusing"]
    assert [c.reason for c in ranked] == [None] * 4 + ["no"]
    assert select.pick(ranked, PROBLEM).name == "fast"


def test_auto_never_picks_what_states_no_cost_or_no_bound(only):
    only(named("unpriced", Honest), named("unbounded", error_model=lambda self, problem: None))
    with pytest.raises(UnsupportedError, match="no algorithm can run mb1ic64.*unpriced: states no cost or no error"):
        select.pick(select.rank(PROBLEM), PROBLEM)


@pytest.mark.parametrize(
    ("accuracy", "admitted"),
    [("componentwise", {"strict"}), ("normwise", {"strict", "norm"}), ("reduced", {"strict", "norm", "loose"})],
)
def test_accuracy_admits_what_is_at_least_as_strict(only, accuracy, admitted):
    def model(kind):
        return lambda self, problem: convlab.ErrorModel(kind, bounds.normwise(problem).bound)

    only(named("strict"), named("norm", error_model=model("normwise")), named("loose", error_model=model("reduced")))
    ranked = select.rank(PROBLEM, accuracy=accuracy)
    assert {c.name for c in ranked if c.reason is None} == admitted
    assert all("its error is bounded" in c.reason for c in ranked if c.name not in admitted)


def test_limit_covers_workspace_and_prepared_weights(only):
    prepared = {"packed": convlab.ArraySpec((100,), np.dtype(np.float32))}
    only(named("packing", prepared=lambda self, problem: prepared))
    (candidate,) = select.rank(PROBLEM, workspace_limit=427, threads=1)
    assert (candidate.workspace_bytes, candidate.prepared_bytes) == (28, 400)
    assert candidate.reason == "needs 428 bytes (workspace and prepared weights), workspace_limit is 427"
    assert select.rank(PROBLEM, workspace_limit="1KiB")[0].reason is None


@pytest.mark.parametrize("method", ["why_not", "cost", "workspace", "prepared", "error_model"])
def test_what_raises_is_out_and_harms_nothing(only, method):
    def ask(self, *arguments):
        raise TypeError("not that")

    only(named("broken", **{method: ask, "flops": 1}), named("fine"))
    fine, broken = select.rank(PROBLEM)
    assert (broken.name, broken.reason) == ("broken", f"its {method}() raised TypeError: not that")
    assert isinstance(broken.error, TypeError)
    assert select.pick([broken, fine], PROBLEM) is fine
    with pytest.raises(UnsupportedError, match=rf"broken: its {method}\(\) raised TypeError: not that"):
        select.pick([broken], PROBLEM)


def test_error_of_unknown_kind(only):
    only(named("exact", error_model=lambda self, problem: convlab.ErrorModel("exact", None)))
    (candidate,) = select.rank(PROBLEM)
    assert "its error_model() raised ProblemError: kind='exact' is unknown; valid are 'comp" in candidate.reason


def test_memory_of_a_peer_is_unknown(only_peer):
    only_peer(Honest())
    assert select.named("stub", PROBLEM).workspace_bytes is None
    with pytest.raises(UnsupportedError, match="what memory another library takes is unknown, workspace_limit is 64"):
        select.named("stub", PROBLEM, workspace_limit=64)


def test_nominal_flops_of_a_dtype_are_those_of_its_accumulator():
    rates = [nominal.nominal_flops(np.dtype(name)) / 1e9 for name in ("f4", "f8", "f2", "c8", "c16", "i1")]
    assert rates == [100, 50, 100, 100, 50, 400]


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 * 2**20), ("1.5 kB", 1500), ("12", 12), ("7B", 7), ("2GiB", 2**31), (0, 0), (None, None)],
)
def test_sizes(text, size):
    assert select.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["much", "", "5 apples", "MiB", -1, "-1MiB"])
def test_sizes_refused(text):
    with pytest.raises(ProblemError, match="workspace_limit="):
        select.parse_bytes(text)


def test_unknown_accuracy(only):
    only(named("one"))
    with pytest.raises(ProblemError, match="accuracy='exact' is unknown; valid are 'componentwise', 'normwise', 'red"):
        select.rank(PROBLEM, accuracy="exact")
    with pytest.raises(ProblemError, match="accuracy='exact' is unknown"):
        select.named("one", PROBLEM, accuracy="exact")


def test_cost_adds_up():
    cost = convlab.Cost((convlab.Stage("pack", 0, 1e9), convlab.Stage("multiply", 4e9, 1e6, efficiency=0.5)))
    assert (cost.flops, cost.bytes) == (4e9, 1.001e9)
    assert cost.seconds(1e9, 1e9) == 1 + 8
