"""Movement between registers and memory."""

import numpy as np

from ..faults import Fault
from ..lanes import Active, Array
from ..memory import WINDOWS
from ..types import DTYPES
from .decode import Decoder, Families, Step, elementwise

_SPACES = ("global", "shared", "local", "const", "param")


def space(decoder: Decoder) -> str:
    """The state space in the opcode, "generic" if it has none."""
    return next((m.split("::")[0] for m in decoder.modifiers if m.split("::")[0] in _SPACES), "generic")


def _copy(value: Array) -> Array:
    return value


def _move(decoder: Decoder) -> Step:
    to, of = decoder.operands
    if to.startswith("{") or of.startswith("{"):
        return _unpack(decoder) if to.startswith("{") else _pack(decoder)
    return elementwise(_copy, decoder.sources(1), decoder.destination())


def _unpack(decoder: Decoder) -> Step:
    """One register to several that are parts of it, the low bits first."""
    names = decoder.names.vector(decoder.operands[0])
    part = f"b{8 * decoder.dtype.itemsize // len(names)}"
    source, destinations = decoder.source(1), [decoder.names.destination(name, part) for name in names]

    def step(active: Active) -> None:
        parts = np.ascontiguousarray(source[active]).view(DTYPES[part]).reshape(-1, len(names))
        for column, destination in enumerate(destinations):
            destination[active] = parts[:, column]

    return step


def _pack(decoder: Decoder) -> Step:
    """Several registers to one that they are parts of."""
    names = decoder.names.vector(decoder.operands[1])
    part = f"b{8 * decoder.dtype.itemsize // len(names)}"
    sources, dtype = [decoder.names.source(name, part) for name in names], decoder.dtype
    joined = lambda *parts: np.stack(parts, axis=1).view(dtype)[:, 0]  # noqa: E731
    return elementwise(joined, list(sources), decoder.destination())


def _convert_address(decoder: Decoder) -> Step:
    """Between an offset in a space and a generic pointer; global pointers are generic ones already."""
    where = space(decoder)
    base = np.uint64(WINDOWS[where] if where in ("shared", "local") else 0)
    function = (lambda p: p - base) if decoder.has("to") else (lambda p: p + base)
    return elementwise(function, [decoder.source(1, "u64")], decoder.destination("u64"))


def _load(decoder: Decoder) -> Step:
    where, type_ = space(decoder), decoder.types[-1]
    names = decoder.names.vector(decoder.operands[0])
    destinations = [decoder.names.destination(name, type_) for name in names]
    dtype, memories = DTYPES[type_], decoder.memories
    if where == "param":
        sources = [decoder.names.parameter(decoder.operands[1], dtype, j) for j in range(len(names))]

        def copy(active: Active) -> None:
            for source, destination in zip(sources, destinations, strict=True):
                destination[active] = source[active]

        return copy
    address = decoder.address(1)

    def load(active: Active) -> None:
        values = memories.load(where, address(active), dtype, len(destinations), active)
        for column, destination in enumerate(destinations):
            destination[active] = values[:, column]

    return load


def _store(decoder: Decoder) -> Step:
    where, type_ = space(decoder), decoder.types[-1]
    names = decoder.names.vector(decoder.operands[1])
    sources = [decoder.names.source(name, type_) for name in names]
    dtype, memories = DTYPES[type_], decoder.memories
    if where == "param":
        destinations = [decoder.names.parameter(decoder.operands[0], dtype, j) for j in range(len(names))]

        def copy(active: Active) -> None:
            for source, destination in zip(sources, destinations, strict=True):
                destination[active] = source[active]

        return copy
    address = decoder.address(0)

    def store(active: Active) -> None:
        memories.store(where, address(active), [source[active] for source in sources], dtype, active)

    return store


def _nothing(decoder: Decoder) -> Step:
    """Every access is done before the next one begins, so there is nothing to order, to wait for or to hint at."""
    return lambda active: None


def _trap(decoder: Decoder) -> Step:
    lanes = decoder.lanes

    def trap(active: Active) -> None:
        raise Fault("trap", int(lanes.indices(active)[0]))

    return trap


FAMILIES: Families = {
    "mov": _move,
    "cvta": _convert_address,
    "ld": _load,
    "ldu": _load,
    "st": _store,
    "membar": _nothing,
    "fence": _nothing,
    "nanosleep": _nothing,
    "prefetch": _nothing,
    "prefetchu": _nothing,
    "discard": _nothing,
    "applypriority": _nothing,
    "griddepcontrol": _nothing,
    "trap": _trap,
    "brkpt": _trap,
}
