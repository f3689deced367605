"""What `convlab bench` measures: descriptors, sizes, or a photograph, as problems with their data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from ..problem import ConvProblem
from .options import DEFAULT, axes_text, from_sizes

# Sizes that the picture and its weights give.
_OF_THE_PICTURE = ("channels", "filters", "size", "batch", "groups")


@dataclass(frozen=True)
class Case:
    """A problem, its weights and data (random where None), and the words of the command line that say so."""

    problem: ConvProblem
    weights: np.ndarray | None = None
    data: np.ndarray | None = None
    source: tuple[str, ...] | None = None


def of_sizes(descriptors: Sequence[str], sizes: dict[str, Any], options: dict[str, Any]) -> list[Case]:
    """Descriptors, or the one problem that sizes describe; sizes: those that were given."""
    if descriptors and sizes:
        raise click.UsageError(
            f"give a DESCRIPTOR or {_options(sizes)}, not both: a descriptor holds all sizes (example: {DEFAULT})"
        )
    if descriptors:
        return [Case(ConvProblem.from_descriptor(text, **options)) for text in descriptors]
    return [Case(from_sizes(**sizes, **options))]


def of_picture(
    image: str,
    weights_file: str | None,
    output: str | None,
    descriptors: Sequence[str],
    sizes: dict[str, Any],
    options: dict[str, Any],
) -> Case:
    """A photograph filtered by its own weights, or channel by channel by a Gaussian of the kernel's size."""
    from ..harness import images

    _check_picture(weights_file, descriptors, sizes, options)
    picture = images.load(image)
    channels = picture.shape[0]
    if weights_file is None:
        kernel = sizes.get("kernel") or ConvProblem.from_descriptor(DEFAULT).kernel
        groups, weights = channels, np.broadcast_to(images.gaussian(kernel), (channels, 1, *kernel))
        source = ["--image", image, "--kernel", axes_text(kernel)]
    else:
        weights, groups = images.load_weights(weights_file, channels)
        source = ["--image", image, "--weights", weights_file]
    for name in ("stride", "dilation"):
        if name in sizes:
            source += [f"--{name}", axes_text(sizes[name])]
    if output is not None:
        images.check_output(output, weights.shape[0])
        source += ["--output", output]
    problem = from_sizes(
        weights.shape[2:], channels, weights.shape[0], picture.shape[1:], 1, sizes.get("stride"),
        sizes.get("dilation"), groups, **options,
    )  # fmt: skip
    data = picture if problem.layout == "channels_first" else np.moveaxis(picture, 0, -1)
    return Case(problem, weights.astype(problem.dtype), data[None].astype(problem.dtype), tuple(source))


def _check_picture(
    weights_file: str | None, descriptors: Sequence[str], sizes: dict[str, Any], options: dict[str, Any]
) -> None:
    """Refuse, beside --image, what would contradict it."""
    if descriptors:
        raise click.UsageError("give a DESCRIPTOR or --image, not both: the picture gives the sizes")
    given = [name for name in sizes if name in _OF_THE_PICTURE]
    if given:
        raise click.UsageError(f"{_options(given)} cannot go with --image: the picture and its weights give that")
    if weights_file is not None and "kernel" in sizes:
        raise click.UsageError("give --weights or --kernel, not both: the file's array has the kernel's size")
    if options["direction"] != "forward" or options["has_bias"]:
        raise click.UsageError("--image filters the picture: it takes neither --direction nor --bias")
    if np.dtype(options["dtype"]).kind != "f":
        raise click.UsageError(f"--dtype {options['dtype']} cannot go with --image: valid are the float dtypes")


def _options(names: Any) -> str:
    return ", ".join(f"--{name}" for name in names)
