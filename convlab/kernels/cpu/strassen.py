"""strassen: products of matrices by a bilinear scheme, of fewer products than a plain one has.

Each product of the scheme is one of `blis`. Its operands are summed as they are packed (`sums`), and its tiles are
added to the blocks of c they belong to as they are stored (`blocks`): nothing is written between. Threads pack a's sum
together, because each of them reads all of it, and then share the product as in gemm, by stripes.
"""

from typing import Any

from ..bilinear import Scheme
from ..compile import jit
from . import packed, simd
from .blis import DEPTH_BYTES, even_block, product, row_block, stripe
from .blis import workspace as product_workspace
from .blocks import blocks, blocks_from
from .gemm import along_lanes
from .matrix import part
from .packed import Packed, pack_blocks
from .parallel import split
from .sums import Terms, block_sum, sum_from
from .tile import VECTORS


def workspace(scheme: Scheme, rows: int, columns: int, depth: int, item: int) -> tuple[int, int]:
    """Elements of `item` bytes of a's packed sum, for all threads, and of b's packed block for each.

    rows, columns, depth: of the product, c being rows × columns.
    """
    # Which of the two is the left operand depends on how c lies. It is rounded up to pairs of rows, or vectors.
    most = max(-(-rows // scheme.rows), -(-columns // scheme.columns)) + simd.VECTOR_BYTES // item
    steps = min(-(-depth // scheme.depth), DEPTH_BYTES // item)
    return packed.workspace(most, steps, item), product_workspace(item)[1]


@jit
def parts(sums: Any) -> tuple[int, int]:
    """Rows and columns of blocks that a matrix is cut into."""
    rows, columns = 0, 0
    for i in range(len(sums.rows)):
        rows, columns = max(rows, sums.rows[i] + 1), max(columns, sums.columns[i] + 1)
    return rows, columns


@jit
def block_size(size: int, blocks: int, multiple: int) -> int:
    """Of one of so many blocks."""
    return ((size + blocks - 1) // blocks + multiple - 1) // multiple * multiple


@jit
def turned_terms(sums: Any) -> Any:
    """Those of the transposed matrix."""
    return Terms(sums.starts, sums.columns, sums.rows, sums.factors, sums.again, sums.final)


@jit
def product_share(
    start: int, stop: int, threads: int, high: int, wide: int, depth: int, b: Any, more: bool, zero: Any, a_panels: Any,
    b_panels: Any, c: Any,
) -> None:  # fmt: skip
    """The shares of threads start … stop − 1 of a product whose left operand is packed: stripes of the longer side."""
    tall = row_block(high)
    for thread in range(start, stop):
        row, rows, lane, lanes = 0, high, 0, wide
        if high > wide:
            row, rows = stripe(high, thread, threads, tall)
        else:
            lane, lanes = stripe(wide, thread, threads, VECTORS * simd.lanes(zero))
        if rows > 0 and lanes > 0:
            product(
                Packed(a_panels, row, tall, depth), sum_from(b, 0, lane), rows, lanes, depth, tall, more, zero,
                a_panels, b_panels[thread], blocks_from(c, row, lane),
            )  # fmt: skip


@jit
def strassen(
    a: Any, b: Any, left: Any, right: Any, into: Any, bias: Any, activation: int, accumulate: bool, zero: Any,
    a_panels: Any, b_panels: Any, threads: int, c: Any,
) -> None:  # fmt: skip
    """c = activation(a · b + bias) by a scheme, or with c in the sum to `accumulate`, for every matrix of a stack.

    a, b, c: Matrix of (M, K), (K, N) and (M, N), of any strides, c apart from a and b, float32 or float64; left, right,
    into: what `sums.terms` makes of a scheme of kernels.bilinear; bias: empty, or M elements; activation: of
    epilogue.activation_code; zero: of their type. a_panels, b_panels: workspace of that type, elements of the first and
    (threads, elements of the second).
    How the work is split does not change the bits of the result. In a function that runs in parallel itself, threads=1.
    """
    across = c.row_step == c.data.itemsize != c.column_step
    one, two, result = along_lanes(a, b, c)
    first, second, last = left, right, into
    if across:
        first, second, last = turned_terms(right), turned_terms(left), turned_terms(into)
    # Pairs of rows and whole vectors, so that only the last blocks have incomplete tiles.
    (rows, columns), steps = parts(last), parts(first)[1]
    high, deep = block_size(result.rows, rows, 2), block_size(one.columns, steps, 1)
    wide = block_size(result.columns, columns, simd.lanes(zero))
    most = even_block(deep, DEPTH_BYTES // c.data.itemsize, 1)
    tall = row_block(high)
    for index in range(c.batch):
        x = part(one, index, 0, one.rows, 0, one.columns)
        y = part(two, index, 0, two.rows, 0, two.columns)
        z = part(result, index, 0, result.rows, 0, result.columns)
        for i in range(len(first.starts) - 1):
            for step in range(0, max(deep, 1), most):
                depth = min(most, deep - step)
                ends = step + depth >= deep
                split(
                    pack_blocks, (high + tall - 1) // tall, threads,
                    (block_sum(x, first, i, high, deep), high, step, depth, zero, a_panels),
                )  # fmt: skip
                split(
                    product_share, threads, threads,
                    (
                        threads, high, wide, depth, sum_from(block_sum(y, second, i, deep, wide), step, 0),
                        accumulate or step > 0, zero, a_panels, b_panels,
                        blocks(z, last, i, high, wide, ends, bias, across, activation),
                    ),
                )  # fmt: skip
