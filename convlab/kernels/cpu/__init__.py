"""CPU kernels: Numba functions on arrays, to be called from Python and from a user's own @njit functions.

A *_serial kernel does a share of the tasks that its *_tasks counts, on the calling thread; the kernel of the plain name
splits them over threads. convlab.kernels.taps makes the tables, `vector_panels` the weights, `tensor` the operands.
"""

from .direct import direct, direct_serial, direct_tasks
from .extent import Extent
from .rows import rows, rows_serial, rows_tasks
from .tensor import Tensor, tensor
from .weights import vector_panels

__all__ = [
    "Extent",
    "Tensor",
    "direct",
    "direct_serial",
    "direct_tasks",
    "rows",
    "rows_serial",
    "rows_tasks",
    "tensor",
    "vector_panels",
]
