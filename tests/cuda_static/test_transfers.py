"""Copies apart, and overlapped: right on the emulated device, which has one kind of memory and no streams."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from convlab import ConvProblem, arrays, reference
from convlab.arrays import using
from convlab.arrays.emulated import Emulated
from convlab.bounds import componentwise
from convlab.emulator import Device
from convlab.harness import benchmark, render, transfers
from convlab.harness.report import as_json
from convlab.testing import operands
from convlab.testing.judge import assert_within

PROBLEM = ConvProblem.from_descriptor("mb6ic4ih6oc4oh6kh3ph1", has_bias=True)


class Recording(Emulated):
    """It gives its streams names, and keeps what was queued on which."""

    def __init__(self, device):
        super().__init__(device)
        self.queued, self.streams = [], iter("ab")

    def stream(self, asked, first):
        return asked

    def new_stream(self):
        return next(self.streams)

    def send(self, values, array, stream=None):
        self.queued.append(("send", stream))
        super().send(values, array)

    def fetch(self, array, values, stream=None):
        self.queued.append(("fetch", stream))
        super().fetch(array, values)


@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_whole_call(direction, layout, pieces):
    """All pieces are computed, each in its place; neighbouring ones on different streams."""
    problem = replace(PROBLEM, direction=direction, layout=layout)
    given, on = operands(problem, 1), Recording(Device())
    result = np.full(problem.result_shape, np.nan, np.float32)
    call = transfers.whole_call(problem, list(given), result, on, "direct", pieces)
    for _ in range(2):  # the second finds the buffers used
        result[...] = np.nan
        on.queued.clear()
        call()
        expected = reference.solve(problem, *given)
        assert_within(result, expected, componentwise(problem).bound(problem, given))
    assert on.queued == [(what, "ab"[piece % 2]) for piece in range(pieces) for what in ("send", "fetch")]


@pytest.mark.parametrize(("batch", "pieces"), [(1, 1), (2, 2), (6, 6), (7, 7), (8, 4), (30, 5), (32, 4)])
def test_pieces(batch, pieces):
    found = transfers.measure(PROBLEM.replace(batch=batch), operands(PROBLEM.replace(batch=batch), 1),
                              arrays.of("cuda", Device().empty(1, np.float32)), None, 1e-4)  # fmt: skip
    assert found.pieces == pieces
    assert found.overlapped is None


def test_report():
    with using(Device()):
        report = benchmark(PROBLEM, names=["direct"], min_time=1e-3, threads=1, backend="cuda")
    found = as_json(report)["transfers"]
    assert (found["algorithm"], found["pieces"]) == ("direct", 6)
    assert min(*found["pageable"], *found["pinned"], found["in_turn"], found["overlapped"]) > 0
    console = Console(width=80, record=True, file=io.StringIO())
    render(report, console)
    text = " ".join(console.export_text().split())
    assert "Overlapped with direct, the batch in 6 pieces on two streams: a whole call takes" in text


def test_gradient_of_the_weights_is_not_cut():
    """It is summed up over the batch."""
    with using(Device()):
        problem = PROBLEM.replace(direction="backward_weights", has_bias=False)
        report = benchmark(problem, names=["direct"], min_time=1e-3, threads=1, backend="cuda")
    assert report.transfers.pieces == 1
    assert report.transfers.overlapped is None
