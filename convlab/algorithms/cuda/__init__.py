"""Algorithms of the cuda backend. Named as their CPU twins; arrays are on the device `ctx.device` allocates on."""

# What the kernels on Tensors compute.
DTYPES = ("float32", "float64", "float16")
