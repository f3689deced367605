"""CPU kernels: Numba functions on arrays, to be called from Python and from a user's own @njit functions.

A *_serial kernel does a share of the tasks that its *_tasks counts, on the calling thread; the kernel of the plain name
splits them over threads. convlab.kernels.taps makes the tables, `vector_panels` the weights, `tensor` the operands.
"""

from .direct import direct, direct_serial, direct_tasks
from .extent import Extent
from .gemm import gemm, gemm_serial
from .matrix import Matrix, matrix
from .tensor import Tensor, tensor
from .weights import vector_panels

__all__ = ["Extent", "Matrix", "Tensor", "direct", "direct_serial", "direct_tasks", "gemm", "gemm_serial", "matrix", "tensor", "vector_panels"]
