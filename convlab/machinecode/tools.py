"""NVIDIA's assembler and disassembler as functions. They need no driver; the extra cuda-static brings both."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

Capability = tuple[int, int]  # a compute capability: (8, 0)


def architecture(capability: Capability) -> str:
    """(8, 0) -> "sm_80"."""
    return f"sm_{capability[0]}{capability[1]}"


def find(name: str) -> Path:
    """A tool of CUDA's: of the wheels in this environment, else of the PATH."""
    for place in sys.path:
        for tool in sorted(Path(place).glob(f"nvidia/cu*/bin/{name}")):
            return tool
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no {name} here: pip install 'convlab[cuda-static]'")
    return Path(found)


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stderr}")
    return done


def assemble(ptx: str, capability: Capability) -> tuple[bytes, str]:
    """(the cubin of a PTX text, what ptxas says of each kernel's registers and spills)"""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "k.ptx"), Path(folder, "k.cubin")
        source.write_text(ptx.rstrip("\0"))
        done = _run(find("ptxas"), "-v", "-O3", f"-arch={architecture(capability)}", source, "-o", target)
        return target.read_bytes(), done.stderr


def disassemble(cubin: bytes) -> str:
    """The SASS of a cubin, as nvdisasm prints it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "k.cubin")
        path.write_bytes(cubin)
        return _run(find("nvdisasm"), "-c", path).stdout
