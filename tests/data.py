"""Data for tests of the public calls, and how close is close."""

import numpy as np

# Relative to the largest result, and some: kernels add up in another order than the oracle, torch or SciPy.
TOLERANCE = {"float16": 4e-3, "float32": 2e-5, "complex64": 2e-5, "float64": 1e-12, "complex128": 1e-12}


def close(result, expected):
    """Equal up to rounding; integers exactly."""
    expected = np.asarray(expected)
    assert result.shape == expected.shape
    if result.dtype.kind in "iu":
        assert np.array_equal(result, expected)
    elif result.size:
        assert np.abs(result - expected).max() <= TOLERANCE[result.dtype.name] * (np.abs(expected).max() + 1)


def normal(*shape, dtype=np.float32, seed=0):
    """Standard normal values, the same for the same shape and seed."""
    rng = np.random.default_rng([seed, *shape])
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)
