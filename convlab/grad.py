"""Gradients of conv1d/2d/3d, with the arguments of torch.nn.grad: those of the loss with respect to x and to w.

grad_output is the gradient of the loss with respect to the result of conv*. Complex gradients are conjugated as
autograd's: d_input = Σ grad_output·conj(w), d_weight = Σ conj(x)·grad_output. The keywords are those of
`convlab.functional`; padding_mode other than "zeros" is for conv*_weight only.
"""

from collections.abc import Sequence
from typing import Any

from .arrays import dtype_of, given, of
from .errors import ProblemError
from .functional import batched_shape, resolve_backend, result_dtype, spatial_dimensions
from .plan import make_plan
from .problem import ConvProblem


def _conjugate(array: Any) -> Any:
    return array.conj() if dtype_of(array).kind == "c" else array


def _check_grad_output(shape: Sequence[int], problem: ConvProblem, unbatched: bool) -> None:
    expected = problem.y_shape[1:] if unbatched else problem.y_shape
    if tuple(shape) != expected:
        raise ProblemError(f"grad_output has shape {tuple(shape)}; the forward convolution gives {expected}")


def _input(
    ndim: int, input_size: Sequence[int], w: Any, grad_output: Any, stride: Any, padding: Any, dilation: Any,
    groups: int, padding_mode: str, layout: str, backend: str, stream: Any, out: Any, **choose: Any,
) -> Any:  # fmt: skip
    backend = resolve_backend(backend, grad_output)
    w, grad_output = given(w), given(grad_output)
    spatial_dimensions("w", w.shape, ndim)
    shape, unbatched = batched_shape("input_size", input_size, ndim)
    problem = ConvProblem.forward(
        shape, w.shape, stride, padding, dilation, groups, padding_mode=padding_mode, layout=layout,
        dtype=result_dtype(grad_output, w), direction="backward_data",
    )  # fmt: skip
    _check_grad_output(grad_output.shape, problem, unbatched)
    arrays = of(backend, grad_output, w)
    chosen = make_plan(
        problem, _conjugate(w), backend=backend, unbatched=unbatched, arrays=arrays,
        stream=arrays.stream(stream, grad_output), **choose,
    )  # fmt: skip
    return chosen(grad_output, out, stream)


def _weight(
    ndim: int, x: Any, weight_size: Sequence[int], grad_output: Any, stride: Any, padding: Any, dilation: Any,
    groups: int, padding_mode: str, layout: str, backend: str, stream: Any, out: Any, **choose: Any,
) -> Any:  # fmt: skip
    backend = resolve_backend(backend, x)
    x, grad_output = given(x), given(grad_output)
    spatial_dimensions("weight_size", weight_size, ndim)
    shape, unbatched = batched_shape("x", x.shape, ndim)
    problem = ConvProblem.forward(
        shape, weight_size, stride, padding, dilation, groups, padding_mode=padding_mode, layout=layout,
        dtype=result_dtype(x, grad_output), direction="backward_weights",
    )  # fmt: skip
    _check_grad_output(grad_output.shape, problem, unbatched)
    arrays = of(backend, x, grad_output)
    plan = make_plan(problem, backend=backend, unbatched=unbatched, arrays=arrays, **choose)
    return plan((_conjugate(x), grad_output), out, stream)


def conv1d_input(
    input_size: Sequence[int], w: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Gradient with respect to x, of shape input_size; w is (K, C/groups, R)."""
    return _input(
        1, input_size, w, grad_output, stride, padding, dilation, groups, padding_mode, layout, backend, stream,
        out, algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv2d_input(
    input_size: Sequence[int], w: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Gradient with respect to x, of shape input_size; w is (K, C/groups, R, S)."""
    return _input(
        2, input_size, w, grad_output, stride, padding, dilation, groups, padding_mode, layout, backend, stream,
        out, algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv3d_input(
    input_size: Sequence[int], w: Any, grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Gradient with respect to x, of shape input_size; w is (K, C/groups, T, R, S)."""
    return _input(
        3, input_size, w, grad_output, stride, padding, dilation, groups, padding_mode, layout, backend, stream,
        out, algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv1d_weight(
    x: Any, weight_size: Sequence[int], grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Gradient with respect to w, of shape weight_size = (K, C/groups, R)."""
    return _weight(
        1, x, weight_size, grad_output, stride, padding, dilation, groups, padding_mode, layout, backend, stream,
        out, algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv2d_weight(
    x: Any, weight_size: Sequence[int], grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Gradient with respect to w, of shape weight_size = (K, C/groups, R, S)."""
    return _weight(
        2, x, weight_size, grad_output, stride, padding, dilation, groups, padding_mode, layout, backend, stream,
        out, algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv3d_weight(
    x: Any, weight_size: Sequence[int], grad_output: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Gradient with respect to w, of shape weight_size = (K, C/groups, T, R, S)."""
    return _weight(
        3, x, weight_size, grad_output, stride, padding, dilation, groups, padding_mode, layout, backend, stream,
        out, algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip
