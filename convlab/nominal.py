"""The nominal core: what estimates of time are made with, where only their order matters."""

from typing import Any

import numpy as np

from .bounds import accumulator

# A nominal core: float32 FMA peak and streaming bandwidth. Estimates only rank candidates against each other,
# so what matters is the ratio (10 flops a byte, measured on Zen 3 and Zen 4 server cores), not the scale.
FLOAT32_FLOPS, BANDWIDTH = 100e9, 10e9
# Bytes of its shared cache. Others use it, too: so many bytes stay there from one use to the next, and of so many none
# do (spectra of 3 to 90 MB, bench/crossover.py, Zen 4).
L3, _STAYS, _GONE = 24 * 2**20, 2 * 2**20, 12 * 2**20


def nominal_flops(dtype: np.dtype) -> float:
    """Operations a second of the nominal core, in a dtype's accumulator."""
    width = accumulator(dtype).itemsize // (2 if dtype.kind == "c" else 1)
    return FLOAT32_FLOPS * 4 / width


def from_memory(size: Any) -> Any:
    """Bytes, of `size` that are used again and again, that come from memory each time."""
    return size * np.clip((size - _STAYS) / (_GONE - _STAYS), 0, 1)
