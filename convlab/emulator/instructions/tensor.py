"""Matrix products of a warp: mma.sync with TF32, float16 and bfloat16 operands, and ldmatrix, which loads them.

Which element of a 16x8 result, or of its operands, a lane holds in which register: PTX ISA, "Matrix Fragments for
mma.m16n8k8" and "mma.m16n8k16". Products are summed in float64, then rounded once to float32.
"""

import re
from collections.abc import Callable

import numpy as np

from ..lanes import WARP, Active, Array
from .convert import from_bfloat16
from .decode import Decoder, Families, Step
from .warp import whole_warps

_ROWS, _COLUMNS = 16, 8  # of the result


def _tf32(words: Array) -> Array:
    return (words & np.uint32(0xFFFFE000)).view(np.float32)


def _float16(words: Array) -> Array:
    return words.view(np.float16)


def _bfloat16(words: Array) -> Array:
    return from_bfloat16(words.view(np.uint16))


_VALUES: dict[str, Callable[[Array], Array]] = {"tf32": _tf32, "f16": _float16, "bf16": _bfloat16}


def fragments(per_register: int, depth: int) -> tuple[Array, Array, Array]:
    """Where the elements of A, B and C are: (lane, element of the lane) -> index in the flat matrix.

    A is 16 x depth, B depth x 8, C 16 x 8, all row by row; `per_register`: elements of A and B in a register.
    """
    lane = np.arange(WARP)[:, None]
    group, place = lane // 4, lane % 4

    def element(count: int) -> tuple[Array, Array]:
        return np.arange(count) // per_register, np.arange(count) % per_register

    register, half = element(_ROWS * depth // WARP)
    row = group + 8 * (register % 2)
    a = row * depth + place * per_register + half + 4 * per_register * (register // 2)
    register, half = element(_COLUMNS * depth // WARP)
    b = (place * per_register + half + 4 * per_register * register) * _COLUMNS + group
    own = np.arange(4)
    c = (group + 8 * (own // 2)) * _COLUMNS + place * 2 + own % 2
    return a, b, c


def _multiply(decoder: Decoder) -> Step:
    shape = re.search(r"\.m(\d+)n(\d+)k(\d+)\.", decoder.instruction.opcode)
    kinds = decoder.types
    if shape is None or (int(shape[1]), int(shape[2])) != (_ROWS, _COLUMNS) or kinds[0] != "f32" or kinds[-1] != "f32":
        raise decoder.refusal()
    if kinds[1] != kinds[2] or kinds[1] not in _VALUES or not decoder.has("row"):
        raise decoder.refusal()
    depth, values, lanes = int(shape[3]), _VALUES[kinds[1]], decoder.lanes
    at_a, at_b, at_c = fragments(1 if kinds[1] == "tf32" else 2, depth)
    d, a, b, c = (decoder.names.vector(operand) for operand in decoder.operands)
    destinations = [decoder.names.destination(name, "f32") for name in d]
    sources = [[decoder.names.source(name, "b32") for name in names] for names in (a, b)]
    addends = [decoder.names.source(name, "f32") for name in c]

    def matrices(registers: list[Array], at: Array, rows: int) -> Array:
        elements = values(np.ascontiguousarray(np.stack(registers, axis=1))).reshape(-1, at.size)
        flat = np.empty(elements.shape)
        flat[:, at.ravel()] = elements
        return flat.reshape(elements.shape[0], rows, -1)

    def step(active: Active) -> None:
        whole_warps(lanes, active)
        x, y = ([source[active] for source in group] for group in sources)
        product = (matrices(x, at_a, _ROWS) @ matrices(y, at_b, depth)).reshape(-1, _ROWS * _COLUMNS)
        own = product[:, at_c.ravel()].reshape(-1, 4)
        for column, (destination, addend) in enumerate(zip(destinations, addends, strict=True)):
            destination[active] = own[:, column] + addend[active]

    return step


def _load_matrices(decoder: Decoder) -> Step:
    """One to four 8x8 matrices of 16-bit elements: lanes 8·j … 8·j + 7 give the rows of matrix j."""
    names, lanes, memories = decoder.names.vector(decoder.operands[0]), decoder.lanes, decoder.memories
    if not decoder.has("m8n8"):
        raise decoder.refusal()
    destinations = [decoder.names.destination(name, "b32") for name in names]
    address, transposed, word = decoder.address(1), decoder.has("trans"), np.dtype(np.uint32)

    def step(active: Active) -> None:
        warps, pointers = whole_warps(lanes, active), address(active).reshape(-1, WARP)
        for j, destination in enumerate(destinations):
            these = slice(8 * j, 8 * j + 8)
            rows = memories.load("shared", pointers[:, these].ravel(), word, 4, warps[:, these].ravel())
            if transposed:
                square = rows.view(np.uint16).reshape(-1, 8, 8).transpose(0, 2, 1)
                rows = np.ascontiguousarray(square).reshape(-1, 8).view(word)
            destination[active] = rows.ravel()

    return step


FAMILIES: Families = {
    "mma": _multiply,
    "ldmatrix": _load_matrices,
}
