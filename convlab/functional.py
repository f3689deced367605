"""conv1d/2d/3d and conv_transpose1d/2d/3d: the meaning of torch.nn.functional's, on NumPy and CUDA arrays.

x is (N, C, *spatial) or unbatched (C, *spatial); w is (K, C/groups, *kernel), for conv_transpose
(C, K/groups, *kernel); with layout="channels_last" x and the result are (N, *spatial, C) and w stays. The
dtype of the result is numpy.result_type(x, w). Common keywords:

    padding_mode     "zeros", "reflect", "replicate" or "circular"
    activation       None, "relu", "relu6", "silu", "gelu", "sigmoid" or "tanh", applied while the tile is in cache
    layout           "channels_first" or "channels_last"
    algorithm        "auto", or the name of one; what is named runs or raises UnsupportedError, never falls back
    backend          "auto" follows the data: "cpu" for NumPy's, "cuda" for what has __cuda_array_interface__ (CuPy,
                     PyTorch, numba), which gives results of the library of x; NumPy arrays are copied there and back
    stream           on cuda, where the work is queued: a stream of those libraries; by default the one that x tells
    accuracy         "componentwise", "normwise" or "reduced": the kind of error bound that "auto" may rely on; by a
                     normwise one an infinity or a NaN may spread over a tile or the image
    workspace_limit  bytes, or a text such as "64MiB", for workspace and prepared weights
    threads          processors to use; by default all that the process may
    out              where the result goes: exact shape and dtype, any strides, no overlap with the inputs

Raises ProblemError, DTypeError, UnsupportedError or BackendError, each with the argument and what is valid.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import dtype_of, given, of, on_device
from .errors import BackendError, DTypeError, ProblemError
from .geometry import is_sequence
from .plan import Plan, make_plan
from .problem import ConvProblem, check_dtype, choice
from .registry import algorithms, check_backend


def result_dtype(x: Any, w: Any) -> np.dtype:
    """numpy.result_type of two arrays, or DTypeError where convolution is not defined for it."""
    for name, array in (("x", x), ("w", w)):
        if dtype_of(array).kind == "b":
            raise DTypeError(f"{name} is bool, for which convolution is not defined; cast it to an integer or float")
    try:
        dtype = np.result_type(dtype_of(x), dtype_of(w))
    except TypeError:
        raise DTypeError(f"x is {dtype_of(x)} and w is {dtype_of(w)}, which have no common dtype") from None
    return check_dtype(dtype)


def resolve_backend(backend: str, x: Any) -> str:
    """The backend that "auto" means for this data, or the one named, if it has any algorithm."""
    if backend == "auto":
        backend = "cuda" if on_device(x) else "cpu"
    if not algorithms(check_backend(backend)):
        raise BackendError(f"backend={backend!r} has no algorithm installed")
    return backend


def spatial_dimensions(name: str, w: Any, ndim: int) -> None:
    """Refuse weights of the wrong rank."""
    if len(w) != ndim + 2:
        raise ProblemError(f"{name} has shape {tuple(w)}; {ndim}-D convolution takes {ndim + 2} dimensions")


def batched_shape(name: str, shape: Sequence[int], ndim: int) -> tuple[tuple[int, ...], bool]:
    """A shape with its batch axis, and whether that had to be added."""
    if len(shape) not in (ndim + 1, ndim + 2):
        raise ProblemError(
            f"{name} has shape {tuple(shape)}; {ndim}-D convolution takes {ndim + 2} dimensions, "
            f"or {ndim + 1} unbatched"
        )
    return ((1, *shape), True) if len(shape) == ndim + 1 else (tuple(shape), False)


def _conv(
    ndim: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int,
    padding_mode: str, activation: str | None, layout: str, backend: str, stream: Any, out: Any, **choose: Any,
) -> Any:  # fmt: skip
    backend = resolve_backend(backend, x)
    x, w = given(x), given(w)
    spatial_dimensions("w", w.shape, ndim)
    shape, unbatched = batched_shape("x", x.shape, ndim)
    problem = ConvProblem.forward(
        shape, w.shape, stride, padding, dilation, groups, padding_mode=padding_mode, layout=layout,
        dtype=result_dtype(x, w), has_bias=bias is not None, activation=activation,
    )  # fmt: skip
    arrays = of(backend, x, w)
    chosen = make_plan(
        problem, w, bias, backend=backend, unbatched=unbatched, arrays=arrays, stream=arrays.stream(stream, x), **choose
    )
    return chosen(x, out, stream)


def _conv_transpose(
    ndim: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any,
    activation: str | None, layout: str, backend: str, stream: Any, out: Any, **choose: Any,
) -> Any:  # fmt: skip
    backend = resolve_backend(backend, x)
    x, w = given(x), given(w)
    spatial_dimensions("w", w.shape, ndim)
    shape, unbatched = batched_shape("x", x.shape, ndim)
    problem = ConvProblem.transposed(
        shape, w.shape, stride, padding, output_padding, groups, dilation, layout=layout,
        dtype=result_dtype(x, w), has_bias=bias is not None, activation=activation,
    )  # fmt: skip
    arrays = of(backend, x, w)
    chosen = make_plan(
        problem, w, bias, backend=backend, unbatched=unbatched, arrays=arrays, stream=arrays.stream(stream, x), **choose
    )
    return chosen(x, out, stream)


def conv1d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, *,
    padding_mode: str = "zeros", activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Cross-correlate x (N, C, L) with w (K, C/groups, R); see the module for the keywords."""
    return _conv(
        1, x, w, bias, stride, padding, dilation, groups, padding_mode, activation, layout, backend, stream, out,
        algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv2d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, *,
    padding_mode: str = "zeros", activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Cross-correlate x (N, C, H, W) with w (K, C/groups, R, S); see the module for the keywords."""
    return _conv(
        2, x, w, bias, stride, padding, dilation, groups, padding_mode, activation, layout, backend, stream, out,
        algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv3d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1, *,
    padding_mode: str = "zeros", activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Cross-correlate x (N, C, D, H, W) with w (K, C/groups, T, R, S); see the module for the keywords."""
    return _conv(
        3, x, w, bias, stride, padding, dilation, groups, padding_mode, activation, layout, backend, stream, out,
        algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv_transpose1d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1, *, activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Transposed convolution of x (N, C, L) with w (C, K/groups, R); see the module for the keywords."""
    return _conv_transpose(
        1, x, w, bias, stride, padding, output_padding, groups, dilation, activation, layout, backend, stream, out,
        algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv_transpose2d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1, *, activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Transposed convolution of x (N, C, H, W) with w (C, K/groups, R, S); see the module for the keywords."""
    return _conv_transpose(
        2, x, w, bias, stride, padding, output_padding, groups, dilation, activation, layout, backend, stream, out,
        algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def conv_transpose3d(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1, *, activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, stream: Any = None, out: Any = None,
) -> Any:  # fmt: skip
    """Transposed convolution of x (N, C, D, H, W) with w (C, K/groups, T, R, S); see the module for the keywords."""
    return _conv_transpose(
        3, x, w, bias, stride, padding, output_padding, groups, dilation, activation, layout, backend, stream, out,
        algorithm=algorithm, accuracy=accuracy, workspace_limit=workspace_limit, threads=threads,
    )  # fmt: skip


def plan(
    x_shape_or_problem: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", activation: str | None = None, layout: str = "channels_first",
    algorithm: str = "auto", backend: str = "auto", accuracy: str = "normwise",
    workspace_limit: int | str | None = None, threads: int | None = None, dtype: Any = None,
) -> Plan:  # fmt: skip
    """A Plan: conv* with everything but x settled, so that `plan(x)` does no work twice.

    x_shape_or_problem: the shape of x, batched or not, with the options of conv*; or a ConvProblem of any
        direction, which then says all of those itself (w is None for backward_weights).
    dtype: of x and the result; by default that of w.
    """
    backend = resolve_backend(backend, w)
    if isinstance(x_shape_or_problem, ConvProblem):
        problem, unbatched = x_shape_or_problem, False
        if problem.has_bias != (bias is not None):
            raise ProblemError(f"bias is {'' if bias is None else 'not '}None, but problem.has_bias={problem.has_bias}")
    else:
        if not is_sequence(x_shape_or_problem):
            raise ProblemError(f"x_shape_or_problem must be a shape or a ConvProblem, not {x_shape_or_problem!r}")
        w = given(w)
        ndim = len(w.shape) - 2
        choice("spatial dimensions of w", ndim, (1, 2, 3))
        shape, unbatched = batched_shape("x", x_shape_or_problem, ndim)
        data = w if dtype is None else np.empty(0, dtype)
        problem = ConvProblem.forward(
            shape, w.shape, stride, padding, dilation, groups, padding_mode=padding_mode, layout=layout,
            dtype=result_dtype(data, w), has_bias=bias is not None, activation=activation,
        )  # fmt: skip
    return make_plan(
        problem, w, bias, algorithm=algorithm, backend=backend, accuracy=accuracy,
        workspace_limit=workspace_limit, threads=threads, unbatched=unbatched,
    )  # fmt: skip
