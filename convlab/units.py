"""Numbers as people read them: three significant digits, a unit, never an exponent."""

from collections.abc import Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_THOUSANDS = ("", "thousand", "million", "billion", "trillion")


def short(value: float) -> str:
    """About three significant digits: 0.012, 1.23, 45.6, 789, 12345."""
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3}f}"


def in_bytes(size: float) -> str:
    """A size in bytes in the binary unit that suits it: "512 B", "1.25 MiB"."""
    return " ".join(_scaled(size, 1024, _BINARY))


def memory(size: int | None) -> str:
    """The cell of a table for memory that is needed: "-" for none, "?" for unknown."""
    if size is None:
        return "?"
    return in_bytes(size) if size else "-"


def in_words(count: float) -> str:
    """A large count: "1.85 billion"."""
    return " ".join(_scaled(count, 1000, _THOUSANDS)).rstrip()


def plural(count: int, noun: str) -> str:
    """Threads, counted: "1 thread", "2 threads"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _scaled(value: float, step: int, units: Sequence[str]) -> tuple[str, str]:
    """The number and its unit; each unit is `step` times the one before it."""
    power = 0
    while value >= step ** (power + 1) and power < len(units) - 1:
        power += 1
    return f"{value:.0f}" if power == 0 else short(value / step**power), units[power]
