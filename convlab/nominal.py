"""The nominal core: what estimates of time are made with, where only their order matters."""

import numpy as np

from .bounds import accumulator

# A nominal core: float32 FMA peak and streaming bandwidth. Estimates only rank candidates against each other,
# so what matters is the ratio (10 flops a byte, measured on Zen 3 and Zen 4 server cores), not the scale.
FLOAT32_FLOPS, BANDWIDTH = 100e9, 10e9


def nominal_flops(dtype: np.dtype) -> float:
    """Operations a second of the nominal core, in a dtype's accumulator."""
    width = accumulator(dtype).itemsize // (2 if dtype.kind == "c" else 1)
    return FLOAT32_FLOPS * 4 / width
