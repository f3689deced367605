"""CPU kernels: Numba functions on arrays, to be called from Python and from a user's own @njit functions.

A *_serial kernel does a share of the tasks that its *_tasks counts, on the calling thread; the kernel of the plain
name splits them over threads. convlab.kernels.taps makes the tables, `vector_panels` and `row_panels` the weights,
`tensor` the operands; `filter_panels` and `regions.whole` are winograd's. `gemm` multiplies matrices, which `matrix`
makes of arrays; gemm_serial does a whole product; `strassen` multiplies by a scheme of kernels.bilinear, of which
`scheme_terms` makes tables.
"""

from .depthwise import depthwise, depthwise_serial, depthwise_tasks
from .direct import direct, direct_serial, direct_tasks
from .extent import Extent
from .gemm import gemm, gemm_serial
from .matrix import Matrix, matrix
from .pointwise import pointwise, pointwise_serial
from .rows import rows, rows_serial, rows_tasks
from .strassen import strassen
from .sums import terms as scheme_terms
from .tensor import Tensor, tensor
from .weights import row_panels, vector_panels
from .winograd import winograd, winograd_serial, winograd_tasks
from .winograd_filters import filter_panels

__all__ = [
    "Extent",
    "Matrix",
    "Tensor",
    "depthwise",
    "depthwise_serial",
    "depthwise_tasks",
    "direct",
    "direct_serial",
    "direct_tasks",
    "filter_panels",
    "gemm",
    "gemm_serial",
    "matrix",
    "pointwise",
    "pointwise_serial",
    "row_panels",
    "rows",
    "rows_serial",
    "rows_tasks",
    "scheme_terms",
    "strassen",
    "tensor",
    "vector_panels",
    "winograd",
    "winograd_serial",
    "winograd_tasks",
]
