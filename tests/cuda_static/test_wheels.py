"""Everything that makes code comes from this environment: a toolkit on the machine would hide a missing pin."""

import sys

import pytest
from cuda.pathfinder import load_nvidia_dynamic_lib


@pytest.mark.parametrize("library", ["nvvm", "nvrtc", "nvJitLink"])
def test_compiler_libraries_are_wheels(library):
    assert load_nvidia_dynamic_lib(library).abs_path.startswith(sys.prefix)
