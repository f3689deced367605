"""One file an algorithm: what it can do, what it costs, which kernels it runs."""
