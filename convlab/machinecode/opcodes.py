"""Machine instructions by what executes them, and what they compute and move.

CUDA Binary Utilities, "Instruction Set Reference".
"""

import re

from .listing import Instruction

WARP = 32
# kind, the opcodes' first parts
_KINDS = [
    (kind, re.compile(heads))
    for kind, heads in (
        ("tensor", r"HMMA|IMMA|BMMA|DMMA|QMMA|HGMMA|IGMMA|QGMMA|OMMA|UTC\w*MMA"),
        ("ffma", r"FFMA2?"),
        ("fp32", r"FADD2?|FMUL2?|FMNMX3?|FSEL|FSETP|FSET|FCHK|FSWZADD"),
        ("fp64", r"DFMA|DADD|DMUL|DSETP|DMNMX"),
        ("fp16", r"HFMA2|HADD2|HMUL2|HSET2|HSETP2|HMNMX2"),
        ("special", r"MUFU|F2F|F2FP|F2I|I2F|I2FP|I2I|FRND|POPC|FLO|BREV"),
        ("imad", r"IMAD|IDP|IMUL"),
        ("integer", r"IADD\w*|IABS|LEA|LOP3?|SHF|SHL|SHR|ISETP|SEL|PRMT|IMNMX|VI\w+|VABSDIFF|BMSK|SGXT|PLOP3|P2R|R2P"),
        ("move", r"MOV|CS2R|S2R|R2UR|MOVM|UMOV|S2UR|UP2UR"),
        ("shared load", r"LDS|LDSM"),
        ("shared store", r"STS|STSM|ATOMS"),
        ("async copy", r"LDGSTS|LDGDEPBAR|UBLKCP|UTMALDG|ARRIVES|SYNCS"),
        ("load", r"LDG|LD"),
        ("store", r"STG|ST|ATOMG?|REDG?"),
        ("local", r"LDL|STL"),
        ("constant", r"LDC|ULDC|LDCU"),
        ("warp", r"SHFL|VOTEU?|MATCH|REDUX|WARPSYNC|NANOSLEEP"),
        ("barrier", r"BAR|MEMBAR|DEPBAR|ERRBAR|CCTL|FENCE"),
        ("control", r"BRA|BRX|JMP|EXIT|RET|CALL|BSSY|BSYNC|BREAK|BMOV|BPT|NOP|YIELD|ELECT|ACQBULK|PREEXIT"),
        ("uniform", r"U[A-Z0-9]+"),
    )
]
_FLOPS = {
    "FFMA": 2, "DFMA": 2, "FFMA2": 4, "HFMA2": 4, "FADD": 1, "FMUL": 1, "DADD": 1, "DMUL": 1,
    "FADD2": 2, "FMUL2": 2, "HADD2": 2, "HMUL2": 2,
}  # fmt: skip
# m, n, k of a tensor core's product, as its opcode has it
_SHAPES = {"1684": (16, 8, 4), "1688": (16, 8, 8), "16816": (16, 8, 16), "16832": (16, 8, 32), "884": (8, 8, 4)}


def kind(instruction: Instruction) -> str:
    """What sort of instruction it is: "ffma", "shared load", …; "other" if it is none of those above."""
    if instruction.opcode.startswith("IMAD.MOV"):
        return "move"
    return next((kind for kind, heads in _KINDS if heads.fullmatch(instruction.head)), "other")


def width(instruction: Instruction) -> int:
    """Bytes that each lane moves."""
    parts = instruction.opcode.split(".")
    if instruction.head == "LDSM":
        return 4 * next((int(p) for p in parts if p in ("2", "4")), 1)
    for bits in (256, 128, 64, 16, 8):
        if any(part in (f"{bits}", f"U{bits}", f"S{bits}") for part in parts):
            return bits // 8
    return 4


def flops(instruction: Instruction) -> int:
    """Floating point operations of a warp; a multiply-add is two."""
    shape = next((_SHAPES[part] for part in instruction.opcode.split(".") if part in _SHAPES), None)
    if shape and kind(instruction) == "tensor":
        m, n, k = shape
        return 2 * m * n * k
    return WARP * _FLOPS.get(instruction.head, 0)
