"""Why an algorithm was chosen for a problem, in words and at most 80 columns of plain text.

The list of candidates is the one that `select.rank` made the choice from.
"""

import textwrap
from collections.abc import Sequence

from .algorithm import Stage
from .nominal import BANDWIDTH, nominal_flops
from .problem import ConvProblem
from .select import Candidate
from .units import in_bytes, in_words, memory, short

WIDTH = 80

_INSTANT = 1e-12  # seconds


def explanation(problem: ConvProblem, candidates: Sequence[Candidate], chosen: str) -> str:
    """The problem, the choice and its reason, the other candidates, the chosen one's stages, the refusals.

    `chosen` is the name of one of the candidates that can run.
    """
    choice = next(c for c in candidates if c.name == chosen)
    runnable = [c for c in candidates if c.reason is None]
    refused = [c for c in candidates if c.reason is not None]
    sections = [_problem(problem), _verdict(choice, runnable), _comparison(choice, runnable)]
    if choice.cost is not None:
        sections.append(_stages(problem, choice.name, choice.cost.stages))
    if refused:
        sections.append("\n".join(["What cannot run it:", *(_refusal(c) for c in refused)]))
    return "\n\n".join(sections)


def _problem(problem: ConvProblem) -> str:
    x, w, y = f"x {problem.x_shape}", f"w {problem.w_shape}", f"y {problem.y_shape}"
    what = {
        "forward": f"{x} is convolved with {w} into {y}",
        "backward_data": f"{y} is taken back through {w} to {x}",
        "backward_weights": f"{x} and {y} are reduced to {w}",
    }[problem.direction]
    intensity, balance = problem.flops / max(problem.min_bytes, 1), nominal_flops(problem.dtype) / BANDWIDTH
    limit, other = ("arithmetic", "memory") if intensity > balance else ("memory", "arithmetic")
    text = (
        f"{what}: {in_words(problem.macs)} multiply-adds. The arrays are {in_bytes(problem.min_bytes)}, to be moved "
        f"at least once, which leaves {short(intensity)} operations a byte. One core does about {balance:.0f} in "
        f"the time of a byte from memory, so {limit} is what bounds this problem, not {other}."
    )
    return f"{_paragraph(str(problem))}\n\n{_paragraph(text)}"


def _verdict(choice: Candidate, runnable: Sequence[Candidate]) -> str:
    others = [c for c in runnable if c is not choice and c.seconds is not None]
    if choice.seconds is None:
        why = f"{choice.name} was named; it states no cost, so there is no estimate to compare with."
    elif not others:
        why = f"{choice.name} is the only candidate, at an estimated {_ms(choice.seconds)} ms on one nominal core."
    else:
        nearest = min(others, key=lambda c: c.seconds or 0.0)
        why = f"{_against(choice, choice.seconds, nearest.name, nearest.seconds or 0.0)}."
    return _paragraph(f"{why} {_memory(choice)}")


def _against(choice: Candidate, own: float, nearest: str, theirs: float) -> str:
    if own > theirs:
        return f"{choice.name} was named: by estimate it takes {_ratio(own, theirs)} times as long as {nearest}"
    estimate = f"{choice.name} is chosen: an estimated {_ms(own)} ms on one nominal core,"
    if theirs <= 1.005 * own:
        return f"{estimate} no slower than {nearest}, the next"
    return f"{estimate} {_ratio(theirs, own)} times as fast as {nearest}, the next"


def _memory(choice: Candidate) -> str:
    if choice.workspace_bytes is None:
        return "What memory it takes is unknown."
    needs = [f"{in_bytes(choice.workspace_bytes)} of workspace"] if choice.workspace_bytes else []
    if choice.prepared_bytes:
        needs.append(f"{in_bytes(choice.prepared_bytes)} of prepared weights")
    return f"It needs {' and '.join(needs) or 'no memory beyond the arrays themselves'}."


def _comparison(choice: Candidate, runnable: Sequence[Candidate]) -> str:
    best = min((c.seconds for c in runnable if c.seconds is not None), default=None)
    rows = [("", "algorithm", "estimate ms", "x best", "workspace", "prepared", "error bound")]
    for c in runnable:
        rows.append(
            (
                "*" if c is choice else "",
                c.name,
                "unknown" if c.seconds is None else _ms(c.seconds),
                "" if c.seconds is None or best is None else _ratio(c.seconds, best),
                memory(c.workspace_bytes),
                memory(c.prepared_bytes),
                "not stated" if c.error_model is None else c.error_model.kind,
            )
        )
    return _table(rows, left=(0, 1, 6))


def _stages(problem: ConvProblem, name: str, stages: Sequence[Stage]) -> str:
    peak = nominal_flops(problem.dtype)
    rows = [("", "stage", "Gflop", "moved", "% of peak", "ms", "bound by")]
    for s in stages:
        arithmetic, memory = s.flops / (peak * s.efficiency), s.bytes / BANDWIDTH
        bound = "arithmetic" if arithmetic > memory else "memory"
        rows.append(
            (
                "", s.name, short(s.flops / 1e9), in_bytes(s.bytes), f"{100 * s.efficiency:.0f}",
                _ms(max(arithmetic, memory)), bound,
            )
        )  # fmt: skip
    title = (
        f"Where {name} spends the time (nominal core: {peak / 1e9:.0f} GFLOP/s, {BANDWIDTH / 1e9:.0f} GB/s; "
        "% of peak is what the kernel reaches on operands at hand):"
    )
    return _paragraph(title) + "\n" + _table(rows, left=(0, 1, 6))


def _refusal(candidate: Candidate) -> str:
    text = f"{candidate.name}: {candidate.reason}"
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH)


def _ratio(seconds: float, other: float) -> str:
    """Of two estimates; those of an empty problem, which are 0, are taken for an instant."""
    return short(max(seconds, _INSTANT) / max(other, _INSTANT))


def _ms(seconds: float) -> str:
    return short(1e3 * seconds)


def _table(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Rows of cells as aligned lines, two spaces apart; the columns in `left` are words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
