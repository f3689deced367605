"""The machine code of vectors on processors other than this one: assembled by LLVM from what Numba makes, and read."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm
import pytest


class Processor(NamedTuple):
    triple: str
    cpu: str
    features: str
    vector: str  # a vector register, as the assembler writes it


AVX512 = Processor("x86_64-unknown-linux-gnu", "skylake-avx512", "+avx512f,+avx512vl,+avx2,+fma,+f16c", "zmm")
AVX2 = Processor("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma,+f16c", "ymm")
NEON = Processor("aarch64-unknown-linux-gnu", "cortex-a76", "+neon", "q")
PROCESSORS = pytest.mark.parametrize("processor", [AVX512, AVX2, NEON], ids=["avx512", "avx2", "neon"])


@functools.cache
def llvm_code(processor):
    """What Numba makes of every kernel of assembled.py for that processor, not yet optimised."""
    env = os.environ | {"NUMBA_CPU_FEATURES": processor.features, "NUMBA_OPT": "0"}
    command = [sys.executable, str(Path(__file__).with_name("assembled.py"))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@functools.cache
def instructions(kernel, processor):
    """The kernel's machine code, an instruction a line."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(processor.triple)
    except RuntimeError as missing:
        pytest.skip(f"this llvmlite has no such backend: {missing}")
    machine = target.create_target_machine(cpu=processor.cpu, features=processor.features, opt=3)
    code = re.sub(r'^target (datalayout|triple) = ".*"$', "", llvm_code(processor)[kernel], flags=re.MULTILINE)
    module = llvm.parse_assembly(code)
    module.triple, module.data_layout = processor.triple, str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    (name,) = (each.name for each in module.functions if each.name.startswith(f"_ZN8__main__{len(kernel)}{kernel}"))
    body = machine.emit_assembly(module).split(f"\n{name}:\n")[1].split(f"\t.size\t{name}")[0]
    return [line.strip() for line in body.splitlines() if re.match(r"\t[a-z]", line)]


def count(kernel, processor, pattern):
    return sum(bool(re.search(pattern, line)) for line in instructions(kernel, processor))


def registers(processor):
    """As they are called in arithmetic: NEON's are q in a load and v in an fmla."""
    return r"v\d+\.4s" if processor is NEON else rf"%{processor.vector}\d+"


@PROCESSORS
def test_register_tile_keeps_its_sums_in_registers(processor):
    fma = rf"^(vfmadd...ps|fmla)\s.*{registers(processor)}"
    products = llvm_code(processor)["products"]  # of one step: the loop is not unrolled
    assert count("register_tile", processor, fma) == products
    code = instructions("register_tile", processor)
    where = [i for i, line in enumerate(code) if re.search(fma, line)]
    # All sums stay where they are: nothing goes to the stack or comes back from it between the loop's products.
    spilled = rf"^\w+\s.*\b{processor.vector}\d+.*(%rsp|\[sp)|^\w+\s.*(%rsp|\[sp).*\b{processor.vector}\d+"
    assert not any(re.search(spilled, line) for line in code[where[0] - 8 : where[-1] + 8])
    assert len(where) / (where[-1] + 1 - where[0]) > 0.45  # the rest are broadcasts, one a row, and addresses


@PROCESSORS
def test_products_of_vectors_are_fused(processor):
    fused = count("vector_tile", processor, rf"^(vfmadd...ps|fmla)\s.*{registers(processor)}")
    assert fused >= 8
    assert count("vector_tile", processor, r"^(v?mulps|v?addps|fmul|fadd)\s") == 0


@PROCESSORS
def test_halves_are_converted_by_the_instruction(processor):
    widening = r"^fcvtl\s" if processor is NEON else r"^vcvtph2ps\s.*\("  # x86 converts as it loads
    narrowing = r"^fcvtn\s" if processor is NEON else r"^vcvtps2ph\s.*\("
    assert count("halves", processor, widening) >= 1
    assert count("halves", processor, widening) == count("halves", processor, narrowing)


@PROCESSORS
def test_min_and_max_are_one_instruction_or_compare_and_choose(processor):
    if processor is NEON:  # its fmin gives NaN for a NaN and a number
        assert count("clip", processor, r"^fcmgt\s") == count("clip", processor, r"^(bit|bif|bsl)\s") == 2
    else:
        least = count("clip", processor, rf"^vminps\s.*{registers(processor)}")
        assert least == count("clip", processor, rf"^vmaxps\s.*{registers(processor)}") >= 1
        assert count("clip", processor, r"^v(cmp|blend|and|or)") == 0


MOVED = re.compile(r"^(vpermt2ps|vpermi2ps|vperm2f128|vshufps|vunpcklps|vunpckhps|vblendps|uzp[12]|zip[12]|st2|ext)\s")


@pytest.mark.parametrize(
    ("kernel", "processor", "shuffles"),
    [("apart", AVX512, 3), ("apart", AVX2, 7), ("apart", NEON, 3), ("square", AVX512, 64), ("square", AVX2, 24),
     ("square", NEON, 8)],
)  # fmt: skip
def test_shuffles_are_as_few_as_counted_by_hand(kernel, processor, shuffles):
    assert count(kernel, processor, MOVED) <= shuffles


@PROCESSORS
@pytest.mark.parametrize("kernel", ["register_tile", "vector_tile", "halves", "clip", "apart", "square"])
def test_nothing_is_called(kernel, processor):
    assert count(kernel, processor, r"^(call|bl|blr)\s|^callq") == 0
