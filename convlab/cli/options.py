"""Options that several commands take, and the ConvProblem that they describe."""

import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .. import registry
from ..errors import BackendError
from ..geometry import PADDING_MODES, output_size
from ..problem import ACTIVATIONS, DIRECTIONS, DTYPES, LAYOUTS, ConvProblem

F = TypeVar("F", bound=Callable[..., Any])

# Of the problem that is emulated unless sizes are given: the emulator does some ten million multiply-adds a second.
EMULATED = {"channels": 16, "filters": 32, "size": (14, 14)}

# A layer from the middle of the networks that everyone measures (ResNet's first block).
DEFAULT = "mb1ic64ih56oc64oh56kh3ph1"


def axes(text: str) -> tuple[int, int]:
    """N, or NxM for height and width: positive integers."""
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is not a positive integer N, nor two of them as NxM")
    return int(parts[0]), int(parts[-1])


def axes_text(axes: tuple[int, ...]) -> str:
    """The inverse of `axes`: "3", or "3x5"."""
    return str(axes[0]) if len(set(axes)) == 1 else "x".join(map(str, axes))


def per_axis(name: str, what: str) -> Callable[[F], F]:
    """An option that takes N or NxM."""
    return click.option(name, type=axes, metavar="N[xM]", help=what)


def positive(name: str, what: str) -> Callable[[F], F]:
    """An option that takes a positive integer."""
    return click.option(name, type=click.IntRange(min=1), metavar="N", help=what)


def problem_options(command: F) -> F:
    """What a descriptor does not hold: dtype, layout, direction, padding mode, activation, bias."""
    dtypes = [str(dtype) for dtype in DTYPES]
    for option in reversed(
        (
            click.option(
                "--dtype",
                type=click.Choice(dtypes),
                default="float32",
                show_default=True,
                metavar="DTYPE",
                help=f"{', '.join(dtypes)}.",
            ),
            click.option("--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True),
            click.option("--direction", type=click.Choice(DIRECTIONS), default=DIRECTIONS[0], show_default=True),
            click.option("--padding-mode", type=click.Choice(PADDING_MODES), default="zeros", show_default=True),
            click.option("--activation", type=click.Choice([a for a in ACTIVATIONS if a]), help="Default: none."),
            click.option("--bias", "has_bias", is_flag=True, help="Add one value a channel."),
        )
    ):
        command = option(command)
    return command


def backend_option(command: F) -> F:
    return click.option("--backend", type=click.Choice(registry.BACKENDS), default="cpu", show_default=True)(command)


def emulate_option(command: F) -> F:
    text = "With --backend cuda: run the kernels' PTX on the emulator, without a GPU."
    return click.option("--emulate", is_flag=True, help=text)(command)


def check_emulate(emulate: bool, backend: str) -> None:
    """Refuse --emulate where there is nothing to emulate, or no emulator."""
    if not emulate:
        return
    if backend != "cuda":
        raise click.UsageError("--emulate goes with --backend cuda")
    if importlib.util.find_spec("numba_cuda") is None:
        raise BackendError("--emulate needs CUDA's compiler, no GPU: pip install 'convlab[cuda-static]'")


def threads_option(command: F) -> F:
    return positive("--threads", "Default: the processors that this process may use.")(command)


def from_sizes(
    kernel: tuple[int, ...] | None = None,
    channels: int | None = None,
    filters: int | None = None,
    size: tuple[int, ...] | None = None,
    batch: int | None = None,
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    groups: int | None = None,
    **options: Any,
) -> ConvProblem:
    """A 2-D problem; what is None is as in DEFAULT. Half the kernel of padding on either side keeps the size."""
    base = ConvProblem.from_descriptor(DEFAULT)
    size, kernel = size or base.in_size, kernel or base.kernel
    stride, dilation = stride or base.stride, dilation or base.dilation
    half = [d * (r - 1) // 2 for r, d in zip(kernel, dilation, strict=True)]
    padding = tuple((p, p) for p in half)
    return ConvProblem(
        batch or base.batch, channels or base.in_channels, filters or base.out_channels,
        size, output_size(size, kernel, stride, padding, dilation), kernel, stride, padding, dilation,
        groups or base.groups, **options,
    )  # fmt: skip
