"""How much of the machine others used while something was timed: what tells a bad run from a slow algorithm."""

import os
import time
from pathlib import Path
from types import TracebackType

_STAT = Path("/proc/stat")
# Columns of its first line, in ticks: user, nice, system, idle, iowait, irq, softirq, steal. What is not idle is busy,
# and what the hypervisor gave to other machines (steal) is no less lost.
_BUSY = (0, 1, 2, 5, 6, 7)


class Others:
    """A context in which the processor time of other processes is counted.

    processors: how many of them others kept busy on average; None where the system does not tell (all but Linux).
    """

    processors: float | None = None

    def __enter__(self) -> "Others":
        self._busy, self._start = _others(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        busy, seconds = _others(), time.perf_counter() - self._start
        if busy is not None and self._busy is not None and seconds > 0:
            self.processors = max(busy - self._busy, 0.0) / seconds


def _others() -> float | None:
    """Seconds for which processors were busy, but with this process, since some time in the past."""
    try:
        ticks = [int(text) for text in _STAT.read_text().partition("\n")[0].split()[1:]]
    except OSError:
        return None
    own = os.times()
    return sum(ticks[i] for i in _BUSY) / os.sysconf("SC_CLK_TCK") - own.user - own.system
