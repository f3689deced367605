"""Matrix products: of matrices as they lie in memory, and of operands that a kernel has packed itself.

`gemm` is the first, for everybody; `gemm_serial` a whole product on the calling thread.

`multiply` is the second, for kernels that pack as they go and keep their sums. Its panels: a in panels of ROWS rows,
[depth][row], the last as wide as the rows left; b in panels of VECTORS vectors, [depth][lane], always whole. The
result is kept tile after tile in a block of accumulators, from which the epilogue writes it out: partial sums never
pass through the result's own memory or type. DEPTH steps of the reduction at a time make a panel of a 14 KiB (a third
of L1) and one of b 32 KiB (AVX-512, float32; half on AVX2); BLOCK_BYTES of lanes make b's block 128 KiB, which stays
in L2.
"""

from typing import Any

from ..compile import jit
from . import memory, simd
from .blis import product, row_block, stripe
from .matrix import part, transposed
from .microkernel import tile_product
from .parallel import split
from .tile import ROWS, VECTORS

DEPTH = 256
BLOCK_BYTES = 512
# Lanes of a block of the narrowest type, and bounds of as many runs: what arrays on the stack must hold.
MAX_LANES, MAX_RUNS = BLOCK_BYTES, BLOCK_BYTES + 1


@jit
def block_lanes(zero: Any) -> int:
    """Lanes of b that are packed at a time: whole panels."""
    return BLOCK_BYTES // simd.VECTOR_BYTES * simd.lanes(zero)


def workspace(rows: int, item: int) -> tuple[int, int]:
    """Elements of the two blocks a thread needs for `rows` rows of a: accumulators, and packed b.

    item: bytes of an accumulator.
    """
    lanes = BLOCK_BYTES // item
    return -(-rows // ROWS) * ROWS * lanes, DEPTH * lanes


@jit
def multiply(
    rows: int, lanes: int, depth: int, a: Any, a_base: int, a_panel: int, a_skip: int, b: Any, b_base: int,
    more: bool, sums: Any, zero: Any,
) -> None:  # fmt: skip
    """sums = a · b, or sums += a · b with `more`, over `depth` steps; tile (i, j) is at (i · panels of b + j) tiles.

    a_base, b_base: byte addresses; a_panel: bytes from one panel of a to the next; a_skip: steps of a to pass over.
    """
    simd.outlined()
    vector = simd.lanes(zero)
    width = VECTORS * vector
    panels = (lanes + width - 1) // width
    b_step = width * b.itemsize
    for i in range((rows + ROWS - 1) // ROWS):
        height = min(ROWS, rows - i * ROWS)
        a_step = height * a.itemsize
        start = a_base + i * a_panel + a_skip * a_step
        for j in range(panels):
            vectors = min(VECTORS, (lanes - j * width + vector - 1) // vector)
            at = memory.address(sums) + (i * panels + j) * ROWS * width * sums.itemsize
            tile_product(
                height + height % 2, vectors, depth, a, start, a.itemsize, a_step, b, b_base + j * depth * b_step,
                b_step, more, at, width * sums.itemsize, zero,
            )  # fmt: skip


@jit
def along_lanes(a: Any, b: Any, c: Any) -> Any:
    """a, b and c of a product, or of the same one transposed if that has vectors along the rows of c."""
    if c.row_step == c.data.itemsize != c.column_step:
        return transposed(b), transposed(a), transposed(c)
    return a, b, c


@jit
def gemm_serial(a: Any, b: Any, accumulate: bool, zero: Any, a_panels: Any, b_panels: Any, c: Any) -> None:
    """c = a · b, or c += a · b to `accumulate`, for every matrix of a stack, on the calling thread.

    a, b, c: Matrix of (M, K), (K, N) and (M, N), of any strides, c apart from a and b; zero: of their type, a real one
    but float16. a_panels, b_panels: workspace of that type, as many elements as blis.workspace says.
    """
    simd.outlined()
    for i in range(c.batch):
        one, two, result = along_lanes(
            part(a, i, 0, a.rows, 0, a.columns),
            part(b, i, 0, b.rows, 0, b.columns),
            part(c, i, 0, c.rows, 0, c.columns),
        )  # fmt: skip
        product(
            one, two, result.rows, result.columns, one.columns, row_block(result.rows), accumulate, zero, a_panels,
            b_panels, result,
        )  # fmt: skip


@jit
def gemm_share(
    start: int, stop: int, tasks: int, threads: int, parts: int, a: Any, b: Any, accumulate: bool, zero: Any,
    a_panels: Any, b_panels: Any, c: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1: some of the `parts` stripes that each matrix of the stack is cut into.

    Stripes are whole register tiles wide, and cut the longer side of c, so that threads pack as little as possible
    that another packs too. Of a square they cut the columns: whoever multiplies packs all of b's at once, but a's rows
    again for every block of them.
    """
    for thread in range(start, stop):
        for task in range(tasks * thread // threads, tasks * (thread + 1) // threads):
            row, rows, lane, lanes = 0, c.rows, 0, c.columns
            if c.rows > c.columns:
                row, rows = stripe(c.rows, task % parts, parts, ROWS)
            else:
                lane, lanes = stripe(c.columns, task % parts, parts, VECTORS * simd.lanes(zero))
            index = task // parts
            gemm_serial(
                part(a, index, row, rows, 0, a.columns), part(b, index, 0, b.rows, lane, lanes), accumulate, zero,
                a_panels[thread], b_panels[thread], part(c, index, row, rows, lane, lanes),
            )  # fmt: skip


@jit
def gemm(a: Any, b: Any, accumulate: bool, zero: Any, a_panels: Any, b_panels: Any, threads: int, c: Any) -> None:
    """Products of matrices, split over `threads`; see gemm_serial. a_panels, b_panels: one row a thread.

    How the work is split does not change the bits of the result.
    """
    one, two, result = along_lanes(a, b, c)
    parts = 1 if c.batch % threads == 0 else threads
    tasks = c.batch * parts
    split(
        gemm_share, threads, threads,
        (tasks, threads, parts, one, two, accumulate, zero, a_panels, b_panels, result),
    )  # fmt: skip
