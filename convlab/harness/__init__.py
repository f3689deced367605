"""What `convlab bench` runs, for use from Python too: check every algorithm on a problem, then time them.

    from convlab import ConvProblem
    from convlab.harness import benchmark, render
    render(benchmark(ConvProblem.from_descriptor("mb1ic64ih56oc64oh56kh3ph1")))

`interleave` times any callables against each other in the same way.
"""

from .bench import benchmark, compare
from .report import as_json, render
from .results import Report, Row
from .timing import Timing, interleave

__all__ = ["Report", "Row", "Timing", "as_json", "benchmark", "compare", "interleave", "render"]
