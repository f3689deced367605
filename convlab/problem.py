"""ConvProblem: everything about a convolution except the numbers in its arrays.

All three directions are described by the forward convolution they belong to:

    forward           y[n,k,o] = Σ_c Σ_r x[n,c,o·s + r·d − lo] · w[k,c,r]
    backward_data     x[n,c,i] = Σ_k Σ_(o,r: o·s + r·d − lo = i) y[n,k,o] · w[k,c,r]
    backward_weights  w[k,c,r] = Σ_n Σ_o x[n,c,o·s + r·d − lo] · y[n,k,o]

so that x_shape, w_shape and y_shape mean the same in each; only which of them is computed differs.
A transposed convolution is backward_data with a bias and an activation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import geometry
from .descriptor import parse, write
from .errors import DTypeError, ProblemError

DIRECTIONS = ("forward", "backward_data", "backward_weights")
LAYOUTS = ("channels_first", "channels_last")
ACTIVATIONS = (None, "relu", "relu6", "silu", "gelu", "sigmoid", "tanh")
DTYPES = tuple(
    np.dtype(name)
    for name in (
        "float32 float64 float16 complex64 complex128 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
    ).split()
)


def check_dtype(dtype: Any) -> np.dtype:
    """The dtype in native byte order, or a DTypeError that lists what is supported."""
    native = np.dtype(dtype).newbyteorder("=")
    if native not in DTYPES:
        raise DTypeError(f"dtype {np.dtype(dtype)} is not supported; valid are {', '.join(map(str, DTYPES))}")
    return native


def choice(name: str, value: Any, valid: Sequence[Any]) -> None:
    """Refuse a value that is not one of `valid`."""
    if value not in valid:
        raise ProblemError(f"{name}={value!r} is unknown; valid are {', '.join(map(repr, valid))}")


@dataclass(frozen=True)
class ConvProblem:
    """One convolution: sizes, geometry, dtype, layout, direction, epilogue. Immutable and hashable.

    Build it with `forward`, `transposed` or `from_descriptor`; the plain constructor validates too.
    `in_size` and `out_size` are stored both, since several inputs give one output size under a stride.
    """

    batch: int
    in_channels: int
    out_channels: int
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    padding_mode: str = "zeros"
    dtype: np.dtype = np.dtype(np.float32)
    layout: str = "channels_first"
    direction: str = "forward"
    has_bias: bool = False
    activation: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", check_dtype(self.dtype))
        choice("direction", self.direction, DIRECTIONS)
        choice("layout", self.layout, LAYOUTS)
        choice("activation", self.activation, ACTIVATIONS)
        if self.ndim not in (1, 2, 3):
            raise ProblemError(f"a convolution has 1, 2 or 3 spatial dimensions, not {self.ndim}")
        for name, sizes in (("kernel", self.kernel), ("spatial size", self.in_size), ("output size", self.out_size)):
            if min(sizes) < 1:
                raise ProblemError(f"{name} {sizes} has an empty axis; each must be at least 1")
        geometry.integer("groups", self.groups, 1)
        for name, channels in (("in-channels", self.in_channels), ("out-channels", self.out_channels)):
            if channels % self.groups:
                raise ProblemError(f"groups={self.groups} does not divide the {channels} {name}")
        for axis, (h, p, r, s, (lo, hi), d) in enumerate(
            zip(self.in_size, self.out_size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        ):
            if (p - 1) * s + geometry.extent(r, d) > h + lo + hi:
                raise ProblemError(
                    f"out_size={p} on spatial axis {axis} reads past the padded input of {h + lo + hi} elements "
                    f"(kernel {r}, stride {s}, dilation {d})"
                )
        geometry.check_padding_mode(self.padding_mode, self.padding, self.in_size)
        if self.direction == "backward_data" and self.padding_mode != "zeros":
            raise ProblemError(f"padding_mode={self.padding_mode!r} has no backward_data; only 'zeros' has")
        if self.direction == "backward_weights" and (self.has_bias or self.activation):
            raise ProblemError("backward_weights takes neither a bias nor an activation")
        if self.activation and (
            self.dtype.kind == "c" or (self.dtype.kind in "iu" and self.activation not in ("relu", "relu6"))
        ):
            valid = "none" if self.dtype.kind == "c" else "'relu' and 'relu6'"
            raise ProblemError(f"activation={self.activation!r} is not defined for {self.dtype}; valid: {valid}")

    # -- constructors

    @classmethod
    def forward(
        cls,
        x_shape: Sequence[int],
        w_shape: Sequence[int],
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        *,
        layout: str = "channels_first",
        **options: Any,
    ) -> "ConvProblem":
        """From a batched x (N, C, *spatial, or as `layout` says) and w (K, C/groups, *kernel).

        With `direction` among the options, the backward problem of that forward convolution.
        """
        batch, channels, size = split_shape("x", x_shape, layout, len(w_shape) - 2)
        out_channels, depth, *kernel = w_shape
        groups = geometry.integer("groups", groups, 1)
        if channels != depth * groups:
            raise ProblemError(
                f"x has {channels} channels, but w of shape {tuple(w_shape)} with groups={groups} "
                f"takes {depth * groups} (w_shape[1] · groups)"
            )
        nd = len(kernel)
        if min((*size, *kernel)) < 1:
            raise ProblemError(f"spatial size {size} and kernel {tuple(kernel)} must have no empty axis")
        strides = geometry.per_axis("stride", stride, nd, 1)
        dilations = geometry.per_axis("dilation", dilation, nd, 1)
        pads = geometry.resolve_padding(padding, size, kernel, strides, dilations)
        out = geometry.output_size(size, kernel, strides, pads, dilations)
        return cls(
            batch, channels, out_channels, size, out, tuple(kernel), strides, pads, dilations, groups,
            layout=layout, **options,
        )  # fmt: skip

    @classmethod
    def transposed(
        cls,
        y_shape: Sequence[int],
        w_shape: Sequence[int],
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
        *,
        layout: str = "channels_first",
        **options: Any,
    ) -> "ConvProblem":
        """The backward_data problem of conv_transpose: its input is y, its weights (C_in, C_out/groups, *kernel)."""
        batch, channels, size = split_shape("x", y_shape, layout, len(w_shape) - 2)
        depth, out_per_group, *kernel = w_shape
        groups = geometry.integer("groups", groups, 1)
        if channels != depth:
            raise ProblemError(f"x has {channels} channels, but w of shape {tuple(w_shape)} takes {depth} (w_shape[0])")
        nd = len(kernel)
        if min((*size, *kernel)) < 1:
            raise ProblemError(f"spatial size {size} and kernel {tuple(kernel)} must have no empty axis")
        strides = geometry.per_axis("stride", stride, nd, 1)
        dilations = geometry.per_axis("dilation", dilation, nd, 1)
        pads = geometry.explicit_padding(padding, nd)
        extra = geometry.per_axis("output_padding", output_padding, nd, 0)
        in_size = geometry.transposed_size(size, kernel, strides, pads, dilations, extra)
        return cls(
            batch, out_per_group * groups, channels, in_size, size, tuple(kernel), strides, pads, dilations, groups,
            layout=layout, direction="backward_data", **options,
        )  # fmt: skip

    @classmethod
    def from_descriptor(cls, text: str, **options: Any) -> "ConvProblem":
        """From a benchdnn descriptor such as "mb1ic64ih56oc64oh56kh3ph1"."""
        return cls(**parse(text), **options)

    # -- shapes, in the layout of the arrays, batched

    @property
    def ndim(self) -> int:
        """Spatial dimensions: 1, 2 or 3."""
        return len(self.kernel)

    @property
    def x_shape(self) -> tuple[int, ...]:
        return join_shape(self.batch, self.in_channels, self.in_size, self.layout)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return join_shape(self.batch, self.out_channels, self.out_size, self.layout)

    @property
    def result_shape(self) -> tuple[int, ...]:
        """Shape of what this direction computes."""
        return {"forward": self.y_shape, "backward_data": self.x_shape, "backward_weights": self.w_shape}[
            self.direction
        ]

    @property
    def bias_shape(self) -> tuple[int]:
        """One value a channel of the result."""
        return (self.in_channels if self.direction == "backward_data" else self.out_channels,)

    # -- sizes of the work

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct algorithm, those that meet padding included."""
        return math.prod((self.batch, *self.w_shape, *self.out_size))

    @property
    def flops(self) -> int:
        """Operations of the direct algorithm, on which effective GFLOP/s count: 2 a multiply-add, 8 a complex one."""
        return self.macs * (8 if self.dtype.kind == "c" else 2)

    @property
    def reduction(self) -> int:
        """Products summed into one result: the n of the error bounds."""
        if self.direction == "backward_weights":
            return self.batch * math.prod(self.out_size)
        channels = self.in_channels if self.direction == "forward" else self.out_channels
        return channels // self.groups * math.prod(self.kernel)

    @property
    def min_bytes(self) -> int:
        """Bytes of the three arrays and the bias, each touched once: no algorithm moves less."""
        elements = math.prod(self.x_shape) + math.prod(self.w_shape) + math.prod(self.y_shape)
        return (elements + self.has_bias * self.bias_shape[0]) * self.dtype.itemsize

    @property
    def descriptor(self) -> str:
        """The benchdnn descriptor (sizes and geometry; dtype, layout, direction and epilogue are options)."""
        return write(self)

    def without_epilogue(self) -> "ConvProblem":
        """The same convolution with neither bias nor activation."""
        return self.replace(has_bias=False, activation=None) if self.has_bias or self.activation else self

    def replace(self, **changes: Any) -> "ConvProblem":
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)

    def __str__(self) -> str:
        extras = [str(self.dtype), self.layout, self.direction]
        if self.padding_mode != "zeros":
            extras.append(self.padding_mode)
        if self.has_bias:
            extras.append("bias")
        if self.activation:
            extras.append(self.activation)
        return f"{self.descriptor} ({', '.join(extras)})"


def split_shape(name: str, shape: Sequence[int], layout: str, ndim: int) -> tuple[int, int, tuple[int, ...]]:
    """A batched shape as (batch, channels, spatial size)."""
    choice("layout", layout, LAYOUTS)
    if len(shape) != ndim + 2:
        raise ProblemError(f"{name} of shape {tuple(shape)} must have {ndim + 2} dimensions for {ndim} spatial ones")
    shape = tuple(int(n) for n in shape)
    if layout == "channels_last":
        return shape[0], shape[-1], shape[1:-1]
    return shape[0], shape[1], shape[2:]


def join_shape(batch: int, channels: int, size: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The inverse of split_shape."""
    return (batch, *size, channels) if layout == "channels_last" else (batch, channels, *size)
