"""Patches written out as a matrix: what makes a product of matrices a convolution, where nothing reads them in place.

A row of the matrix is a tap and channel, a column an output; or the other way round, so that what is read and written
lies together whichever layout the images have. A thread moves one element, looked up in the tables (kernels.taps).
"""

from typing import Any

import numpy as np
from numba import cuda, float32

from .compile import jit, launch
from .geometry import entry, line_of, located
from .intrinsics import st1
from .memory import address, load, moved, quotient

_THREADS = 256
MOST = 1 << 32  # elements of a matrix, which are counted in 32 bits


@jit(_THREADS)
def unfolded(
    x: Any, table: Any, patches: Any, x_image: Any, x_channel: Any, x_plane: Any, x_row: Any, x_column: Any,
    count: Any, outputs: Any, channels: Any, by_output: Any, i_taps: Any, j_taps: Any, k_taps: Any, planes: Any,
    lines: Any, plane_step: Any, line_step: Any, point_step: Any, depth: Any, height: Any, width: Any,
) -> None:  # fmt: skip
    at = cuda.blockIdx.x * _THREADS + (cuda.threadIdx.x & (_THREADS - 1))
    if at < count:
        if by_output:
            rest, channel = quotient(at, channels)
            output, tap = quotient(rest, i_taps * j_taps * k_taps)
        else:
            rest, output = quotient(at, outputs)
            tap, channel = quotient(rest, channels)
        rest, k = quotient(tap, k_taps)
        i, j = quotient(rest, j_taps)
        image, plane, row, column = located(output, depth, height, width)
        planes_at = i_taps + j_taps + k_taps
        plane_at = planes_at + plane * plane_step + entry(table, i)
        line_at = planes_at + planes + row * line_step + entry(table, i_taps + j)
        point_at = planes_at + planes + lines + column * point_step + entry(table, i_taps + j_taps + k)
        start = address(x) + image * x_image + channel * x_channel
        line, point = line_of(table, start, plane_at, line_at, x_plane, x_row), entry(table, point_at)
        value = float32(0)
        if line != 0 and point >= 0:
            value = load(x, moved(line, point, x_column), 0, 0)
        st1(patches, at, value)


def unfold(
    x: Any, taps: Any, images: int, channels: int, patches: Any, by_output: bool = False, stream: Any = 0
) -> None:
    """Write the patches of images.

    x: the Tensor of float32 images on a device, of which the first `channels` are read. taps: Tables (cuda.geometry).
    patches: flat, (taps, channels, images, outputs), or (images, outputs, taps, channels) `by_output`; fewer than MOST
    elements.
    """
    outputs = images * taps.outputs
    count = taps.taps * channels * outputs
    strides = (np.int64(n) for n in x[1:])
    numbers = (np.int64(count), *(np.int32(n) for n in (outputs, channels, by_output)), *taps.numbers)
    launch(unfolded, -(-count // _THREADS), _THREADS, (x.data, taps.table, patches, *strides, *numbers), stream)
