"""The command line that repeats a benchmark."""

import shlex
from collections.abc import Sequence

from ..problem import ConvProblem


def bench_command(
    problem: ConvProblem,
    source: Sequence[str] | None = None,
    *,
    backend: str,
    algorithms: Sequence[str] | None,
    peers: Sequence[str],
    threads: int | None,
    min_time: float | None,
) -> str:
    """`convlab bench …`, quoted for a POSIX shell.

    source: the words that give the sizes and the data, where the problem's descriptor does not. threads, min_time:
    None where nothing is timed.
    """
    words = ["convlab", "bench", *([problem.descriptor] if source is None else source)]
    words += problem_options(problem)
    if backend != "cpu":
        words += ["--backend", backend]
    for name in algorithms or ():
        words += ["--algorithm", name]
    for name in peers:
        words += ["--against", name]
    if threads is not None:
        words += ["--threads", str(threads)]
    if min_time is not None:
        words += ["--min-time", f"{min_time:g}"]
    return shlex.join(words)


def problem_options(problem: ConvProblem) -> list[str]:
    """The options that a descriptor does not hold, where they are not the default."""
    words = []
    for option, value, default in (
        ("--dtype", str(problem.dtype), "float32"),
        ("--layout", problem.layout, "channels_first"),
        ("--direction", problem.direction, "forward"),
        ("--padding-mode", problem.padding_mode, "zeros"),
        ("--activation", problem.activation, None),
    ):
        if value is not None and value != default:
            words += [option, value]
    return [*words, "--bias"] if problem.has_bias else words


def folded(command: str, width: int) -> str:
    """A long command as lines of `width` columns that a shell joins again; an option stays with its value."""
    first, *words = map(shlex.quote, shlex.split(command))
    parts: list[str] = []
    for word in words:
        if parts and parts[-1].startswith("--") and " " not in parts[-1] and not word.startswith("--"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = [first]
    for part in parts:
        if len(f"{lines[-1]} {part} \\") > width:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return " \\\n".join(lines)
