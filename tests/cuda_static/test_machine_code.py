"""Machine code read: planted spills and doubles are found, loops and pipes counted, occupancy and the model by hand."""

import sys

import pytest
from numba import cuda, float32, int32

from convlab.kernels.cuda.intrinsics import ld4
from convlab.machinecode import GPUS, assembled, compiled, modelled, occupancy
from convlab.machinecode.hardware import SMS
from convlab.machinecode.listing import Usage, instructions, usages
from convlab.machinecode.loops import loops
from convlab.machinecode.model import balance
from convlab.machinecode.tools import find

VECTOR = float32[::1]


def dot(x, y, out):
    """A hot loop of one load, four multiply-adds on it, and little else."""
    total = float32(0)
    for k in range(0, x.size, 4):
        a, b, c, d = ld4(x, k)
        total += a * b + b * c + c * d + d * a
    out[cuda.grid(1)] = total


def double_dot(x, y, out):
    total = 0.0
    for k in range(0, x.size, 4):
        a, b, c, d = ld4(x, k)
        total += a * b + b * c + c * d + d * a
    out[cuda.grid(1)] = total


def indexed(x, y, out):
    """A local array that is indexed by what only the run knows cannot be in registers."""
    own = cuda.local.array(32, float32)
    for j in range(32):
        own[j] = x[j]
    total = float32(0)
    for k in range(y.size):
        total += own[int32(y[k]) & 31]
    out[cuda.grid(1)] = total


def wide(x, y, out):
    """64 sums at once, which need more registers than a bound of 32 leaves."""
    own = cuda.local.array(64, float32)
    for j in range(64):
        own[j] = float32(0)
    for k in range(x.size):
        for j in range(64):
            own[j] += x[k] * y[j]
    for j in range(64):
        out[j] = own[j]


@pytest.mark.parametrize("capability", SMS)
def test_every_capability_assembles(capability):
    code = compiled(dot, (VECTOR, VECTOR, VECTOR), capability, 128)
    assert code.hot is not None
    assert code.hot.kinds["ffma"] + code.hot.kinds["fp32"] >= 4
    assert 0 < code.usage.registers <= 64
    assert code.misses(registers=64, warps=4) == []
    assert code.occupancy.warps > 0


def test_a_double_accumulator_is_found():
    code = compiled(double_dot, (VECTOR, VECTOR, VECTOR), (8, 0), 128)
    assert any("on float64" in miss for miss in code.misses())
    assert code.misses(double=True) == []


def test_local_memory_is_found():
    code = compiled(indexed, (VECTOR, VECTOR, VECTOR), (8, 0), 128)
    (miss,) = code.misses()
    assert miss.startswith("local memory: ")
    assert code.misses(local=True) == []


def test_a_spill_is_found():
    bounded = cuda.jit(launch_bounds=(1024, 2))(wide)  # 32 registers a thread
    types = (VECTOR, VECTOR, VECTOR)
    assert compiled(wide, types, (8, 0), 64).misses() == []
    code = compiled(bounded, types, (8, 0), 1024)
    assert code.usage.registers <= 32
    assert code.usage.spill_stores > 0
    (miss,) = code.misses(registers=32)
    assert "spilled" in miss


def test_what_a_kernel_is_held_to():
    code = compiled(dot, (VECTOR, VECTOR, VECTOR), (9, 0), 1024)
    registers = code.usage.registers
    assert "multiply-adds, not 99%" in code.misses(ffma=0.99)[0]
    assert code.misses(registers=registers - 1) == [f"{registers} registers, more than {registers - 1}"]
    assert code.misses(warps=65) == [f"{code.occupancy.warps} warps on an SM, fewer than 65"]


def test_tensor_cores_in_words():
    code = compiled(dot, (VECTOR, VECTOR, VECTOR), (8, 0), 128)
    assert code.misses(tensor=0.1) == ["0.0% of the hot loop are products on tensor cores, not 10%"]


def test_report_says_it_in_words():
    report = compiled(dot, (VECTOR, VECTOR, VECTOR), (8, 0), 128).report()
    assert report.startswith("sm_80: ")
    assert "hot loop: " in report
    assert "global bytes a flop" in report


SASS = """
\t.section\t.text.kernel,"ax",@progbits
.text.kernel:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDG.E.128 R4, [R2.64] ;
.L_x_0:
        /*0020*/                   LDS.U.128 R8, [R12] ;
        /*0030*/                   FFMA R0, R4, R8, R0 ;
        /*0040*/                   FFMA R0, R5, R9, R0 ;
        /*0050*/                   IMAD R2, R2, 0x4, R3 ;
        /*0060*/              @!P0 BRA `(.L_x_0) ;
        /*0070*/                   IADD3 R3, R3, 0x1, RZ ;
        /*0080*/               @P1 BRA `(.L_x_1) ;
        /*0090*/                   EXIT ;
.L_x_2:
        /*00a0*/                   BRA `(.L_x_2);
"""
LOG = """
ptxas info    : Compiling entry function 'kernel' for 'sm_80'
ptxas info    : Function properties for kernel
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 4096 bytes smem, 400 bytes cmem[0]
"""


def test_listings():
    code = instructions(SASS)["kernel"]
    assert [i.target for i in code if i.target is not None] == [0x20, 0x10, 0xA0]
    assert code[6].predicate == "@!P0"
    assert usages(LOG) == {"kernel": Usage(40, 16, 8, 12, 4096, 1)}


