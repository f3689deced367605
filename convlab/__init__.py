"""convlab: convolutions with interchangeable algorithms, written in Python with Numba, measured against each other.

    import convlab
    y = convlab.conv2d(x, w, padding=1)            # as torch.nn.functional.conv2d, on NumPy arrays
    plan = convlab.plan(x.shape, w, padding=1)     # the same with weights prepared once; plan(x), plan.explain()

Nothing here imports Numba: kernels are loaded when the first problem needs them.
"""

# The packages come first: importing a submodule later would otherwise rebind the functions of the same name.
from . import algorithms as algorithms_package
from . import arrays, grad, reference
from . import plan as plan_module
from .algorithm import Algorithm, ArraySpec, Context, Cost, ErrorModel, Stage
from .errors import BackendError, ConvlabError, DTypeError, ProblemError, UnsupportedError
from .functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    plan,
)
from .plan import Plan
from .problem import ConvProblem
from .registry import algorithms, get_algorithm, peers, plugin_failures, register, unregister
from .signal import convolve, correlate

__version__ = "0.1.0"

del algorithms_package, plan_module

__all__ = [
    "Algorithm", "ArraySpec", "BackendError", "Context", "ConvProblem", "ConvlabError", "Cost", "DTypeError",
    "ErrorModel", "Plan", "ProblemError", "Stage", "UnsupportedError", "algorithms", "arrays", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolve", "correlate", "get_algorithm",
    "grad", "peers", "plan", "plugin_failures", "reference", "register", "unregister",
]  # fmt: skip
