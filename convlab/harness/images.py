"""A photograph as the input of a convolution, and the filtered picture as a file. Needs Pillow.

Arrays are float32, channels first, black 0 and white 1.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BackendError, ProblemError

if TYPE_CHECKING:
    from PIL import Image

# The channels that a picture file can hold: grey, or red, green and blue.
CHANNELS = (1, 3)


def load(path: str | Path) -> np.ndarray:
    """A picture as (1 or 3, H, W), upright as its EXIF data say; transparency is dropped, palettes are resolved.

    Raises ProblemError if the file cannot be read as a picture, BackendError without Pillow.
    """
    image, ops = _pillow("Image"), _pillow("ImageOps")
    try:
        with image.open(path) as file:
            picture = ops.exif_transpose(file)
            picture.load()
    except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:  # as Pillow's readers raise
        raise ProblemError(f"--image {path} cannot be read as a picture: {error}") from error
    return _pixels(picture)


def save(path: str | Path, array: np.ndarray) -> None:
    """Write (1 or 3, H, W) as 8-bit grey or RGB, values clipped to 0..1; the ending of the name sets the format."""
    check_output(path, array.shape[0])
    levels = np.round(np.clip(np.nan_to_num(array.astype(np.float64)), 0, 1) * 255).astype(np.uint8)
    picture = _pillow("Image").fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1))
    try:
        picture.save(path)
    except (OSError, ValueError) as error:
        raise ProblemError(f"--output {path} cannot be written: {error}") from error


def check_output(path: str | Path, channels: int) -> None:
    """Refuse what `save` could not write, before the work is done: a ProblemError."""
    if channels not in CHANNELS:
        raise ProblemError(f"--output {path}: a picture has 1 or 3 channels, the result has {channels}")
    endings = _pillow("Image").registered_extensions()
    if Path(path).suffix.lower() not in endings:
        raise ProblemError(f"--output {path}: the ending names no picture format; examples are .png and .jpg")
    if not Path(path).absolute().parent.is_dir():
        raise ProblemError(f"--output {path}: there is no directory {Path(path).parent}")


def gaussian(kernel: tuple[int, ...]) -> np.ndarray:
    """Weights (R, S) of sum 1 that blur, as wide as the kernel can hold.

    σ = 0.3·((R − 1)/2 − 1) + 0.8, the rule of OpenCV's getGaussianKernel.
    """

    def axis(size: int) -> np.ndarray:
        sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8
        return np.exp(-(((np.arange(size) - (size - 1) / 2) / sigma) ** 2) / 2)

    weights = np.outer(axis(kernel[0]), axis(kernel[1]))
    return weights / weights.sum()


def load_weights(path: str | Path, channels: int) -> tuple[np.ndarray, int]:
    """Weights (K, C/groups, R, S) and groups, from a .npy file of that shape or of one kernel (R, S) for each channel.

    Raises ProblemError if the file does not hold real numbers in such a shape for a picture of `channels`.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ProblemError(f"--weights {path} cannot be read as a .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ProblemError(f"--weights {path} must hold one array of real numbers")
    if array.ndim == 2:
        return np.broadcast_to(array, (channels, 1, *array.shape)), channels
    if array.ndim != 4 or 0 in array.shape or channels % array.shape[1]:
        raise ProblemError(
            f"--weights {path} has shape {array.shape}; it must be (R, S), or (K, C/groups, R, S) "
            f"with a C/groups that divides the picture's {channels} channels"
        )
    return array, channels // array.shape[1]


def _pixels(picture: "Image.Image") -> np.ndarray:
    if picture.mode.startswith("I"):
        return (np.asarray(picture).astype(np.float32) / 65535)[None]
    grey = picture.mode in ("1", "L", "LA", "La", "F")
    array = np.asarray(picture.convert("L" if grey else "RGB"), np.float32) / 255
    return array[None] if grey else np.ascontiguousarray(np.moveaxis(array, -1, 0))


def _pillow(module: str) -> Any:
    """A module of Pillow, which is an optional dependency."""
    import importlib

    try:
        return importlib.import_module(f"PIL.{module}")
    except ModuleNotFoundError as error:
        raise BackendError("pictures need Pillow, which is not installed: pip install convlab[images]") from error