def test_loops_and_their_pipes():
    outer, inner = loops(instructions(SASS)["kernel"], (8, 0))
    assert (len(outer.code), outer.depth, len(inner.code), inner.depth) == (8, 0, 5, 1)
    assert inner.ffma_share == 2 / 5
    assert inner.flops == 2 * 2 * 32
    assert (inner.global_bytes, inner.shared_bytes, outer.global_bytes) == (0, 512, 512)
    # sm_80 has 16 lanes of multiply-adds in a partition, which take 2 clocks a warp, and IMAD has them too.
    assert inner.pipes["multiply-add"] == 2 * 2 + 2
    assert inner.bound == ("multiply-add", 6)
    assert inner.peak_fraction == pytest.approx(4 / 6)
    # sm_90 has 32 lanes, 16 of them for IMAD: what bounds the loop is that an instruction is issued a clock.
    inner = loops(instructions(SASS)["kernel"], (9, 0))[1]
    assert inner.pipes["multiply-add"] == 3
    assert inner.bound == ("issue", 5)


@pytest.mark.parametrize(("capability", "clocks"), [((8, 0), 8), ((8, 6), 16), ((9, 0), 4)])
def test_products_on_tensor_cores(capability, clocks):
    """A100: 1024 multiply-adds of float16 a clock and SM, half as many of TF32, which HMMA does half of."""
    body = SASS.replace("FFMA R0, R4, R8, R0", "HMMA.16816.F32 R0, R4, R8, R0")
    loop = loops(
        instructions(body.replace("FFMA R0, R5, R9, R0", "HMMA.1688.F32.TF32 R0, R5, R9, R0"))["kernel"], capability
    )[1]
    assert loop.products == {"tensor_fp16": 16 * 8 * 16, "tensor_tf32": 16 * 8 * 8}
    assert (loop.unit, loop.tensor_share, loop.ffma_share) == ("tensor_fp16", 2 / 5, 0)
    assert loop.pipes["tensor"] == 2 * clocks
    assert loop.bound == ("tensor", 2 * clocks)
    assert loop.peak_fraction == 1 / 2  # of float16's, while TF32's products take as long


@pytest.mark.parametrize(
    ("name", "fp16", "tf32"),
    [("T4", 65, 0), ("A100", 312, 156), ("A6000", 154.8, 77.4), ("RTX4090", 165.2, 82.6), ("RTX5090", 209.5, 104.8)],
)
def test_peaks_of_tensor_cores_are_those_of_the_data_sheets(name, fp16, tf32):
    assert GPUS[name].peak_of("tensor_fp16") == pytest.approx(fp16 * 1e12, rel=0.01)
    assert GPUS[name].peak_of("tensor_tf32") == pytest.approx(tf32 * 1e12, rel=0.01)


@pytest.mark.parametrize(
    ("capability", "threads", "registers", "shared", "blocks", "limit"),
    [
        ((8, 0), 256, 32, 0, 8, "warps"),
        ((8, 0), 256, 128, 16384, 2, "registers"),
        ((8, 0), 256, 129, 0, 1, "registers"),
        ((9, 0), 32, 16, 0, 32, "blocks"),
        ((9, 0), 128, 32, 100_000, 2, "shared memory"),
        ((7, 5), 256, 32, 32768, 2, "shared memory"),
        ((8, 6), 128, 32, 101_377, 0, "shared memory"),
    ],
)
def test_occupancy(capability, threads, registers, shared, blocks, limit):
    """As NVIDIA's calculator has it."""
    found = occupancy(capability, threads, registers, shared)
    assert (found.blocks, found.limit) == (blocks, limit)
    assert found.warps == blocks * threads // 32


@pytest.mark.parametrize(
    ("name", "tflops"), [("T4", 8.1), ("A100", 19.5), ("A6000", 38.7), ("RTX4090", 82.6), ("H100", 66.9)]
)
def test_peaks_are_those_of_the_data_sheets(name, tflops):
    assert GPUS[name].peak == pytest.approx(tflops * 1e12, rel=0.01)


def test_modelled_time():
    gpu = GPUS["A100"]
    inner = loops(instructions(SASS)["kernel"], (8, 0))[1]
    model = modelled(gpu, inner, flops=gpu.peak, wavefronts=0, bytes_=0, blocks=108)
    assert model.bound_by == "pipe (multiply-add)"
    assert model.seconds == pytest.approx(1.5)
    assert model.peak_fraction == pytest.approx(2 / 3)
    model = modelled(gpu, inner, 1, wavefronts=2 * 108 * 1.41e9, bytes_=1555e9, blocks=108)
    assert model.bounds["shared memory"] == pytest.approx(2)
    assert model.bounds["memory"] == pytest.approx(1)
    assert model.bound_by == "shared memory"
    with pytest.raises(ValueError, match="says nothing of the H100"):
        modelled(GPUS["H100"], inner, 1, 1, 1, 1)


def test_blocks_that_do_not_spread_evenly():
    assert balance(108, 108) == balance(216, 108) == 1
    assert balance(109, 108) == pytest.approx(109 / 216)
    assert balance(1, 108) == pytest.approx(1 / 108)


def test_tools_are_wheels():
    for name in ("ptxas", "nvdisasm"):
        assert str(find(name)).startswith(sys.prefix)


def test_a_missing_tool_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match=r"convlab\[cuda-static\]"):
        find("ptxas")


def test_what_cannot_be_assembled():
    with pytest.raises(RuntimeError, match="ptxas failed"):
        assembled(".version 8.0\n.target sm_80\nnonsense", (8, 0), 32)
