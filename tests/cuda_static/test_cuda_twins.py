"""A CUDA launcher has its CPU twin's parameters and a trailing stream; it needs neither threads nor their memory, but
workspace of its own."""

import inspect

import pytest

from convlab.kernels.cpu.direct import direct as cpu_direct
from convlab.kernels.cpu.gradient import gradient as cpu_gradient
from convlab.kernels.cpu.im2col import im2col as cpu_im2col
from convlab.kernels.cuda.direct import direct
from convlab.kernels.cuda.gradient import gradient
from convlab.kernels.cuda.im2col import im2col
from convlab.kernels.cuda.im2col_mma import im2col_mma
from convlab.kernels.cuda.weight_gradient import weight_gradient

OF_THREADS = ("threads", "sums", "patches", "window", "gradients")
OF_DEVICE = ("places", "partials")


def names(function):
    parameters = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize(
    ("cuda", "cpu"),
    [
        (direct, cpu_direct),
        (im2col, cpu_im2col),
        (im2col_mma, cpu_im2col),
        (gradient, cpu_gradient),
        (weight_gradient, cpu_gradient),
    ],
    ids=lambda f: f.__name__,
)
def test_parameters(cuda, cpu):
    own = [name for name in names(cuda) if name not in OF_DEVICE]
    assert own == [name for name in names(cpu) if name not in OF_THREADS] + ["stream"]
