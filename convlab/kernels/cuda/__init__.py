"""Kernels for CUDA devices, in numba.cuda. A launcher has its CPU twin's parameters and a trailing stream.

What makes numba's code good machine code, each found in SASS (convlab.machinecode):

- Indices that cannot be negative, to the compiler's knowledge: `t = cuda.threadIdx.x & 255`. Numba wraps every signed
  index around the end of its axis, which also keeps loads from being vectorised; `intrinsics.ld4` and `st4` do not.
- Constant bounds for whatever indexes a local array, or the array leaves the registers.
- `float32(0)` as an accumulator: with 0.0 everything becomes float64. So do int literals times float32.
- Steps written out, each an inlined device function: a loop around 64 multiply-adds stays a loop.
- `launch_bounds`, so that the registers fit the blocks that an SM shall hold.
"""
