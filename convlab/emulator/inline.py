"""Calls put in place: the body of what is called, its names made its caller's own."""

import re
from typing import NamedTuple

from .faults import EmulationError

_CALL = re.compile(r"call(?:\.uni)?\s+(?:\(([^)]*)\)\s*,\s*)?([\w$]+)(?:\s*,\s*\(([^)]*)\))?")
_REGISTERS = re.compile(r"\.reg\s+\.\w+\s+([^;]*);")
_VARIABLES = re.compile(r"\.(?:local|shared|param)\s[^;]*?([\w$]+)(?:\[\d+\])?\s*;")
_LABELS = re.compile(r"^\s*(\$?[\w$]+):", re.M)
_NAMES = re.compile(r"(?<![\w$.%])%?[$A-Za-z_][\w$]*")


class Function(NamedTuple):
    """A .func: the names of what it returns and takes, and its text."""

    returned: list[str]
    taken: list[str]
    body: str


def in_place(call: str, functions: dict[str, Function], prefix: str) -> tuple[str, str]:
    """(a label, the text that stands for the call up to that label).

    `prefix` goes before the names that the function declares, and must be another one for each call.
    """
    match = _CALL.match(call)
    if match is None or match[2] not in functions:
        raise EmulationError(f"cannot call what is not in this PTX: {call}")
    function = functions[match[2]]
    given = [name.strip() for group in (match[1], match[3]) for name in (group or "").split(",") if name.strip()]
    renamed = dict(zip(function.returned + function.taken, given, strict=True))
    for name in _VARIABLES.findall(function.body) + _LABELS.findall(function.body):
        renamed[name] = prefix + name
    stems = {name.split("<")[0].strip() for names in _REGISTERS.findall(function.body) for name in names.split(",")}

    def rename(name: re.Match[str]) -> str:
        if name[0].rstrip("0123456789") in stems or name[0] in stems:
            return "%" + prefix + name[0][1:]
        return renamed.get(name[0], name[0])

    end = prefix + "end"
    return end, re.sub(r"\bret\s*;", f"bra {end};", _NAMES.sub(rename, function.body))
