"""Interleaved timing: every candidate in turn, round after round, in one process.

Ratios of times taken in one run are what a shared machine lets one trust, so no candidate is timed to the
end before the next begins: A B A B … A thread pool that waits for its next work spins, and so steals a
core from whoever comes after it; after a while it sleeps, and wakes slowly. Every turn therefore begins
with untimed calls of the same candidate.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

# After 100 ms of untimed calls, pools that had slept reach again the rate that they have alone in a process
# (measured with torch's: 8 GFLOP/s directly after a pause of 10 ms, 83-89 after this).
LEAD_IN = 0.1
# Turns into which a candidate's time is divided, so that a disturbance of the machine meets all of them. Fewer where
# a turn would be shorter than its lead-in; never one alone.
ROUNDS, MIN_ROUNDS = 5, 2
# What a median and its quartiles need at the least.
MIN_CALLS = 3

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """Seconds a call: the median and the quartiles of all timed calls, and how many these were."""

    median: float
    low: float
    high: float
    calls: int

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, in seconds."""
        return (self.high - self.low) / 2


def interleave(
    candidates: Mapping[Name, Callable[[], object]],
    min_time: float = 1.0,
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_turn: Callable[[Name, float], None] = lambda name, fraction: None,
) -> dict[Name, Timing]:
    """Time zero-argument callables against each other, at least `min_time` seconds and MIN_CALLS calls each.

    Each round gives every candidate a turn: untimed calls for LEAD_IN seconds, then timed ones for a
    ROUNDS-th of min_time, or for LEAD_IN if that is longer. Where min_time has no MIN_ROUNDS such turns, they and
    the untimed calls are shorter: such times are good for a smoke test only. Every second round goes backwards,
    so that nobody has the same candidate before it each time. A candidate one call of which fills min_time needs
    no lead-in: it is its own.
    on_turn(name, fraction of all the time done) is called before each turn, untimed.
    """
    turn = min(max(min_time / ROUNDS, LEAD_IN), min_time / MIN_ROUNDS)
    samples: dict[Name, list[float]] = {name: [] for name in candidates}
    pending, forwards = list(candidates), True
    while pending:
        for name in tuple(pending if forwards else reversed(pending)):
            own, call = samples[name], candidates[name]
            on_turn(name, 1 - sum(_left(samples[n], min_time) for n in pending) / len(candidates))
            if not own or own[-1] < min_time:
                _call_for(call, min(LEAD_IN, turn), clock)
            own += _call_for(call, turn, clock)
            if sum(own) >= min_time and len(own) >= MIN_CALLS:
                pending.remove(name)
        forwards = not forwards
    return {name: summary(own) for name, own in samples.items()}


def summary(samples: list[float]) -> Timing:
    """The median and the quartiles of a list of seconds."""
    low, median, high = (float(q) for q in np.quantile(samples, (0.25, 0.5, 0.75)))
    return Timing(median, low, high, len(samples))


def _left(samples: list[float], min_time: float) -> float:
    """The fraction of its time that a candidate has yet to get."""
    return max(1 - sum(samples) / min_time, 0.0) if min_time else 0.0


def _call_for(call: Callable[[], object], seconds: float, clock: Callable[[], float]) -> list[float]:
    """Call until `seconds` are spent in it, once at least; the seconds of each call."""
    spent: list[float] = []
    total = 0.0
    while not spent or total < seconds:
        start = clock()
        call()
        spent.append(clock() - start)
        total += spent[-1]
    return spent
