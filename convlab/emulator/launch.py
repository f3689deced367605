"""A launch: arguments put where a kernel finds them, its blocks run batch after batch, results brought back."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import checks
from .counters import Counters
from .execute import Run
from .faults import EmulationError
from .lanes import MAX_LANES, MAX_THREADS, Array, Grid, Lanes
from .memory import MAX_SHARED, WINDOWS, Local, Memories, Memory
from .operands import Operands
from .parse import Instruction, Kernel, Module, Variable
from .types import DTYPES, align, integer_bits

# Between what is allocated, so that running over an end hits nothing.
_GAP = 4096
_ALIGNMENT = 256  # of every allocation on a device
WRITTEN = 0xFF


class Operand(NamedTuple):
    """An array argument, and an array like it whose bytes are WRITTEN where something has been written, or 0."""

    values: Array
    written: Array


class _Region(NamedTuple):
    """A piece of the host's memory that arguments lie in, and its place in the device's."""

    low: int
    high: int
    start: int


def launch(
    module: Module, kernel: Kernel, grid: Grid, arguments: Sequence[Any], dynamic_bytes: int, max_steps: int
) -> Counters:
    """Run a kernel over a grid. Arguments: an Operand for each array, which is updated in place, or numbers."""
    threads = grid.block_threads
    if not 0 < threads <= MAX_THREADS:
        raise EmulationError(f"a block of {threads} threads; the limit is {MAX_THREADS}")
    counters = Counters(kernel.name, kernel.code)
    addresses, shared_bytes = _shared_variables(module, kernel, dynamic_bytes)
    regions, end = _regions([a.values for a in arguments if isinstance(a, Operand)])
    constants = [v for v in module.variables.values() if v.space in ("global", "const")]
    for variable in constants:
        addresses[variable.name] = WINDOWS["global"] + end
        end = align(end + variable.size, _ALIGNMENT) + _GAP
    memory = _global_memory(arguments, regions, constants, addresses, end, _granule(kernel, "global"))
    parameters = _parameters(kernel, arguments, regions)
    blocks = max(1, MAX_LANES // grid.block_lanes)
    shared_granule = _granule(kernel, "shared")
    for first in range(0, grid.block_count, blocks):
        count = min(blocks, grid.block_count - first)
        lanes = Lanes(kernel, grid, first, count, shared_bytes, dynamic_bytes)
        memories = Memories(
            lanes, memory, Memory.shared(shared_bytes, count, shared_granule),
            Local(kernel.local_bytes, lanes.count), counters,
        )  # fmt: skip
        operands = Operands(lanes, addresses, parameters)
        counters.blocks, counters.warps = counters.blocks + count, counters.warps + lanes.warps
        Run(kernel, lanes, operands, memories, counters, max_steps)()
    _bring_back(arguments, regions, memory)
    read = memory.history[:, checks.READER] != checks.NOBODY
    written = memory.history[:, checks.WRITER] != checks.NOBODY
    counters.read, counters.written = (int(touched.sum()) * memory.granule for touched in (read, written))
    return counters


def _shared_variables(module: Module, kernel: Kernel, dynamic_bytes: int) -> tuple[dict[str, int], int]:
    """(where each variable of the kernel and each shared one is, bytes of shared memory a block)"""
    addresses, end = dict(kernel.offsets), kernel.shared_bytes
    shared = [v for v in module.variables.values() if v.space == "shared"]
    for variable in sorted(shared, key=lambda v: v.size == 0):  # those of the launch's length all begin at the end
        addresses[variable.name] = start = align(end, variable.alignment)
        end = start + variable.size
    end += dynamic_bytes
    if end > MAX_SHARED:
        raise EmulationError(f"{end} bytes of shared memory a block; no device has more than {MAX_SHARED}")
    return addresses, end


def _accesses(code: Iterable[Instruction], space: str) -> Iterable[int]:
    """How many bytes instructions access at once that may be of a space."""
    for instruction in code:
        head, *parts = instruction.opcode.split(".")
        if head == "cp":
            yield 4  # or more; words are read one by one where part of a copy is zeros
        named = {part.split("::")[0] for part in parts}
        if head == "ldmatrix" and space == "shared":
            yield 16
        if head not in ("ld", "ldu", "st", "atom", "red") or not (
            space in named or ("const" in named and space == "global") or named.isdisjoint(("local", "param", *WINDOWS))
        ):
            continue
        types = [part for part in parts if part in DTYPES]
        yield DTYPES[types[-1]].itemsize * (4 if "v4" in parts else 2 if "v2" in parts else 1)


def _granule(kernel: Kernel, space: str) -> int:
    """The smallest access of a kernel to a space, in bytes."""
    return min((width for width in _accesses(kernel.code, space)), default=16)


def _regions(arrays: list[Array]) -> tuple[list[_Region], int]:
    """(the memory that arrays span, pieces that overlap as one; where the device's ends)"""
    spans = sorted(np.lib.array_utils.byte_bounds(array) for array in arrays if array.size)
    merged: list[list[int]] = []
    for low, high in spans:
        if merged and low < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    regions, end = [], _GAP
    for low, high in merged:
        start = end + low % _ALIGNMENT
        regions.append(_Region(low, high, start))
        end = align(start + high - low, _ALIGNMENT) + _GAP
    return regions, end


def _start(array: Array, regions: list[_Region]) -> int:
    """Where an array's first element is in the device's memory."""
    address = array.__array_interface__["data"][0]
    return next((r.start + address - r.low for r in regions if r.low <= address < r.high), _GAP // 2)


def _host(low: int, high: int) -> Array:
    """The host's memory between two addresses, as bytes."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * (high - low)).from_address(low))


def _shadowed(arguments: Sequence[Any], regions: list[_Region]) -> Iterable[tuple[int, Array]]:
    """(start in the device's memory, which bytes are written) of each array."""
    for argument in arguments:
        if isinstance(argument, Operand) and argument.values.size:
            low, high = np.lib.array_utils.byte_bounds(argument.values)
            shadow = np.lib.array_utils.byte_bounds(argument.written)[0]
            start = next(r.start + low - r.low for r in regions if r.low <= low < r.high)
            yield start, _host(shadow, shadow + high - low)


def _global_memory(
    arguments: Sequence[Any], regions: list[_Region], constants: list[Variable], addresses: dict[str, int], end: int,
    granule: int,
) -> Memory:  # fmt: skip
    data, states = np.zeros(align(end, _ALIGNMENT), np.uint8), np.zeros(align(end, _ALIGNMENT), np.int32)
    for region in regions:
        place = slice(region.start, region.start + region.high - region.low)
        data[place], states[place] = _host(region.low, region.high), checks.WRITTEN
    for start, written in _shadowed(arguments, regions):
        states[start : start + written.size][written == 0] = checks.UNWRITTEN
    for variable in constants:
        start = addresses[variable.name] - WINDOWS["global"]
        data[start : start + len(variable.data)] = np.frombuffer(variable.data, np.uint8)
        states[start : start + variable.size] = checks.WRITTEN
    return Memory("global", data, states.reshape(-1, granule).min(axis=1), granule, data.size, 0)


def _bring_back(arguments: Sequence[Any], regions: list[_Region], memory: Memory) -> None:
    """Copy what the kernel wrote to the arrays that it was given."""
    history = memory.history
    changed = np.repeat(history[:, checks.WRITER] != checks.NOBODY, memory.granule)
    for region in regions:
        these = changed[region.start : region.start + region.high - region.low]
        if these.any():
            host = _host(region.low, region.high)
            host[these] = memory.data[region.start : region.start + these.size][these]
    for start, written in _shadowed(arguments, regions):
        written[changed[start : start + written.size]] = WRITTEN


def _parameters(kernel: Kernel, arguments: Sequence[Any], regions: list[_Region]) -> dict[str, bytes]:
    """Arguments as numba hands them over: an array is no parent, size, itemsize, pointer, shape and strides.

    A kernel that has as many parameters as there are arguments takes arrays by their pointers, as CUDA C does.
    """
    values: list[Any] = []
    bare = len(arguments) == len(kernel.parameters)
    for argument in arguments:
        if isinstance(argument, Operand):
            a = argument.values
            pointer = WINDOWS["global"] + _start(a, regions)
            values += [pointer] if bare else [0, 0, a.size, a.itemsize, pointer, *a.shape, *a.strides]
        else:
            values.append(argument)
    if len(values) != len(kernel.parameters):
        raise EmulationError(f"the kernel takes {len(kernel.parameters)} parameters, the arguments make {len(values)}")
    packed: dict[str, bytes] = {}
    for parameter, value in zip(kernel.parameters, values, strict=True):
        dtype = DTYPES[parameter.type]
        if isinstance(value, float | np.floating):
            packed[parameter.name] = np.array(value, f"f{dtype.itemsize}").tobytes()
        else:
            packed[parameter.name] = integer_bits(int(value), dtype).tobytes()
    return packed
