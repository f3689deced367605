"""benchdnn's problem descriptors: `mb1ic64ih56oc64oh56kh3ph1`, read and written.

Grammar (oneDNN, tests/benchdnn/doc/knobs_conv.md): g groups, mb batch, ic/oc channels in total, then for
each of the axes d, h, w: i input, o output, k kernel, s stride, d extra dilation (0 is none), p padding at
the beginning. The padding at the end follows from o. A shape with ih and no iw is square; with id and
nothing else, cubic; with iw alone, one-dimensional. Here mb defaults to 1 (benchdnn: 2).
"""

import re
from typing import Any

from .errors import ProblemError
from .geometry import extent

_AXES = "dhw"
_KEYS = ("g", "mb", "ic", "oc", *(what + axis for axis in _AXES for what in "ioksdp"))
_TOKEN = re.compile(f"({'|'.join(sorted(_KEYS, key=len, reverse=True))})(\\d+)")


def parse(text: str) -> dict[str, Any]:
    """The ConvProblem fields that a descriptor fixes."""
    body = re.sub(r'[*_]|n".*"$|n[\w:/.-]*$', "", text.strip())
    values: dict[str, int] = {}
    position = 0
    while position < len(body):
        token = _TOKEN.match(body, position)
        if token is None:
            raise ProblemError(
                f"descriptor {text!r} is not understood from {body[position:]!r} on; "
                "an example is mb1ic64ih56oc64oh56kh3ph1"
            )
        if token[1] in values:
            raise ProblemError(f"descriptor {text!r} gives {token[1]} twice")
        values[token[1]] = int(token[2])
        position = token.end()
    missing = [key for key in ("ic", "oc") if key not in values]
    if missing:
        raise ProblemError(f"descriptor {text!r} lacks {' and '.join(missing)}")
    axes = [_axis(text, values, axis) for axis in _spatial_axes(text, values)]
    in_size, out_size, kernel, stride, padding, dilation = (tuple(column) for column in zip(*axes, strict=True))
    return {
        "batch": values.get("mb", 1), "in_channels": values["ic"], "out_channels": values["oc"],
        "in_size": in_size, "out_size": out_size, "kernel": kernel, "stride": stride,
        "padding": padding, "dilation": dilation, "groups": values.get("g", 1),
    }  # fmt: skip


def _spatial_axes(text: str, values: dict[str, int]) -> str:
    """The axes of the problem; those not named are filled in from the first that is."""
    named = [axis for axis in _AXES if f"i{axis}" in values]
    if not named:
        raise ProblemError(f"descriptor {text!r} lacks a spatial size (ih, iw or id)")
    axes = _AXES[_AXES.index(named[0]) :]
    for axis in axes[1:]:
        if f"i{axis}" not in values:
            for what in "ioksdp":
                if what + named[0] in values:
                    values.setdefault(what + axis, values[what + named[0]])
    return axes


def _axis(text: str, values: dict[str, int], axis: str) -> tuple[int, int, int, int, tuple[int, int], int]:
    """Input, output, kernel, stride, padding and dilation of one axis."""
    size, kernel = values[f"i{axis}"], values.get(f"k{axis}", 1)
    stride, dilation = values.get(f"s{axis}", 1), values.get(f"d{axis}", 0) + 1
    if min(size, kernel, stride) < 1:
        raise ProblemError(f"descriptor {text!r}: i{axis}, k{axis} and s{axis} must be at least 1")
    span, lo = extent(kernel, dilation), values.get(f"p{axis}")
    out = values.get(f"o{axis}")
    if lo is None:
        # As benchdnn: with an output given, the padding that yields it, split evenly.
        lo = 0 if out is None else max((out - 1) * stride + span - size, 0) // 2
    if out is None:
        out = (size + 2 * lo - span) // stride + 1
    if (size + 2 * lo - span) // stride + 1 == out:
        hi = lo
    else:
        hi = max((out - 1) * stride + span - size - lo, 0)
    if out < 1 or (size + lo + hi - span) // stride + 1 != out:
        raise ProblemError(f"descriptor {text!r}: no padding at the end of axis {axis} gives an output of {out}")
    return size, out, kernel, stride, (lo, hi), dilation


def write(problem: Any) -> str:
    """The descriptor of a ConvProblem; axes equal to the first are left out."""
    parts = [f"g{problem.groups}"] if problem.groups > 1 else []
    parts.append(f"mb{problem.batch}")
    axes = _AXES[3 - problem.ndim :]
    fields = []
    for i in range(problem.ndim):
        fields.append(
            {
                "i": problem.in_size[i], "o": problem.out_size[i], "k": problem.kernel[i],
                "s": problem.stride[i], "d": problem.dilation[i] - 1, "p": problem.padding[i][0],
            }
        )  # fmt: skip
    if all(f == fields[0] for f in fields):
        axes, fields = axes[0], fields[:1]
    kept = [(axis, f) for axis, f in zip(axes, fields, strict=True)]
    parts.append(f"ic{problem.in_channels}" + "".join(f"i{axis}{f['i']}" for axis, f in kept))
    parts.append(f"oc{problem.out_channels}" + "".join(f"o{axis}{f['o']}" for axis, f in kept))
    # Padding that is not written is read as what the output needs: leave out only what that gives.
    unpadded = all(f["p"] == 0 and (f["o"] - 1) * f["s"] + extent(f["k"], f["d"] + 1) <= f["i"] for f in fields)
    for what, default in (("k", 0), ("s", 1), ("d", 0), ("p", None)):
        if any(f[what] != default for _, f in kept) and not (what == "p" and unpadded):
            parts += [f"{what}{axis}{f[what]}" for axis, f in kept]
    return "".join(parts)
