"""Turning what a caller may write for stride, padding and dilation into one canonical form.

Every function takes the number of spatial dimensions, so that messages can say what was expected.
"""

import operator
from collections.abc import Sequence
from typing import Any

from .errors import ProblemError

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
PADDING_NAMES = ("valid", "same", "same_lower")


def integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an int of at least `minimum`, or a ProblemError that names the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ProblemError(f"{name} must be an integer, not {value!r}") from None
    if number < minimum:
        raise ProblemError(f"{name} must be at least {minimum}, not {number}")
    return number


def per_axis(name: str, value: Any, ndim: int, minimum: int) -> tuple[int, ...]:
    """One integer, or a sequence of one or `ndim` of them → a tuple of `ndim`."""
    if not is_sequence(value):
        return (integer(name, value, minimum),) * ndim
    if len(value) not in (1, ndim):
        raise ProblemError(f"{name} must be one integer or {ndim} of them, not {value!r}")
    axes = tuple(integer(f"{name}[{i}]", v, minimum) for i, v in enumerate(value))
    return axes * ndim if len(axes) != ndim else axes


def is_sequence(value: Any) -> bool:
    return (isinstance(value, Sequence) and not isinstance(value, str)) or getattr(value, "ndim", 0) == 1


def extent(kernel: int, dilation: int) -> int:
    """Input elements that a kernel of this dilation spans."""
    return (kernel - 1) * dilation + 1


def explicit_padding(value: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    """An integer, a sequence of integers, or one of (lo, hi) pairs → `ndim` pairs."""
    if isinstance(value, str):
        raise ProblemError(
            f"padding={value!r} has no meaning here; give an integer, {ndim} integers or {ndim} (lo, hi) pairs"
        )
    if is_sequence(value) and any(is_sequence(v) for v in value):
        if len(value) not in (1, ndim) or any(not is_sequence(v) or len(v) != 2 for v in value):
            raise ProblemError(f"padding must hold {ndim} (lo, hi) pairs, not {value!r}")
        pairs = tuple(
            (integer(f"padding[{i}][0]", lo, 0), integer(f"padding[{i}][1]", hi, 0)) for i, (lo, hi) in enumerate(value)
        )
        return pairs * ndim if len(pairs) != ndim else pairs
    return tuple((p, p) for p in per_axis("padding", value, ndim, 0))


def resolve_padding(
    value: Any, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Padding as (lo, hi) pairs, names resolved against the sizes.

    "same" gives ⌈H/s⌉ outputs; the odd element goes to the end ("same_lower": to the beginning).
    """
    if not isinstance(value, str):
        return explicit_padding(value, len(size))
    if value not in PADDING_NAMES:
        raise ProblemError(f"padding={value!r} is unknown; valid names are {', '.join(map(repr, PADDING_NAMES))}")
    if value == "valid":
        return ((0, 0),) * len(size)
    pairs = []
    for h, r, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-h // s) - 1) * s + extent(r, d) - h, 0)
        small = total // 2
        pairs.append((small, total - small) if value == "same" else (total - small, small))
    return tuple(pairs)


def check_padding_mode(mode: str, padding: Sequence[tuple[int, int]], size: Sequence[int]) -> None:
    """Refuse a mode that does not exist, or more padding than the mode can take from the input."""
    if mode not in PADDING_MODES:
        raise ProblemError(f"padding_mode={mode!r} is unknown; valid are {', '.join(map(repr, PADDING_MODES))}")
    for axis, ((lo, hi), h) in enumerate(zip(padding, size, strict=True)):
        if mode == "reflect" and max(lo, hi) >= h:
            raise ProblemError(
                f"padding={(lo, hi)} on spatial axis {axis} with padding_mode='reflect' must be less than its size {h}"
            )
        if mode == "circular" and max(lo, hi) > h:
            raise ProblemError(
                f"padding={(lo, hi)} on spatial axis {axis} with padding_mode='circular' must not exceed its size {h}"
            )


def output_size(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """Spatial size of the forward output; a kernel that does not fit the padded input is an error."""
    out = []
    for axis, (h, r, s, (lo, hi), d) in enumerate(zip(size, kernel, stride, padding, dilation, strict=True)):
        if extent(r, d) > h + lo + hi:
            raise ProblemError(
                f"kernel of {r} with dilation {d} spans {extent(r, d)} elements on spatial axis {axis}, "
                f"more than the padded input's {h + lo + hi} (size {h}, padding {(lo, hi)})"
            )
        out.append((h + lo + hi - extent(r, d)) // s + 1)
    return tuple(out)


def transposed_size(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    output_padding: Sequence[int],
) -> tuple[int, ...]:
    """Spatial size of a transposed convolution's output."""
    out = []
    for axis, (p, r, s, (lo, hi), d, extra) in enumerate(
        zip(size, kernel, stride, padding, dilation, output_padding, strict=True)
    ):
        if extra >= max(s, d):
            raise ProblemError(
                f"output_padding={extra} on spatial axis {axis} must be less than the stride {s} or the dilation {d}"
            )
        h = (p - 1) * s + extent(r, d) - lo - hi + extra
        if h < 1:
            raise ProblemError(
                f"padding={(lo, hi)} on spatial axis {axis} leaves an output of {h} elements; it must leave at least 1"
            )
        out.append(h)
    return tuple(out)
