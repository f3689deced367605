"""What the processor that Numba compiles for can do: how wide its vector registers are, how many, what it lacks.

Read once, at import: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, which stand in for the host's, are set before.
"""

import llvmlite.binding as llvm
import numba
from numba import types

CACHE_LINE = 64


def _host_features() -> frozenset[str]:
    """CPU features that Numba compiles for; NUMBA_CPU_FEATURES and NUMBA_CPU_NAME override the host's."""
    if numba.config.CPU_FEATURES is not None:
        listed = numba.config.CPU_FEATURES.split(",")
        return frozenset(f.strip().lstrip("+") for f in listed if not f.strip().startswith("-"))
    if numba.config.CPU_NAME == "generic":
        return frozenset()
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


FEATURES = _host_features()
# Bytes in a vector register. SSE2 and NEON have 16 as well, so 16 is the floor everywhere.
VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx2" in FEATURES else 16
# AVX-512 has 32 vector registers, as NEON has; AVX2 and SSE have 16.
REGISTERS = 32 if "avx512f" in FEATURES or "neon" in FEATURES else 16
# Without the instruction, LLVM would call a library function for every lane.
HAS_FMA = bool(FEATURES & {"fma", "avx512f", "neon"})
# Float16's conversions: without them, too, and Numba's linker has no such functions.
HAS_HALF = bool(FEATURES & {"f16c", "avx512f", "neon"})


def lanes_of(scalar: types.Type) -> int:
    """Elements of a type in a vector register."""
    return VECTOR_BYTES * 8 // scalar.bitwidth
