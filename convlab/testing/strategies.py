"""Hypothesis strategies for convolution problems, and data for them.

A problem is a plain one made harder by a drawn set of features. So a failure shrinks to the features that
it needs, and an algorithm that takes only depthwise problems, say, or only 3x3 kernels is still met often.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from ..geometry import PADDING_MODES, extent
from ..problem import ACTIVATIONS, DIRECTIONS, DTYPES, LAYOUTS, ConvProblem, join_shape

FEATURES = (
    "batch", "channels", "groups", "wide", "kernel", "stride", "dilation", "padding", "padding_mode", "output_padding",
    "bias", "activation", "empty",
)  # fmt: skip

# What distinguishes plain problems, in the order in which a failure gives it up.
_COORDINATES = ("direction", "dtype", "layout", "ndim", "groups", "stride", "kernel")

# Channels of plain problems: a multiple of every vector width.
_PLAIN_CHANNELS = 16

_index = st.integers(0, 999)  # into any short list, as a choice of its own whatever the list's length
_seldom = st.sampled_from((False, False, True))
_few = st.sampled_from((1, 2, 3, 4, _PLAIN_CHANNELS))
_many_in = st.integers(5, 20)
# Half of them symmetric: many an algorithm takes no others.
_pairs = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda p: p if sum(p) % 2 else (p[0], p[0]))
_many_out = st.sampled_from((*range(5, 21), 32, 33, 64, 70))  # around the register blocks of a micro-kernel


@functools.cache
def plain_problems(
    directions: Sequence[str] = DIRECTIONS,
    dtypes: Sequence[np.dtype] = DTYPES,
    layouts: Sequence[str] = LAYOUTS,
    ndims: Sequence[int] = (1, 2, 3),
) -> tuple[ConvProblem, ...]:
    """Unremarkable problems, simplest first: cubic kernels and inputs, dense, strided or depthwise.

    Asking an algorithm's `why_not` about each tells what it is for.
    """
    c, styles = _PLAIN_CHANNELS, ((1, 1), (2, 1), (1, _PLAIN_CHANNELS))
    return tuple(
        ConvProblem.forward(
            join_shape(1, c, (8,) * ndim, layout), (c, c // groups, *(kernel,) * ndim), stride, groups=groups,
            layout=layout, dtype=dtype, direction=direction,
        )
        for direction, dtype, layout, ndim, (stride, groups), kernel in itertools.product(
            directions, dtypes, layouts, ndims, styles, (1, 2, 3, 5)
        )
    )  # fmt: skip


@functools.cache
def sweep_problems() -> tuple[ConvProblem, ...]:
    """Every direction, padding mode, layout and dimensionality together, dense and strided, padded unevenly.

    A fixed list beside what is drawn: of a few hundred random problems, hardly any may pad in one given mode.
    """
    found = []
    for ndim, layout, direction, mode in itertools.product((1, 2, 3), LAYOUTS, DIRECTIONS, PADDING_MODES):
        if direction == "backward_data" and mode != "zeros":
            continue
        for groups, stride, dilation in ((1, (1, 1, 1), (1, 1, 2)), (2, (2, 1, 3), (1, 2, 1))):
            found.append(
                ConvProblem.forward(
                    join_shape(2, 4, (4, 6, 7)[-ndim:], layout),
                    (18, 4 // groups, *(2, 3, 3)[-ndim:]),
                    stride[-ndim:],
                    ((1, 0), (0, 2), (2, 1))[-ndim:],
                    dilation[-ndim:],
                    groups,
                    padding_mode=mode,
                    layout=layout,
                    direction=direction,
                )
            )
    return tuple(found)


def problems(
    directions: Sequence[str] = DIRECTIONS,
    dtypes: Sequence[Any] = DTYPES,
    layouts: Sequence[str] = LAYOUTS,
    ndims: Sequence[int] = (1, 2, 3),
    max_macs: int = 2**17,
) -> st.SearchStrategy[ConvProblem]:
    """Valid problems of small sizes with every feature, up to `max_macs` multiply-adds."""
    types = tuple(np.dtype(dtype) for dtype in dtypes)
    return variations(plain_problems(tuple(directions), types, tuple(layouts), tuple(ndims)), max_macs)


def variations(plain: Sequence[ConvProblem], max_macs: int = 2**17) -> st.SearchStrategy[ConvProblem]:
    """One of the plain problems, of other sizes and with a drawn set of features added."""
    return _variation(lambda: plain, max_macs)  # behind a function, as Hypothesis prints all arguments in full


@st.composite
def _variation(
    draw: Callable[[st.SearchStrategy[Any]], Any], choices: Callable[[], Sequence[ConvProblem]], max_macs: int
) -> ConvProblem:
    plain = choices()
    for name in _COORDINATES:
        values = list(dict.fromkeys(getattr(p, name) for p in plain))
        value = values[draw(_index) % len(values)]
        plain = [p for p in plain if getattr(p, name) == value]
    base, features = plain[0], {name for name in FEATURES if draw(_seldom)}
    transposed = base.direction == "backward_data" and "output_padding" in features
    mode_drawn = draw(st.sampled_from(("replicate", "reflect", "circular")))
    mode = mode_drawn if "padding_mode" in features and base.direction != "backward_data" else "zeros"

    # As much is drawn for every problem, used or not: so that giving up a feature or an axis leaves the rest as it was.
    # An axis given up is the first, where shrinking has made what was drawn plain already.
    def axes(name: str, values: st.SearchStrategy[Any], otherwise: tuple[Any, ...]) -> tuple[Any, ...]:
        drawn = tuple(draw(values) for _ in range(3))[-base.ndim :]
        return drawn if name in features else otherwise

    kernel = axes("kernel", st.integers(1, 4), base.kernel)
    stride = axes("stride", st.integers(1, 3), base.stride)
    dilation = axes("dilation", st.integers(1, 3), base.dilation)
    padding = axes("padding" if mode == "zeros" else "padding_mode", _pairs, ((0, 0),) * base.ndim)
    beyond = axes("output_padding", _index, (0,) * base.ndim)
    extra = tuple(e % max(s, d) if transposed else 0 for e, s, d in zip(beyond, stride, dilation, strict=True))
    batch, groups, depth, filters = draw(_channels(base, features))
    options = {"dtype": base.dtype, "layout": base.layout, **draw(_epilogue(base, features))}
    *outer, last = tuple(draw(st.integers(1, 8)) for _ in range(3))[-base.ndim :]
    sizes = (*outer, draw(st.integers(1, 70)) if "wide" in features else last)
    size = []
    for axis, (r, s, d, (lo, hi)) in enumerate(zip(kernel, stride, dilation, padding, strict=True)):
        if transposed:  # the output of a transposed convolution must not be all cropped away
            least = -(-(1 - extent(r, d) + lo + hi - extra[axis]) // s) + 1
        else:
            least = max(extent(r, d) - lo - hi, max(lo, hi) + 1 if mode != "zeros" else 1)
        size.append(max(sizes[axis], least))

    def build(filters: int) -> ConvProblem:
        w_shape = (filters * groups, depth, *kernel)
        if transposed:
            y_shape = join_shape(batch, filters * groups, tuple(size), base.layout)
            return ConvProblem.transposed(y_shape, w_shape, stride, padding, extra, groups, dilation, **options)
        x_shape = join_shape(batch, depth * groups, tuple(size), base.layout)
        options.update(direction=base.direction, padding_mode=mode)
        return ConvProblem.forward(x_shape, w_shape, stride, padding, dilation, groups, **options)

    problem = build(filters)
    if problem.macs > max_macs:
        problem = build(max(1, filters * max_macs // problem.macs))
    assume(problem.macs <= max_macs)
    return problem


@st.composite
def _channels(
    draw: Callable[[st.SearchStrategy[Any]], Any], base: ConvProblem, features: set[str]
) -> tuple[int, int, int, int]:
    """Batch, groups, in-channels a group, out-channels a group."""
    many, depthwise = "channels" in features, base.groups > 1
    images, parts = draw(st.integers(2, 3)), draw(st.integers(2, 20 if depthwise else 4))
    depth, filters = draw(_many_in if many else _few), draw(_many_out if many else _few)
    empty = draw(st.sampled_from((None, None, None, None, "batch", "depth", "filters")))
    if depthwise:
        depth, filters = 1, min(filters, 3)
    if "empty" in features:
        depth, filters = 0 if empty == "depth" else depth, 0 if empty == "filters" else filters
        images = 0 if empty == "batch" else images
    batch = images if "batch" in features or not images else 1
    return batch, parts if depthwise or "groups" in features else 1, depth, filters


@st.composite
def _epilogue(draw: Callable[[st.SearchStrategy[Any]], Any], base: ConvProblem, features: set[str]) -> dict[str, Any]:
    """Bias and activation, where the direction and the dtype have them."""
    index = draw(_index)
    if base.direction == "backward_weights":
        return {}
    valid = {"c": (None,), "i": (None, "relu", "relu6"), "u": (None, "relu", "relu6")}.get(base.dtype.kind, ACTIVATIONS)
    activation = valid[index % len(valid)] if "activation" in features else None
    return {"has_bias": "bias" in features, "activation": activation}


def operands(problem: ConvProblem, seed: int, *, small_integers: bool = False) -> tuple[Any, ...]:
    """Arrays for a problem, the same for the same seed: (x, w, bias), (grad_output, w, bias) or (x, grad_output).

    Standard normal floats; integers over their full range, so that sums wrap. With `small_integers`,
    whole numbers from −3 to 3 (unsigned: from 0) in any dtype. bias is None where the problem has none.
    """
    rng = np.random.default_rng(seed)

    def array(shape: tuple[int, ...]) -> np.ndarray:
        dtype = problem.dtype
        if small_integers:
            whole = rng.integers(0 if dtype.kind == "u" else -3, 3, shape, endpoint=True)
            return (whole + 1j * rng.integers(-3, 4, shape) if dtype.kind == "c" else whole).astype(dtype)
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        values = rng.standard_normal(shape)
        return (values + 1j * rng.standard_normal(shape) if dtype.kind == "c" else values).astype(dtype)

    if problem.direction == "backward_weights":
        return array(problem.x_shape), array(problem.y_shape)
    first = problem.x_shape if problem.direction == "forward" else problem.y_shape
    return array(first), array(problem.w_shape), array(problem.bias_shape) if problem.has_bias else None
