"""Blocks of images to spectra and back: rows are collected and transformed by FFTW in L1, then columns in L2.

A spectrum lies as FFTW leaves it, complex numbers as pairs, of real data the half that is not redundant. Rows are
transformed by groups, and those groups are left out that are all zero, or that no output needs.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compile import jit
from . import epilogue, memory, simd
from .read_strip import clear
from .simd import vector


class Grid(NamedTuple):
    """The points of a block and its spectrum, in memory and for FFTW.

    depth, height, width: points. rows: how many are transformed by one call. line: bytes between rows of points; pitch,
    plane, spectrum: bytes between rows, planes and spectra. Then addresses: of the plans that transform rows, columns
    and planes, forth and back, and of the functions that execute them.
    """

    depth: int
    height: int
    width: int
    rows: int
    line: int
    pitch: int
    plane: int
    spectrum: int
    rows_forth: int
    rows_back: int
    columns_forth: int
    columns_back: int
    planes_forth: int
    planes_back: int
    execute_rows: int
    execute_back: int
    execute: int


class Reads(NamedTuple):
    """Where the points of a block come from: pieces of the padded axes (see kernels/pieces.py).

    From a block's origin on, depth × height × width positions are read. Position i goes to point i; or, turned, to
    point −i, counted round, as the second factor of a correlation must.
    """

    planes: Any
    lines: Any
    points: Any
    depth: int
    height: int
    width: int
    turned: bool


@intrinsic
def execute(typingctx: Any, function: Any, plan: Any, source: Any, target: Any) -> Any:
    """Call function(plan, source, target), all of them addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = simd.I8.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer] * 3)
        function = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(function, [builder.inttoptr(a, pointer) for a in args[1:]])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), codegen


@jit
def _element(pieces: Any, point: int, points: int, origin: int, length: int, turned: bool) -> int:
    """The element at a point; −1 for zero."""
    i = (points - point) % points if turned else point
    if i < length:
        for piece in range(len(pieces)):
            past = origin + i - pieces[piece, 0]
            if 0 <= past < pieces[piece, 1]:
                return pieces[piece, 2] + past * pieces[piece, 3]
    return -1


