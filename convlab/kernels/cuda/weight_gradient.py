"""backward_weights as a matrix product, gradients × patches, whose matrix of patches never exists (implicit GEMM).

dW[filter, pair] = Σ g[filter, output] · patch[pair, output] over all outputs of all images, a pair being a channel and
a tap. A block makes a tile of filters × pairs as cuda.gemm does, of a stretch of the outputs (split-K, cuda.splits):
slices of DEPTH outputs of both factors lie twice in shared memory. Both have the outputs as their depth, so both are
turned on their way there: with channels first the lanes of a warp bring eight outputs of four rows, with channels last
neighbouring channels. Where an output reads, the offsets tell (cuda.offsets), which are loaded a slice ahead. A padding
zero is a zero in the slice and is multiplied; outputs that fill up the last slice are zeros in both factors, and rows
that fill up a tile are copies of its last which nobody stores.
Chetlur et al., "cuDNN", 2014, section 3; split-K: cutlass, "Efficient GEMM", on parallelized reductions.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, from_dtype, int32

from .compile import inlined, jit, launch
from .gemm import DEPTH, Tile, multiplied
from .geometry import entry
from .intrinsics import st1
from .memory import address, chosen, load, moved, quotient, store
from .offsets import offsets, pairs_of
from .partial_sums import added, parts_of
from .splits import filled, split
from .thin_gradient import LEAST, Thin, thin
from .thin_gradient import kernel as thin_kernel

_ROWS = 8  # of a thread
_PAD = 4  # elements between rows in shared memory, which keep the eight outputs of a row off each other's banks
_LEAST = 128  # outputs of a block: below that its partial sums take too long to write and to add up

# Tiles, and the multiply-adds' share of each one's hot loop (tests/cuda_static/test_cuda_weight_gradient.py).
LARGE, SMALL, NARROW = Tile(128, 128, 8, 2), Tile(64, 64, 4, 4), Tile(64, 32, 4, 8)
SHARES = {LARGE: 0.79, SMALL: 0.69, NARROW: 0.62}


class Cut(NamedTuple):
    """How the work is cut into blocks: `rows` × `columns` tiles a group, of `splits` stretches of `length` outputs."""

    tile: Tile | Thin
    rows: int
    columns: int
    splits: int
    length: int

    @property
    def products(self) -> int:
        """Filters × pairs of a group, with what fills up the tiles."""
        return self.rows * self.tile.height * self.columns * self.tile.width

    @property
    def share(self) -> float:
        """Of multiply-adds in the hot loop."""
        return SHARES[self.tile] if isinstance(self.tile, Tile) else self.tile.share


def cut(groups: int, filters: int, pairs: int, outputs: int, item: int) -> Cut:
    """The cut that takes least time. outputs: of all images; item: bytes of a sum; float64 takes small tiles."""

    def of(tile: Tile | Thin, least: int) -> Cut:
        rows, columns = -(-filters // tile.height), -(-pairs // tile.width)
        return Cut(tile, rows, columns, *split(groups * rows * columns, outputs, least, DEPTH))

    cuts = [of(tile, _LEAST) for tile in ((LARGE, SMALL, NARROW) if item == 4 else (SMALL,))]
    cuts.append(of(thin(filters, pairs, item), LEAST))
    return min(cuts, key=lambda c: c.products / (c.share * filled(groups * c.rows * c.columns * c.splits)))


@functools.cache
def kernel(storage: Any, total: Any, written: Any, tile: Tile, last: bool) -> Any:
    """The kernel for arrays of numba type `storage`, sums of type `total`, results of type `written`.

    last: channels lie closer together than outputs.
    """
    zero, item, bytes_ = total(0), total.bitwidth // 8, storage.bitwidth // 8
    height, width, columns, resident = tile
    threads, across, groups = tile.threads, width // columns, columns // 4
    half_rows, half_columns = height // 2, width // 2
    pitch_a, pitch_b = height + _PAD, width + _PAD
    stage_a, stage_b = DEPTH * pitch_a, DEPTH * pitch_b
    size_a, size_b, aligned = 2 * stage_a, 2 * stage_b, 4 * item
    # A thread brings rows `apart` of one output.
    apart, each_a, each_b = threads // DEPTH, DEPTH * height // threads, DEPTH * width // threads
    looked = each_b + 1  # offsets that it looks up: of its rows of B, and of its output
    slice_ = multiplied(tile, pitch_a, pitch_b)

    parted = pairs_of(last)

    @inlined
    def looked_up(found: Any, lines: Any, inside: Any, places: Any) -> Any:
        """The offsets of what this thread brings: at `inside` in lines of the table."""
        for i in range(looked):
            places[i] = entry(found, lines[i] + inside)

    @inlined
    def brought(
        x: Any, g: Any, found: Any, x_start: Any, g_start: Any, channel_of: Any, filter_of: Any, lines: Any,
        places: Any, image: Any, inside: Any, more: Any, outputs: Any, images_on: Any, inside_on: Any,
        x_image: Any, x_channel: Any, g_image: Any, g_channel: Any, own_a: Any, own_b: Any,
    ) -> Any:  # fmt: skip
        """Load what this thread brings of a slice, zeros behind the last output, and look up the next slice's offsets.

        Returns image and place in it of that slice's output."""
        exists = more > 0
        here = chosen(exists, image, int32(0))
        at = moved(moved(g_start, here, g_image), places[each_b], bytes_)
        for i in range(each_a):
            value = total(load(g, at, filter_of[i], g_channel))
            own_a[i] = chosen(exists, value, zero)
        at, missing = moved(x_start, here, x_image), chosen(exists, int32(0), int32(-1))
        for i in range(each_b):
            value = total(load(x, moved(at, max(places[i], 0), bytes_), channel_of[i], x_channel))
            own_b[i] = chosen(int32(places[i] | missing) >= 0, value, zero)
        inside = int32(inside + inside_on)
        carry = inside >= outputs
        image = int32(image + images_on + chosen(carry, int32(1), int32(0)))
        inside = int32(inside - chosen(carry, int32(outputs), int32(0)))
        looked_up(found, lines, inside, places)
        return image, inside

    @inlined
    def put(s_a: Any, s_b: Any, at_a: Any, at_b: Any, own_a: Any, own_b: Any) -> Any:
        for i in range(each_a):
            st1(s_a, at_a + i * apart, own_a[i])
        for i in range(each_b):
            st1(s_b, at_b + i * apart, own_b[i])

    @jit(threads, resident * 4 // item)
    def weight_gradient(
        x: Any, g: Any, found: Any, w: Any, x_image: Any, x_channel: Any, g_image: Any, g_channel: Any,
        w_split: Any, w_filter: Any, w_channel: Any, w_i: Any, w_j: Any, w_k: Any, channels: Any, filters: Any,
        rows: Any, cols: Any, units: Any, outputs: Any, all_outputs: Any, length: Any,
        i_taps: Any, j_taps: Any, k_taps: Any,
    ) -> None:  # fmt: skip
        s_a, s_b = cuda.shared.array(size_a, total, aligned), cuda.shared.array(size_b, total, aligned)
        sums = cuda.local.array((_ROWS, columns), total)
        a, b = cuda.local.array(_ROWS, total), cuda.local.array(columns, total)
        own_a, own_b = cuda.local.array(each_a, total), cuda.local.array(each_b, total)
        filter_of, channel_of = cuda.local.array(each_a, int32), cuda.local.array(each_b, int32)
        lines, places = cuda.local.array(looked, int32), cuda.local.array(looked, int32)
        for i in range(_ROWS):
            for j in range(columns):
                sums[i, j] = zero
        t = cuda.threadIdx.x & (threads - 1)
        taps = i_taps * j_taps * k_taps
        pairs = channels * taps
        rest, index = quotient(cuda.blockIdx.x, cols)
        left = index * width
        rest, index = quotient(rest, rows)
        top = index * height
        part, group = quotient(rest, units)
        low = part * length
        high = min(low + length, all_outputs)

        # What it brings.
        k, row = (t // apart, t % apart) if last else (t % DEPTH, t // DEPTH)
        for i in range(each_a):
            filter_of[i] = min(top + row + i * apart, filters - 1)
        for i in range(each_b):
            channel, tap = parted(min(left + row + i * apart, pairs - 1), channels, taps)
            channel_of[i], lines[i] = int32(channel), int32(tap * outputs)
        lines[each_b] = int32(taps * outputs)
        put_a, put_b = k * pitch_a + row, k * pitch_b + row
        x_start = address(x) + group * channels * x_channel
        g_start = address(g) + group * filters * g_channel
        # What it multiplies.
        y, z = t // across * 4, t % across * 4
        if low < high:
            image, inside = quotient(low + k, outputs)
            image, inside = int32(image), int32(inside)
            images_on, inside_on = quotient(DEPTH, outputs)
            images_on, inside_on = int32(images_on), int32(inside_on)
            more = int32(high - low - k)  # outputs from this thread's on
            slices = int32((high - low + DEPTH - 1) // DEPTH)
            looked_up(found, lines, inside, places)
            image, inside = brought(
                x, g, found, x_start, g_start, channel_of, filter_of, lines, places, image, inside, more, outputs,
                images_on, inside_on, x_image, x_channel, g_image, g_channel, own_a, own_b,
            )  # fmt: skip
            put(s_a, s_b, put_a, put_b, own_a, own_b)
            cuda.syncthreads()
            n = int32(1)
            while True:  # two turns, so that where a slice lies in shared memory is a constant
                more = int32(more - DEPTH)
                image, inside = brought(
                    x, g, found, x_start, g_start, channel_of, filter_of, lines, places, image, inside, more, outputs,
                    images_on, inside_on, x_image, x_channel, g_image, g_channel, own_a, own_b,
                )  # fmt: skip
                slice_(s_a, s_b, y, z, sums, a, b)
                if n >= slices:
                    break
                put(s_a, s_b, stage_a + put_a, stage_b + put_b, own_a, own_b)
                cuda.syncthreads()
                n, more = int32(n + 1), int32(more - DEPTH)
                image, inside = brought(
                    x, g, found, x_start, g_start, channel_of, filter_of, lines, places, image, inside, more, outputs,
                    images_on, inside_on, x_image, x_channel, g_image, g_channel, own_a, own_b,
                )  # fmt: skip
                slice_(s_a, s_b, stage_a + y, stage_b + z, sums, a, b)
                if n >= slices:
                    break
                put(s_a, s_b, put_a, put_b, own_a, own_b)
                cuda.syncthreads()
                n = int32(n + 1)
        w_start = address(w) + part * w_split
        for h in range(groups):
            for j in range(4):
                pair = left + h * half_columns + z + j
                if pair < pairs:
                    channel, tap = parted(pair, channels, taps)
                    rest, k_tap = quotient(tap, k_taps)
                    i_tap, j_tap = quotient(rest, j_taps)
                    target = w_start + channel * w_channel + i_tap * w_i + j_tap * w_j + k_tap * w_k
                    for half in range(2):
                        for i in range(4):
                            filter_ = top + half * half_rows + y + i
                            if filter_ < filters:
                                value = written(sums[half * 4 + i, h * 4 + j])
                                store(w, target + (group * filters + filter_) * w_filter, value)

    return weight_gradient


def weight_gradient(
    x: Any, g: Any, taps: Any, extent: Any, zero: Any, places: Any, partials: Any, w: Any, stream: Any = 0
) -> None:  # fmt: skip
    """The gradient of the weights.

    x, g: Tensors of device arrays (cuda.tensor), the input and the gradient of the output. taps: Tables
    (cuda.geometry) of the forward convolution. zero: of the accumulators' type: float32, for float16 too, or float64.
    places: int32 workspace for offsets (`offsets.size`). partials: workspace of the accumulators' type
    (`splits.partials`). w: the Tensor of the result (K, C/groups, *kernel), K and C as images and channels.
    """
    weights = extent.groups * extent.filters * extent.channels * taps.taps
    if weights == 0:
        return
    if not 0 <= extent.channels * x.channel < 1 << 32 or not 0 <= extent.filters * g.channel < 1 << 32:
        raise ValueError("the channels of an image must lie in order within 4 GiB")
    outputs = extent.images * taps.outputs
    tile, rows, columns, splits, length = cut(
        extent.groups, extent.filters, extent.channels * taps.taps, outputs, zero.itemsize
    )
    offsets(x, g, taps, places, stream)
    sizes = (extent.groups * extent.filters, extent.channels, taps.i, taps.j, taps.k)
    target = w if splits == 1 else parts_of(partials, sizes, w)
    numbers = (
        extent.channels, extent.filters, rows, columns, extent.groups, taps.outputs, outputs, length,
        taps.i, taps.j, taps.k,
    )  # fmt: skip
    strides = (x.image, x.channel, g.image, g.channel, weights * target.data.dtype.itemsize, *target[1:])
    arguments = (
        x.data, g.data, places, target.data, *(np.int64(n) for n in strides), *(np.int32(n) for n in numbers),
    )  # fmt: skip
    storage, total = from_dtype(x.data.dtype), from_dtype(np.dtype(type(zero)))
    make = kernel if isinstance(tile, Tile) else thin_kernel
    made = make(storage, total, from_dtype(target.data.dtype), tile, x.channel < x.column)
    launch(made, splits * extent.groups * rows * columns, tile.threads, arguments, stream)
    if splits > 1:
        added(partials[: splits * weights], splits, sizes, w, stream)
