"""backward_weights of few filters or few pairs of a channel and a tap, where tiles in shared memory would be empty.

What a group has is then small, as in depthwise convolution, and the outputs are many: the threads of a block take the
outputs of a stretch in turn, each holds its sums for all of a block of filters × pairs in registers: an outer product
of what its output has in g and of what it reads of x. So both are read once for all taps. In the end the sums of the
threads are added up, always in the same order. A padding zero is multiplied; filters and pairs that fill up a block are
copies of the last which nobody stores.
"""

import functools
from typing import Any, NamedTuple

from numba import cuda, int32

from .compile import jit
from .geometry import entry
from .gradient import over_warp
from .memory import address, chosen, load, moved, quotient, store
from .offsets import pairs_of

_WARP, _WARPS = 32, 4
_THREADS = _WARP * _WARPS
LEAST = 8 * _THREADS  # outputs of a block: below that to add up the threads' sums takes too long


class Thin(NamedTuple):
    """Filters and pairs of a block."""

    height: int
    width: int

    @property
    def threads(self) -> int:
        return _THREADS

    @property
    def share(self) -> float:
        """Of multiply-adds in the hot loop: beside them an output takes two instructions a filter, eight a pair and
        thirty of its own (tests/cuda_static/test_cuda_weight_gradient.py)."""
        products = self.height * self.width
        return products / (products + 2 * self.height + 8 * self.width + 30)


def thin(filters: int, pairs: int, item: int) -> Thin:
    """The block that fits a group: at most 8 x 8 sums of `item` bytes, pairs in equal blocks."""
    height = 8 if filters > 4 else 4 if filters > 2 else max(filters, 1)
    most = {1: 16, 2: 16, 4: 12, 8: 8}[height] * 4 // item
    return Thin(height, -(-max(pairs, 1) // -(-max(pairs, 1) // most)))


@functools.cache
def kernel(storage: Any, total: Any, written: Any, tile: Thin, last: bool) -> Any:
    """The kernel; parameters, of the kernel too, as of weight_gradient's."""
    height, width = tile
    zero, bytes_, sums_of = total(0), storage.bitwidth // 8, height * width
    resident = (6 if sums_of <= 16 else 3) if total.bitwidth == 32 else (4 if sums_of <= 8 else 2)

    parted = pairs_of(last)

    @jit(_THREADS, resident)
    def thin_gradient(
        x: Any, g: Any, found: Any, w: Any, x_image: Any, x_channel: Any, g_image: Any, g_channel: Any,
        w_split: Any, w_filter: Any, w_channel: Any, w_i: Any, w_j: Any, w_k: Any, channels: Any, filters: Any,
        rows: Any, cols: Any, units: Any, outputs: Any, all_outputs: Any, length: Any,
        i_taps: Any, j_taps: Any, k_taps: Any,
    ) -> None:  # fmt: skip
        partial = cuda.shared.array((_WARPS, sums_of), total)
        sums = cuda.local.array((height, width), total)
        a, b = cuda.local.array(height, total), cuda.local.array(width, total)
        filter_of = cuda.local.array(height, int32)
        channel_of, lines = cuda.local.array(width, int32), cuda.local.array(width, int32)
        for f in range(height):
            for p in range(width):
                sums[f, p] = zero
        t = cuda.threadIdx.x & (_THREADS - 1)
        taps = i_taps * j_taps * k_taps
        pairs = channels * taps
        rest, index = quotient(cuda.blockIdx.x, cols)
        left = index * width
        rest, index = quotient(rest, rows)
        top = index * height
        part, group = quotient(rest, units)
        high = int32(min((part + 1) * length, all_outputs))
        for f in range(height):
            filter_of[f] = min(top + f, filters - 1)
        for p in range(width):
            channel, tap = parted(min(left + p, pairs - 1), channels, taps)
            channel_of[p], lines[p] = int32(channel), int32(tap * outputs)
        line = int32(taps * outputs)
        x_start = address(x) + group * channels * x_channel
        g_start = address(g) + group * filters * g_channel
        output = int32(part * length + t)
        image, inside = quotient(output, outputs)
        image, inside = int32(image), int32(inside)
        images_on, inside_on = quotient(_THREADS, outputs)
        images_on, inside_on = int32(images_on), int32(inside_on)
        while output < high:
            at = moved(moved(g_start, image, g_image), entry(found, line + inside), bytes_)
            for f in range(height):
                a[f] = total(load(g, at, filter_of[f], g_channel))
            at = moved(x_start, image, x_image)
            for p in range(width):
                place = entry(found, lines[p] + inside)
                value = total(load(x, moved(at, max(place, 0), bytes_), channel_of[p], x_channel))
                b[p] = chosen(place >= 0, value, zero)
            for f in range(height):
                for p in range(width):
                    sums[f, p] += a[f] * b[p]
            output, inside = int32(output + _THREADS), int32(inside + inside_on)
            carry = inside >= outputs
            image = int32(image + images_on + chosen(carry, int32(1), int32(0)))
            inside = int32(inside - chosen(carry, int32(outputs), int32(0)))
        lane, warp = t & (_WARP - 1), t // _WARP
        for f in range(height):
            for p in range(width):
                value = over_warp(sums[f, p])
                if lane == 0:
                    partial[warp, f * width + p] = value
        cuda.syncthreads()
        if t < sums_of:
            value = partial[0, t] + partial[1, t] + (partial[2, t] + partial[3, t])
            filter_, pair = top + t // width, left + t % width
            if filter_ < filters and pair < pairs:
                channel, tap = parted(pair, channels, taps)
                rest, k = quotient(tap, k_taps)
                i, j = quotient(rest, j_taps)
                target = address(w) + part * w_split + (group * filters + filter_) * w_filter
                store(w, target + channel * w_channel + i * w_i + j * w_j + k * w_k, written(value))

    return thin_gradient
