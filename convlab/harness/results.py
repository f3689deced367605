"""What a benchmark found: one Row an algorithm, and the Report that holds them."""

from dataclasses import dataclass
from typing import Literal

from ..problem import ConvProblem
from .accuracy import Accuracy
from .machine import Machine
from .timing import Timing
from .transfers import Transfers


@dataclass(frozen=True)
class Row:
    """One algorithm on the problem.

    status "ok": checked and timed, every number is there. "refused": it cannot run the problem or is not
    installed, `reason` says why. "failed": it raised, or its result is outside its bound; `reason` says which.
    first_call is in seconds: preparing the weights, compiling, and one run. peer: it is another library, and what
    workspace it takes is unknown (None).
    """

    algorithm: str
    status: Literal["ok", "refused", "failed"]
    peer: bool = False
    reason: str | None = None
    timing: Timing | None = None
    first_call: float | None = None
    accuracy: Accuracy | None = None
    workspace_bytes: int | None = 0
    prepared_bytes: int = 0


@dataclass(frozen=True)
class Report:
    """Every row of one problem, the fastest first, then failures, then refusals; and how it was measured.

    flops: operations of the direct algorithm. peak: FMA operations a second at this number of threads, measured
    in the same run; None for integers. prepared: whether algorithms got the weights ahead of the timed calls.
    others: processors that other processes kept busy meanwhile, None where unknown. auto: the algorithm that "auto"
    takes. rerun: the command line. transfers: on cuda, what copies between host and device take, which are in no time:
    a timed call works on the device and ends when that is done.
    """

    problem: ConvProblem
    flops: int
    rows: tuple[Row, ...]
    backend: str
    threads: int
    min_time: float
    peak: float | None
    prepared: bool
    others: float | None
    auto: str | None
    machine: Machine
    rerun: str
    transfers: Transfers | None = None

    @property
    def timed(self) -> tuple[Row, ...]:
        """The rows that are right, the fastest first."""
        return tuple(row for row in self.rows if row.status == "ok")

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def refused(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "refused")

    def rate(self, row: Row) -> float:
        """Effective operations a second: those of the direct algorithm over this row's median time."""
        assert row.timing is not None
        return self.flops / row.timing.median

    def peak_fraction(self, row: Row) -> float | None:
        """The effective rate over the measured peak; a fast algorithm may pass 1."""
        return self.rate(row) / self.peak if self.peak else None