@jit
def _read_row(
    source: Any, base: int, column: int, origin: int, reads: Any, width: int, parts: int, target: int, scratch: Any,
    zero: Any,
) -> None:  # fmt: skip
    """One row of points, at byte address target in scratch; there must be zeros."""
    simd.outlined()
    lanes, wide, item = simd.lanes(zero), simd.VECTOR_BYTES, source.itemsize
    part_bytes = wide // lanes
    one = vector.broadcast(zero)
    for piece in range(len(reads.points)):
        position, count, element, step = (
            reads.points[piece, 0], reads.points[piece, 1], reads.points[piece, 2], reads.points[piece, 3],
        )  # fmt: skip
        first = max(position, origin)
        n, i = min(position + count, origin + reads.width) - first, first - origin
        if n <= 0:
            continue
        at, stride = base + (element + (first - position) * step) * column, step * column
        done = 0
        if reads.turned and (i == 0 or stride != item or parts != 1):
            # One by one: all of them, or of a row of vectors the first, which stays where it is.
            done = 1 if stride == item and parts == 1 else n
            for k in range(done):
                point = (width - i - k) % width
                for part in range(parts):
                    value = memory.load_at(source, zero, at + k * stride + part * item)
                    memory.keep_at(target + (point * parts + part) * part_bytes, value)
        if reads.turned:
            for k in range(done, n - lanes + 1, lanes):
                there = target + (width - i - k - lanes + 1) * part_bytes
                vector.store_at(vector.reverse(vector.load_at(source, at + k * item, one)), scratch, there)
            for k in range(done + (n - done) // lanes * lanes, n):
                memory.keep_at(target + (width - i - k) * part_bytes, memory.load_at(source, zero, at + k * item))
            continue
        if stride == parts * item:
            done = n * parts // lanes * lanes // parts
            for k in range(0, done * parts, lanes):
                there = target + (i * parts + k) * part_bytes
                vector.store_at(vector.load_at(source, at + k * item, one), scratch, there)
        for k in range(done, n):
            for part in range(parts):
                value = memory.load_at(source, zero, at + k * stride + part * item)
                memory.keep_at(target + ((i + k) * parts + part) * part_bytes, value)


@jit
def to_spectrum(
    x: Any, base: int, reads: Any, d: int, h: int, w: int, parts: int, grid: Any, zero: Any, scratch: Any, target: int
) -> None:
    """The spectrum, at byte address target, of the block with origin (d, h, w) of an image.

    x: the Tensor of images; base: address of this image and channel. scratch: `scratch_bytes`, on a cache line.
    """
    simd.outlined()
    vectors = (grid.rows * grid.line) // simd.VECTOR_BYTES
    points = memory.address(scratch)
    for plane in range(grid.depth):
        there = target + plane * grid.plane
        p = _element(reads.planes, plane, grid.depth, d, reads.depth, reads.turned)
        if p < 0:
            clear(there, grid.plane // simd.VECTOR_BYTES, zero)
            continue
        for first in range(0, grid.height, grid.rows):
            clear(points, vectors, zero)
            some = False
            for i in range(min(grid.rows, grid.height - first)):
                r = _element(reads.lines, first + i, grid.height, h, reads.height, reads.turned)
                if r >= 0:
                    some = True
                    at = base + p * x.plane + r * x.row
                    there_row = points + i * grid.line
                    _read_row(x.data, at, x.column, w, reads, grid.width, parts, there_row, scratch, zero)
            if some:
                execute(grid.execute_rows, grid.rows_forth, points, there + first * grid.pitch)
            else:
                clear(there + first * grid.pitch, grid.rows * grid.pitch // simd.VECTOR_BYTES, zero)
        if grid.height > 1:
            execute(grid.execute, grid.columns_forth, there, there)
    if grid.depth > 1:
        execute(grid.execute, grid.planes_forth, target, target)


@jit
def to_image(
    spectrum: int, grid: Any, depth: int, height: int, width: int, parts: int, scale: Any, bias: Any, channel: int,
    activation: int, zero: Any, scratch: Any, y: Any, base: int,
) -> None:  # fmt: skip
    """The first depth × height × width points of a spectrum, which is destroyed, to the image at address base.

    scale: what every point is multiplied by, before the bias of that channel (bias may be empty) and the activation.
    """
    simd.outlined()
    lanes, item = simd.lanes(zero), y.data.itemsize
    numbers, pitch = width * parts, grid.line // (simd.VECTOR_BYTES // lanes)
    if grid.depth > 1:
        execute(grid.execute, grid.planes_back, spectrum, spectrum)
    for plane in range(depth):
        here = spectrum + plane * grid.plane
        if grid.height > 1:
            execute(grid.execute, grid.columns_back, here, here)
        for first in range(0, height, grid.rows):
            execute(grid.execute_back, grid.rows_back, here + first * grid.pitch, memory.address(scratch))
            for i in range(min(grid.rows, height - first)):
                row = scratch[i * pitch : (i + 1) * pitch]
                for k in range(0, numbers, lanes):
                    vector.store(scale * vector.load(row, k), row, k)
                epilogue.finish(row, 1, parts, parts, width, bias, channel * parts, activation, zero)
                at = base + plane * y.plane + (first + i) * y.row
                whole = numbers // lanes * lanes if y.column == parts * item else 0
                for k in range(0, whole, lanes):
                    memory.store_vector(y.data, at + k * item, row, k)
                for k in range(whole, numbers):
                    memory.store_at(y.data, at + k // parts * y.column + k % parts * item, row[k])


def scratch_bytes(grid: Grid) -> int:
    """Bytes of points that a thread needs for both ways."""
    return grid.rows * grid.line
