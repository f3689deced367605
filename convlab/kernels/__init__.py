"""Pure kernels: Numba and NumPy and each other, nothing else of convlab.

Contract: arrays and integers in, output last, workspace passed in, no allocation in steady state, returns
None. Each CPU kernel has a serial body, which a user's own `prange` can call, and a parallel driver.
"""
