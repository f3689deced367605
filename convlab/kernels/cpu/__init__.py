"""CPU kernels: Numba functions on arrays, usable from Python and from a user's own @njit functions."""
